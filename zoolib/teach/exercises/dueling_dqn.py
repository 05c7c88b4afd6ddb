"""Exercises of rl/04-dueling-dqn."""

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _max_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for words, batch, actions in (("two actions", 6, 2), ("six actions", 8, 6), ("a single state", 1, 4)):
        value, advantage = rng.normal(size=(batch, 1)) * 10, rng.normal(size=(batch, actions)) + 3
        expected = np.empty_like(advantage)
        for row in range(batch):
            for action in range(actions):
                expected[row, action] = value[row, 0] + advantage[row, action] - max(advantage[row])
        cases.append(Case((torch.tensor(value), torch.tensor(advantage)), torch.tensor(expected), words))
    return cases


def _advantage_cases(rng: np.random.Generator) -> list[Case]:
    def case(words, q, pi):
        expected = np.empty_like(q)
        for row in range(len(q)):
            value = sum(p * x for p, x in zip(pi[row], q[row], strict=True))
            expected[row] = [x - value for x in q[row]]
        return Case((torch.tensor(q), torch.tensor(pi)), torch.tensor(expected), words)

    q = rng.normal(size=(7, 4)) * 3
    best = np.eye(4)[q.argmax(axis=1)]
    return [
        case("a policy that prefers some actions", q, rng.dirichlet([0.5, 1, 2, 3], size=7)),
        case("the uniform policy", q, np.full((7, 4), 0.25)),
        case("the greedy policy", q, best),
        case("a single state", q[:1, :3], rng.dirichlet([1, 2, 4], size=1)),
    ]


def _stack_cases(rng: np.random.Generator) -> list[Case]:
    def case(words, length, began, k):
        starts = np.zeros(length, bool)
        starts[began] = True
        expected = []
        for t in range(length):
            row, at = [], t
            for _ in range(k):
                row.append(at)
                at = -1 if at == -1 or starts[at] else at - 1
            expected.append(row[::-1])
        return Case((torch.tensor(starts), k), torch.tensor(expected), words)

    second = int(rng.integers(5, 8))
    return [
        case("one episode", 7, [0], 4),
        case("two episodes", 12, [0, second], 4),
        case("an episode of one picture", 9, [0, 3, 4], 3),
        case("stacks of one picture", 5, [0, 2], 1),
    ]


def _stack(starts, k, *, reach_back=False, repeat_first=False, newest_first=False):
    t = torch.arange(len(starts))
    began = torch.zeros_like(t) if reach_back else torch.where(starts, t, 0).cummax(dim=0).values
    numbers = t[:, None] + torch.arange(1 - k, 1)
    missing = began[:, None].expand_as(numbers) if repeat_first else torch.full_like(numbers, -1)
    numbers = torch.where(numbers >= began[:, None], numbers, missing)
    return numbers.flip(1) if newest_first else numbers


EXERCISES = {
    "combine_max": Exercise(
        points=1,
        cases=_max_cases,
        mistakes={
            "You subtracted the mean; subtract the largest advantage of each state.": lambda value, advantage: (
                value + advantage - advantage.mean(1, keepdim=True)
            ),
            "You subtracted the largest advantage of the whole batch; each state has its own. Give max a dim.": (
                lambda value, advantage: value + advantage - advantage.max()
            ),
            "That is the plain sum of the two streams; nothing is subtracted yet.": lambda value, advantage: (
                value + advantage
            ),
            "The value is missing: you returned the advantages with their largest subtracted.": (
                lambda value, advantage: advantage - advantage.max(1, keepdim=True).values
            ),
        },
    ),
    "policy_advantage": Exercise(
        points=2,
        cases=_advantage_cases,
        mistakes={
            "You subtracted the mean over actions. That is the value of the uniform policy; weight by pi.": (
                lambda q, pi: q - q.mean(1, keepdim=True)
            ),
            "You subtracted the highest action value. That is the value of the greedy policy; weight by pi.": (
                lambda q, pi: q - q.max(1, keepdim=True).values
            ),
            "You weighted the action value itself: it is q minus the mean, not pi times q minus the mean.": (
                lambda q, pi: pi * q - (pi * q).sum(1, keepdim=True)
            ),
            "The sign is the wrong way round: an action better than usual has a positive advantage.": lambda q, pi: (
                (pi * q).sum(1, keepdim=True) - q
            ),
        },
    ),
    "stack_numbers": Exercise(
        points=3,
        cases=_stack_cases,
        mistakes={
            "A stack reaches back into the episode before. Its pictures end where its own episode began.": (
                lambda starts, k: _stack(starts, k, reach_back=True)
            ),
            "You repeat an episode's first picture where there is no past; black pictures, -1, belong there.": (
                lambda starts, k: _stack(starts, k, repeat_first=True)
            ),
            "The order is the wrong way round: oldest first, so that the last number is t.": lambda starts, k: _stack(
                starts, k, newest_first=True
            ),
        },
    ),
}
