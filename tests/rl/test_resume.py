"""Every algorithm goes on bit for bit: interrupted half way and resumed, it ends as if nothing had happened."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from zoolib.rl import a2c, ddpg, dqn
from zoolib.run import Run, checkpoints


class Rounds(gym.Env):
    """Three steps, always the same three: with Gymnasium's step for the restart, one round is four.

    A resumed run starts new episodes, as no environment can be asked for its state.  Interrupted between two rounds,
    here that makes no difference; so any difference is the checkpoint's fault.
    """

    observation_space = spaces.Box(0, 3, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.t += 1
        reward = 1 - (float(np.squeeze(action)) - 0.4 * self.t) ** 2
        return np.array([self.t], np.float32), reward, self.t == 3, False, {}


class SmoothRounds(Rounds):
    """The same with numbers for actions."""

    action_space = spaces.Box(-1, 2, (1,), np.float32)


class Interrupted(Run):
    """A run whose user presses Ctrl-C half way."""

    def steps(self, total, by=1, **options):
        for step in super().steps(total, by, **options):
            yield step
            if step + by >= total // 2:
                self.stop("interrupted")


def same(one, two) -> bool:
    """Whether two nests of dicts and lists hold the same, tensors to the last bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if torch.is_tensor(one) else one == two


def last_checkpoint(folder) -> dict:
    return torch.load(checkpoints(folder)[-1], weights_only=True)["tracked"]


COMMON = {"hidden": (16,), "validate_every": 144, "validation_episodes": 2}
DQN = COMMON | {"env_id": "ZooRounds-v0", "total_steps": 800, "num_envs": 4, "learning_starts": 100}
DQN |= {"train_every": 24, "updates": 3, "target_every": 7, "batch_size": 32, "epsilon_steps": 600}
RUNS = {
    "dqn": (dqn, DQN),
    "dqn, its memory full": (dqn, DQN | {"replay_size": 170}),
    "double and dueling": (dqn, DQN | {"double": True, "dueling": True}),
    "prioritized": (dqn, DQN | {"prioritized": True}),
    "n-step": (dqn, DQN | {"n_step": 3}),
    "prioritized n-step": (dqn, DQN | {"prioritized": True, "n_step": 2, "replay_size": 170}),
    "a2c": (a2c, COMMON | {"env_id": "ZooRounds-v0", "total_steps": 1024, "num_envs": 4}),
    "a2c, continuous": (a2c, COMMON | {"env_id": "ZooSmoothRounds-v0", "total_steps": 1024, "num_envs": 4}),
    "ddpg": (
        ddpg,
        COMMON | {"env_id": "ZooSmoothRounds-v0", "total_steps": 400, "learning_starts": 100, "batch_size": 16},
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_ends_with_the_same_bits_as_one_never_interrupted(name, tmp_path, monkeypatch):
    for env in (Rounds, SmoothRounds):
        env_id = f"Zoo{env.__name__}-v0"
        monkeypatch.setitem(gym.registry, env_id, EnvSpec(env_id, env))
    algorithm, changes = RUNS[name]
    config = algorithm.Config(**changes)
    whole = algorithm.train(config, run=Run(tmp_path / "whole", seed=4, progress=False))
    part = algorithm.train(config, run=Interrupted(tmp_path / "part", seed=4, progress=False))
    assert part.run.stopped == "interrupted" and part.run.step == config.total_steps // 2
    half = last_checkpoint(tmp_path / "part")
    resumed = algorithm.train(config, run=Run(tmp_path / "part", seed=4, resume=True, progress=False))
    assert resumed.run.step == whole.run.step == config.total_steps
    one, two = last_checkpoint(tmp_path / "whole"), last_checkpoint(tmp_path / "part")
    assert one.keys() == two.keys()
    for thing in one:  # networks, targets, optimisers, replay memory, best weights, counters
        assert same(one[thing], two[thing]), thing
    assert same(dict(whole.network.state_dict()), dict(resumed.network.state_dict()))
    network = next(thing for thing in ("network", "networks") if thing in one)
    assert not same(half[network], one[network])  # the second half was not idle
