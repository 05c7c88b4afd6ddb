"""What Run costs: the same DQN update in Run's loop and in a bare loop, in turns."""

import statistics
import time

import torch

from zoolib.rl import dqn
from zoolib.rl.envs import make_envs
from zoolib.rl.networks import QNetwork
from zoolib.rl.replay import Batch, Replay
from zoolib.run import Run

BLOCK, BLOCKS = 200, 60


def build():
    """A network, its target, optimiser and a filled replay memory, as DQN on CartPole has them."""
    torch.manual_seed(0)
    space = make_envs("CartPole-v1", 1).single_observation_space
    config = dqn.Config()
    q_network, target = (QNetwork(space, 2, config.hidden) for _ in range(2))
    optimizer = torch.optim.Adam(q_network.parameters(), 1e-4, fused=True)
    replay = Replay(10_000, space.shape)
    n = 10_000
    replay.add(Batch(torch.randn(n, 4), torch.randint(2, (n,)), torch.ones(n), torch.randn(n, 4), torch.rand(n) < 0.05))
    return q_network, target, optimizer, replay, config


def main(folder) -> dict:
    torch.set_num_threads(1)
    plain = build()
    tracked = build()
    *things, config = tracked
    run = Run(folder / "run", progress=False, threads=1).begin("bench", {}, tiny=True)
    bare_seconds, run_seconds = [], []
    with run.track(**dict(zip(("network", "target", "optimizer", "replay"), things, strict=True))):
        steps = run.steps(BLOCK * BLOCKS)
        for _ in range(BLOCKS):  # in turns, so that a busy moment of the machine meets both
            start = time.perf_counter()
            for _ in range(BLOCK):
                dqn.update(*plain[:3], dqn.td_loss, *plain[3:])
            middle = time.perf_counter()
            for _ in range(BLOCK):
                next(steps)
                run.log(loss=dqn.update(*things[:3], dqn.td_loss, things[3], config))
            bare_seconds.append(middle - start)
            run_seconds.append(time.perf_counter() - middle)
    ratios = [b / a for a, b in zip(bare_seconds, run_seconds, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "what": f"{BLOCKS} blocks of {BLOCK} DQN updates, in a bare loop and in Run's with logging and checkpoints",
        "microseconds_bare": round(statistics.median(bare_seconds) / BLOCK * 1e6, 1),
        "microseconds_run": round(statistics.median(run_seconds) / BLOCK * 1e6, 1),
        "overhead_percent": round((quartiles[1] - 1) * 100, 2),
        "overhead_percent_quartiles": [round((quartiles[i] - 1) * 100, 2) for i in (0, 2)],
    }
