"""What Run costs: the same DQN update in Run's loop and in a bare loop, in turns."""

import statistics
import time

import torch

from zoolib.rl import dqn
from zoolib.rl.envs import make_envs
from zoolib.rl.networks import QNetwork
from zoolib.rl.replay import Batch, Replay
from zoolib.run import Run

UPDATES, ROUNDS = 2_000, 9


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


def bare() -> float:
    q_network, target, optimizer, replay, config = build()
    start = time.perf_counter()
    for _ in range(UPDATES):
        dqn.update(q_network, target, optimizer, dqn.td_loss, replay, config)
    return time.perf_counter() - start


def with_run(out) -> float:
    run = Run(out, progress=False).begin("bench", {}, tiny=True)
    q_network, target, optimizer, replay, config = build()
    start = time.perf_counter()
    with run.track(network=q_network, target=target, optimizer=optimizer, replay=replay):
        for _ in run.steps(UPDATES):
            run.log(loss=dqn.update(q_network, target, optimizer, dqn.td_loss, replay, config))
    return time.perf_counter() - start


def main(folder) -> dict:
    torch.set_num_threads(1)
    bare()  # warm up
    pairs = [(bare(), with_run(folder / f"run-{i}")) for i in range(ROUNDS)]
    ratios = sorted(b / a for a, b in pairs)
    return {
        "what": f"{UPDATES} DQN updates logged by Run, with its last checkpoint, against a bare loop",
        "microseconds_bare": round(statistics.median(a for a, _ in pairs) / UPDATES * 1e6, 1),
        "microseconds_run": round(statistics.median(b for _, b in pairs) / UPDATES * 1e6, 1),
        "overhead_percent": round((statistics.median(ratios) - 1) * 100, 2),
        "overhead_percent_range": [round((r - 1) * 100, 2) for r in (ratios[0], ratios[-1])],
    }
