"""Exercises of rl/02-dqn."""

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _probability_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for words, actions, epsilon in (
        ("an ε between 0 and 1", 2, float(rng.uniform(0.1, 0.6))),
        ("an ε between 0 and 1", 4, float(rng.uniform(0.1, 0.6))),
        ("the greedy policy, ε = 0", 3, 0.0),
        ("the uniform policy, ε = 1", 3, 1.0),
    ):
        q = rng.permuted(np.tile(np.arange(actions) - 1.5, (5, 1)), axis=1)  # no ties
        # a share ε spread over all actions, and the rest on one of them
        table = np.full(q.shape, epsilon / actions)
        for row, values in zip(table, q, strict=True):
            row[int(np.argsort(values)[-1])] += 1 - epsilon
        cases.append(Case((torch.tensor(q, dtype=torch.float32), epsilon), torch.tensor(table), words))
    return cases


def _greedy_without_its_share(q, epsilon):
    best = torch.nn.functional.one_hot(q.argmax(1), q.shape[1])
    return best * (1 - epsilon) + (1 - best) * epsilon / q.shape[1]


def _share_among_the_others(q, epsilon):
    best = torch.nn.functional.one_hot(q.argmax(1), q.shape[1])
    return best * (1 - epsilon) + (1 - best) * epsilon / (q.shape[1] - 1)


def _softmax(q, epsilon):
    return (1 - epsilon) * torch.softmax(q, 1) + epsilon / q.shape[1]


def _gradient_cases(rng: np.random.Generator) -> list[Case]:
    small, large = rng.uniform(-0.9, 0.9, 6), rng.uniform(1.1, 30, 6)
    edge = np.array([-1.0, 0.0, 1.0])
    return [
        Case((torch.tensor(small),), torch.tensor(small), "errors smaller than 1"),
        Case((torch.tensor(large),), torch.ones(6, dtype=torch.float64), "large positive errors"),
        Case((torch.tensor(-large),), -torch.ones(6, dtype=torch.float64), "large negative errors"),
        Case((torch.tensor(edge),), torch.tensor(edge), "errors of -1, 0 and 1"),
    ]


def _n_step_cases(rng: np.random.Generator) -> list[Case]:
    def draw(batch, n, ends, words):
        rewards, next_q = rng.normal(size=(batch, n)), rng.normal(size=(batch, 3)) * 5
        gamma, terminated = float(rng.uniform(0.5, 0.99)), np.zeros((batch, n), bool)
        for row, end in enumerate(ends):
            if end is not None:
                terminated[row, end] = True
                rewards[row, end + 1 :] = rng.normal(size=n - end - 1)  # the next episode's: not ours to count
        expected = []
        for row in range(batch):  # along each window, step by step
            total, discount = 0.0, 1.0
            for k in range(n):
                total += discount * rewards[row, k]
                discount *= gamma
                if terminated[row, k]:
                    break
            else:
                total += discount * max(next_q[row])
            expected.append(total)
        args = (torch.tensor(rewards), torch.tensor(terminated), torch.tensor(next_q), gamma)
        return Case(args, torch.tensor(expected, dtype=torch.float64), words)

    return [
        draw(4, 3, [None] * 4, "windows in which nothing ends"),
        draw(3, 1, [None, 0, None], "n = 1, which is DQN's own target"),
        draw(4, 4, [3, 3, None, 3], "an episode that terminates at the window's last step"),
        draw(4, 4, [0, 1, 2, None], "an episode that terminates inside the window"),
    ]


def _alive_before(terminated):
    ended = terminated.to(torch.float64).cumsum(1)
    return (ended - terminated.to(torch.float64) == 0).to(torch.float64)


def _n_step(rewards, terminated, next_q, gamma, *, alive=None, mask=None, power=None):
    n = rewards.shape[1]
    powers = gamma ** torch.arange(n, dtype=torch.float64)
    alive = _alive_before(terminated) if alive is None else alive
    mask = ~terminated.any(1) if mask is None else mask
    return (rewards * powers * alive).sum(1) + gamma ** (n if power is None else power) * mask * next_q.max(1).values


def _last_flag_only(rewards, terminated, next_q, gamma):
    return _n_step(rewards, terminated, next_q, gamma, mask=~terminated[:, -1])


def _sums_past_the_end(rewards, terminated, next_q, gamma):
    return _n_step(rewards, terminated, next_q, gamma, alive=torch.ones_like(rewards))


def _bootstraps_always(rewards, terminated, next_q, gamma):
    return _n_step(rewards, terminated, next_q, gamma, mask=torch.ones(len(rewards)))


def _one_gamma(rewards, terminated, next_q, gamma):
    return _n_step(rewards, terminated, next_q, gamma, power=1)


def _drops_the_final_reward(rewards, terminated, next_q, gamma):
    alive = (terminated.to(torch.float64).cumsum(1) == 0).to(torch.float64)
    return _n_step(rewards, terminated, next_q, gamma, alive=alive)


EXERCISES = {
    "action_probabilities": Exercise(
        points=2,
        cases=_probability_cases,
        mistakes={
            "A random action can also be the greedy one: each action gets ε / A, and the greedy one gets 1 − ε on "
            "top. Your rows do not sum to 1.": _greedy_without_its_share,
            "You shared ε among the other A − 1 actions. A random action is drawn from all A, the greedy one too."
            "": _share_among_the_others,
            "You used a softmax for the greedy part. Greedy means all of it on the action of highest value.": _softmax,
        },
    ),
    "huber_gradient": Exercise(
        points=1,
        cases=_gradient_cases,
        mistakes={
            "That is the gradient of the squared error: it grows without bound. Beyond 1 the Huber loss is a straight "
            "line, and the slope of a line is constant.": lambda error: error,
            "That is the gradient of the absolute error. Within 1 the Huber loss is a parabola, and its slope is the "
            "error itself.": lambda error: error.sign(),
            "That is the Huber loss itself, and its slope was asked for.": lambda error: torch.where(
                error.abs() < 1, error**2 / 2, error.abs() - 0.5
            ),
            "The slope for a large negative error is −1: the sign got lost.": lambda error: (
                error.clamp(max=1).abs().clamp(max=1)
            ),
        },
    ),
    "n_step_target": Exercise(
        points=3,
        cases=_n_step_cases,
        mistakes={
            "You looked only at the last flag of the window. Where an episode ends earlier there is no future to "
            "bootstrap from either.": _last_flag_only,
            "You added rewards that come after the episode's end; they belong to the next episode.": _sums_past_the_end,
            "You bootstrap from next_q where the episode has terminated: a finished episode has no future reward."
            "": _bootstraps_always,
            "The bootstrap lies n steps ahead, so it is discounted by γⁿ, not by γ.": _one_gamma,
            "The reward of the step that terminates still counts; only what comes after it does not."
            "": _drops_the_final_reward,
        },
    ),
}
