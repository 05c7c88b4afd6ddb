"""Exercises of generative/05-made."""

import math

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _factor_cases(rng: np.random.Generator) -> list[Case]:
    def draw(even, words):
        table = torch.tensor(rng.dirichlet(np.full(8, even)).reshape(2, 2, 2))
        given = torch.zeros(2, 2, dtype=table.dtype)
        for a in range(2):
            for b in range(2):
                given[a, b] = table[a, b, 1] / (table[a, b, 0] + table[a, b, 1])
        return Case((table,), given, words)

    return [draw(2.0, "probabilities that are nearly even"), draw(0.7, "some images far likelier than others")]


def _mean_cases(rng: np.random.Generator) -> list[Case]:
    def draw(shape, low, high, words):
        log_p = torch.tensor(rng.uniform(low, high, shape))
        columns = [math.log(math.fsum(math.exp(v - max(c)) for v in c) / len(c)) + max(c) for c in log_p.T.tolist()]
        return Case((log_p,), torch.tensor(columns, dtype=log_p.dtype), words)

    return [
        draw((3, 4), -3, 0, "probabilities that a computer can hold"),
        draw((8, 5), -1100, -900, "probabilities that underflow"),
        draw((1, 3), -99, -80, "one order"),
    ]


def _connection_cases(rng: np.random.Generator) -> list[Case]:
    def draw(units, inputs, words):
        degrees = torch.tensor(rng.integers(1, inputs, units))
        count = 0
        for m in degrees.tolist():
            count += sum(m >= d for d in range(1, inputs + 1)) + sum(d > m for d in range(1, inputs + 1))
        return Case((degrees, inputs), count, words)

    return [draw(6, 4, "six units over four pixels"), draw(50, 10, "more units"), draw(1, 784, "a single unit")]


EXERCISES = {
    "last_factor": Exercise(
        points=2,
        cases=_factor_cases,
        mistakes={
            "That is the joint probability with x3 = 1. Divide by the probability of what is given, p(x1, x2).": (
                lambda table: table[:, :, 1]
            ),
            "That is p(x3 = 0 | x1, x2).": lambda table: table[:, :, 0] / table.sum(dim=2),
            "That is p(x1 = 1 | x2, x3): the first pixel stands on the first axis.": (
                lambda table: table[1] / table.sum(dim=0)
            ),
            "You divided by p(x3 = 1). What is given is x1 and x2.": lambda table: (
                table[:, :, 1] / table[:, :, 1].sum()
            ),
        },
    ),
    "log_mean": Exercise(
        points=3,
        cases=_mean_cases,
        mistakes={
            "The exponential of −1000 is 0 on a computer, and its logarithm −inf. Take the largest out first.": (
                lambda log_p: log_p.exp().mean(dim=0).log()
            ),
            "That is the mean of the logarithms: never more than the logarithm of the mean, and no probability.": (
                lambda log_p: log_p.mean(dim=0)
            ),
            "That is the logarithm of the sum. A mean is smaller by log K.": lambda log_p: torch.logsumexp(
                log_p, dim=0
            ),
            "That is the best of the orders, not their mean: these numbers sum to more than one over all images.": (
                lambda log_p: log_p.max(dim=0).values
            ),
            "You averaged over images. The mean is over orders, the first axis.": lambda log_p: (
                torch.logsumexp(log_p, dim=1) - math.log(log_p.shape[1])
            ),
        },
    ),
    "connections": Exercise(
        points=2,
        cases=_connection_cases,
        mistakes={
            "Those are the connections below the hidden units. The outputs have some too.": (
                lambda degrees, inputs: int(degrees.sum())
            ),
            "Those are the connections above the hidden units. The inputs have some too.": (
                lambda degrees, inputs: int((inputs - degrees).sum())
            ),
            "That is how many there would be without masks.": lambda degrees, inputs: 2 * len(degrees) * inputs,
            "One too few for each unit: it may see the input whose degree is its own (≥, not >).": (
                lambda degrees, inputs: len(degrees) * (inputs - 1)
            ),
            "One too many for each unit: the output of the unit's own degree must not see it (>, not ≥).": (
                lambda degrees, inputs: len(degrees) * (inputs + 1)
            ),
        },
    ),
}
