"""Probe environments: so small that the right values and actions are known, and so few steps to learn.

Each is a rung of a ladder.  A rung adds one thing to those below it, so the lowest that an algorithm fails says where
to look.  Importing this module registers all of them, with numbered actions (`ProbeConstant-v0`) and with a continuous
one (`ProbeConstantBox-v0`); `ladder` lists them with their answers.
"""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LIMIT = 5  # steps after which ProbeClock's episodes are cut off
AIM = 0.5  # the best action of ProbeArmsBox; ProbeMatchBox wants it with the observation's sign


class Probe(gym.Env):
    """One observed number and two actions, or one action between −1 and 1.  Each probe fills in the rest."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, continuous: bool = False):
        self.continuous = continuous
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)

    def see(self, number: float) -> np.ndarray:
        self.seen = number
        return np.array([number], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.see(self.first()), {}

    def first(self) -> float:
        """What an episode begins with."""
        return 0.0

    def a_sign(self) -> float:
        return float(2 * self.np_random.integers(2) - 1)

    def quality(self, action, wanted: float) -> float:
        """1 for the action wanted, the one of its sign; −1 for the other; continuous: 1 − (a − AIM · wanted)²."""
        if self.continuous:
            return 1.0 - float(action[0] - AIM * wanted) ** 2
        return 1.0 if action == (wanted > 0) else -1.0


class Constant(Probe):
    """One step, reward 1: the value is 1."""

    def step(self, action):
        return self.see(0.0), 1.0, True, False, {}


class Lookup(Probe):
    """One step, and the reward is the observation, −1 or 1."""

    def first(self):
        return self.a_sign()

    def step(self, action):
        return self.see(0.0), self.seen_before(), True, False, {}

    def seen_before(self):
        return self.seen
