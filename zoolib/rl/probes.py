"""Probe environments: so small that the right values and actions are known, and learned in less than a second.

They are the rungs of a ladder.  Each adds one thing to those below it, so that the lowest rung which an algorithm
fails says where to look.  Importing this module registers them with numbered actions ("ProbeConstant-v0") and with a
continuous one ("ProbeConstantBox-v0"); `rungs` lists them with their answers.
"""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LIMIT = 5  # steps after which an episode of Clock is cut off
AIM = 0.5  # how far from 0 the best continuous action lies


class Probe(gym.Env):
    """One number to see; two actions, or one number between −1 and 1 to choose."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, continuous: bool = False):
        self.continuous = continuous
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen = self.first()
        return np.array([self.seen], np.float32), {}

    def first(self) -> float:
        """What an episode's first observation holds."""
        return 0.0

    def sign(self) -> float:
        """−1 or 1, with even chance."""
        return float(2 * self.np_random.integers(2) - 1)

    def pay(self, action, wanted: float) -> float:
        """The reward of an action where that of the sign `wanted` is right.

        Numbered: 1 if it is the one wanted, −1 if not.  Continuous: 1 less its squared distance from AIM · wanted.
        """
        if self.continuous:
            return 1.0 - float(action[0] - AIM * wanted) ** 2
        return 1.0 if (action == 1) == (wanted > 0) else -1.0

    def after(self, seen: float, reward: float, terminated: bool = True):
        """What `step` returns: the next observation, the reward, and whether that was all."""
        self.seen = seen
        return np.array([seen], np.float32), reward, terminated, False, {}


class Constant(Probe):
    """One step, reward 1."""

    def step(self, action):
        return self.after(0.0, 1.0)


class Lookup(Probe):
    """One step; the reward is the observation, −1 or 1."""

    def first(self):
        return self.sign()

    def step(self, action):
        return self.after(0.0, self.seen)


class Delay(Probe):
    """Two steps, from −1 to 1; only the second is rewarded."""

    def first(self):
        return -1.0

    def step(self, action):
        return self.after(1.0, 0.0, terminated=False) if self.seen < 0 else self.after(0.0, 1.0)


class Arms(Probe):
    """One step; the reward depends on the action alone, and action 1 (AIM) is best."""

    def step(self, action):
        return self.after(0.0, self.pay(action, 1.0))


class Match(Probe):
    """One step; the best action is the one of the observation's sign."""

    def first(self):
        return self.sign()

    def step(self, action):
        return self.after(0.0, self.pay(action, self.seen))


class Clock(Probe):
    """Reward 1 at every step and no end; only a time limit cuts episodes off."""

    def step(self, action):
        return self.after(0.0, 1.0, terminated=False)


class Rung(NamedTuple):
    """A probe and what is true of it."""

    name: str
    env_id: str
    gamma: float  # the discount for which `value` holds
    obs: np.ndarray  # [K, 1] observations to ask about
    value: np.ndarray  # [K] what each is worth if one acts well
    action: np.ndarray | None  # the best action in each, [K] or continuous [K, 1]; None where all are alike
    isolates: str  # what it adds to the rungs below
    look: str  # what to look at if it is the lowest that fails


def rungs(gamma: float = 0.8, continuous: bool = False) -> list[Rung]:
    """The ladder from the bottom up, for numbered actions or a continuous one."""
    ladder = [
        (Constant, [0], [1], None, "the loss, and that nothing follows an end", "the loss; the mask ~terminated"),
        (Lookup, [-1, 1], [-1, 1], None, "the observation", "what is stored beside what; the network's input"),
        (Delay, [-1, 1], [gamma, 1], None, "a reward that comes later", "the target: γ, next_obs, the target network"),
        (Arms, [0], [1], [1], "the choice of an action", "which action's value or log-probability is trained"),
        (Match, [-1, 1], [1, 1], [-1, 1], "a choice by what is seen", "whether actions and observations keep in step"),
        (Clock, [0], [1 / (1 - gamma)], None, "a time limit", "truncated taken for terminated; restarts learned from"),
    ]
    return [
        Rung(
            probe.__name__,
            f"Probe{probe.__name__}{'Box' * continuous}-v0",
            gamma,
            np.array(obs, np.float32)[:, None],
            np.array(value, np.float64),
            None if signs is None else _best(np.array(signs), continuous),
            isolates,
            look,
        )
        for probe, obs, value, signs, isolates, look in ladder
    ]


def _best(signs: np.ndarray, continuous: bool) -> np.ndarray:
    return AIM * signs[:, None] if continuous else (signs > 0).astype(int)


for _probe in (Constant, Lookup, Delay, Arms, Match, Clock):
    for _box in (False, True):
        gym.register(
            f"Probe{_probe.__name__}{'Box' * _box}-v0",
            entry_point=_probe,
            kwargs={"continuous": _box},
            max_episode_steps=LIMIT if _probe is Clock else None,
            disable_env_checker=True,  # checked in the tests; it would double the time of a step
        )
