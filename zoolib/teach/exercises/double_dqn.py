"""Exercises of rl/03-double-dqn."""

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _estimate_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for words, batch, actions in (
        ("two actions", 6, 2),
        ("five actions", 8, 5),
        ("a single state", 1, 4),
    ):
        # apart by more than rounding, so that no argmax is a tie
        first, second = (rng.permuted(np.tile(np.arange(actions) * 1.0, (batch, 1)), axis=1) for _ in range(2))
        first, second = first + rng.uniform(0, 0.4, first.shape), second * -1.5 + rng.uniform(0, 0.4, first.shape)
        expected = []
        for one, two in zip(first, second, strict=True):
            best = 0
            for action in range(actions):
                if one[action] > one[best]:
                    best = action
            expected.append(two[best])
        cases.append(Case((torch.tensor(first), torch.tensor(second)), torch.tensor(expected), words))
    return cases


def _clipped_cases(rng: np.random.Generator) -> list[Case]:
    def draw(batch, actions, terminated, words):
        reward = rng.normal(size=batch)
        q1, q2 = rng.normal(size=(2, batch, actions)) * 4
        online = rng.permuted(np.tile(np.arange(actions) * 1.0, (batch, 1)), axis=1)
        gamma = float(rng.uniform(0.5, 0.95))
        expected = []
        for i in range(batch):
            chosen = max(range(actions), key=lambda a, row=online[i]: row[a])
            future = 0.0 if terminated[i] else min(q1[i, chosen], q2[i, chosen])
            expected.append(reward[i] + gamma * future)
        tensors = (torch.tensor(x) for x in (reward, q1, q2, online, np.array(terminated)))
        return Case((*tensors, gamma), torch.tensor(expected), words)

    return [
        draw(8, 3, [False] * 8, "transitions that do not terminate"),
        draw(8, 4, [True, False] * 4, "some transitions that terminate"),
        draw(1, 2, [False], "a single transition"),
    ]


def _take(values, chosen):
    return values.gather(1, chosen[:, None]).squeeze(1)


def _clipped(reward, q1, q2, online, terminated, gamma, *, future=None, mask=True):
    chosen = online.argmax(1)
    future = torch.minimum(_take(q1, chosen), _take(q2, chosen)) if future is None else future
    return reward + gamma * (~terminated * future if mask else future)


def _highest_of_the_smaller(reward, q1, q2, online, terminated, gamma):
    return _clipped(reward, q1, q2, online, terminated, gamma, future=torch.minimum(q1, q2).max(1).values)


def _smaller_of_the_highest(reward, q1, q2, online, terminated, gamma):
    future = torch.minimum(q1.max(1).values, q2.max(1).values)
    return _clipped(reward, q1, q2, online, terminated, gamma, future=future)


def _mean_of_both(reward, q1, q2, online, terminated, gamma):
    future = _take((q1 + q2) / 2, online.argmax(1))
    return _clipped(reward, q1, q2, online, terminated, gamma, future=future)


EXERCISES = {
    "double_estimate": Exercise(
        points=1,
        cases=_estimate_cases,
        mistakes={
            "The first estimates chose and valued: that is the highest guess, with all its bias. Value the choice by "
            "the second.": lambda first, second: first.max(1).values,
            "You took the highest of the second estimates, so they choose as well as value. The first shall choose."
            "": lambda first, second: second.max(1).values,
            "The mean of two estimates is less noisy, but its maximum is still too high: the same numbers choose and "
            "value.": lambda first, second: ((first + second) / 2).max(1).values,
            "You have exchanged the two: the first chooses, the second values.": lambda first, second: _take(
                first, second.argmax(1)
            ),
        },
    ),
    "clipped_double_target": Exercise(
        points=2,
        cases=_clipped_cases,
        mistakes={
            "You let the smaller of the two networks' values choose the action. The online network chooses, and both "
            "value that one action.": _highest_of_the_smaller,
            "Each network valued its own favourite action. Both must value the action that the online network "
            "prefers.": _smaller_of_the_highest,
            "You took the mean of the two values; take the smaller one.": _mean_of_both,
            "You bootstrap where the episode has terminated: a finished episode has no future reward.": lambda *args: (
                _clipped(*args, mask=False)
            ),
        },
    ),
}
