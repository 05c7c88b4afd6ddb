"""Exercises of rl/06-a2c."""

import math

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _baseline_cases(rng: np.random.Generator) -> list[Case]:
    def draw(probs, words):
        reward = rng.normal(size=len(probs)) * 3 + rng.uniform(2, 10)

        def variance(b):  # summed over components, by enumeration
            each = np.array([(reward[a] - b) * (np.eye(len(probs))[a] - probs) for a in range(len(probs))])
            return (probs[:, None] * (each - probs @ each) ** 2).sum()

        low, middle, high = (variance(b) for b in (-1.0, 0.0, 1.0))  # three points give the parabola
        lowest = (low - high) / (2 * (low + high - 2 * middle))
        floats = (torch.tensor(x, dtype=torch.float32) for x in (probs, reward))
        return Case(tuple(floats), float(lowest), words)

    lopsided = [rng.permutation([0.7, 0.2, 0.1]), rng.permutation([0.5, 0.25, 0.15, 0.06, 0.04])]
    return [
        *(draw(probs, "a policy that prefers some arms") for probs in lopsided),
        draw(np.full(4, 0.25), "a policy that is indifferent"),
    ]


def _baseline(weight, reward):
    return (weight * reward).sum() / weight.sum()


def _scores(probs):
    return torch.eye(len(probs)) - probs


def _entropy_cases(rng: np.random.Generator) -> list[Case]:
    def draw(logits, words):
        inputs = torch.tensor(logits, requires_grad=True)
        with torch.enable_grad():
            entropy = torch.distributions.Categorical(logits=inputs).entropy().sum()
            (expected,) = torch.autograd.grad(entropy, inputs)
        return Case((inputs.detach(),), expected, words)

    return [
        draw(rng.normal(size=(5, 2)) * 2, "two actions"),
        draw(rng.normal(size=(4, 5)) * 2, "five actions"),
        draw(np.tile(rng.normal(size=(3, 1)), (1, 4)), "equal logits, where the entropy is greatest"),
    ]


def _logs(logits):
    log_policy = logits.log_softmax(1)
    return log_policy.exp(), log_policy, -(log_policy.exp() * log_policy).sum(1, keepdim=True)


def _by_the_probabilities(logits):
    return -(_logs(logits)[1] + 1)


def _share_of_the_entropy(logits):
    policy, log_policy, _ = _logs(logits)
    return -policy * log_policy


def _without_normalisation(logits):
    policy, log_policy, _ = _logs(logits)
    return -policy * (log_policy + 1)


def _downhill(logits):
    policy, log_policy, entropy = _logs(logits)
    return policy * (log_policy + entropy)


def _gaussian_cases(rng: np.random.Generator) -> list[Case]:
    def draw(batch, actions, words):
        mean, action = rng.normal(size=(2, batch, actions)) * 2
        log_std = rng.uniform(0.2, 1.0, actions) * rng.choice([-1, 1], actions)
        expected = []
        for row in range(batch):  # the product of the components' densities
            density = 1.0
            for k in range(actions):
                sigma = math.exp(log_std[k])
                density *= math.exp(-((action[row, k] - mean[row, k]) ** 2) / (2 * sigma**2))
                density /= sigma * math.sqrt(2 * math.pi)
            expected.append(math.log(density))
        args = tuple(torch.tensor(x) for x in (mean, log_std, action))
        return Case(args, torch.tensor(expected, dtype=torch.float64), words)

    return [draw(4, 1, "one number an action"), draw(4, 3, "three numbers an action")]


def _each(mean, log_std, action):
    return torch.distributions.Normal(mean, log_std.exp()).log_prob(action)


def _sigma_squared_mixed_up(mean, log_std, action):
    return torch.distributions.Normal(mean, (log_std / 2).exp()).log_prob(action).sum(1)


def _without_the_normaliser(mean, log_std, action):
    return (-(((action - mean) / log_std.exp()) ** 2) / 2).sum(1)


def _without_log_sigma(mean, log_std, action):
    return (-(((action - mean) / log_std.exp()) ** 2) / 2 - math.log(2 * math.pi) / 2).sum(1)


EXERCISES = {
    "best_baseline": Exercise(
        points=2,
        cases=_baseline_cases,
        tolerance=1e-4,
        mistakes={
            "That is the expected reward: close, but not lowest. An arm whose score is long adds more noise, so weight "
            "each arm by its probability times the squared length of its score.": lambda probs, reward: _baseline(
                probs, reward
            ),
            "That is the plain mean over arms. An arm that is hardly ever pulled hardly adds to the variance.": (
                lambda probs, reward: reward.mean()
            ),
            "The squared length of the score is there, but not how often each arm is pulled.": lambda probs, reward: (
                _baseline(_scores(probs).pow(2).sum(1), reward)
            ),
            "You weighted by the length of the score; in a variance it is squared.": lambda probs, reward: _baseline(
                probs * _scores(probs).norm(dim=1), reward
            ),
        },
    ),
    "entropy_gradient": Exercise(
        points=2,
        cases=_entropy_cases,
        mistakes={
            "That is the derivative by the probabilities. A logit moves all probabilities of its row: apply the chain "
            "rule through the softmax.": _by_the_probabilities,
            "That is each action's share of the entropy itself, and its derivative was asked for.": (
                _share_of_the_entropy
            ),
            "You treated each probability as if its own logit alone moved it. Raising one logit lowers the other "
            "probabilities, so the entropy of the row has to appear.": _without_normalisation,
            "The sign is turned: your gradient makes the policy more decided.": _downhill,
        },
    ),
    "gaussian_log_prob": Exercise(
        points=3,
        cases=_gaussian_cases,
        mistakes={
            "You give a number for each component. They are independent: the density of the whole action is the "
            "product, its logarithm the sum.": _each,
            "You took the mean over components. Independent densities multiply, so their logarithms add up.": (
                lambda mean, log_std, action: _each(mean, log_std, action).mean(1)
            ),
            "exp(log_std) is σ itself and not σ²: the square of it divides the squared distance.": (
                _sigma_squared_mixed_up
            ),
            "The squared distance alone is no density: a wide normal is lower everywhere, by log σ + log(2π) / 2."
            "": _without_the_normaliser,
            "The term −log σ is missing. Without it a wider policy always looks more likely.": _without_log_sigma,
        },
    ),
}
