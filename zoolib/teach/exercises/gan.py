"""Exercises of generative/01-gan."""

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _critic_cases(rng: np.random.Generator) -> list[Case]:
    def draw(ratio, words):
        p, q = (torch.tensor(rng.uniform(0.05, 2, 6)) for _ in range(2))
        # by search: the probability d that is the best answer at each place, to 1e-9
        low, high = torch.full_like(p, 1e-12), torch.full_like(p, 1 - 1e-12)
        for _ in range(60):
            middle = (low + high) / 2
            rising = ratio * p / middle > q / (1 - middle)  # slope of ratio·p·log d + q·log(1 − d)
            low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
        return Case((p, q, ratio), (low / (1 - low)).log(), words)

    return [
        draw(1.0, "as many real samples as fakes"),
        draw(float(rng.uniform(2, 5)), "more real ones"),
        draw(float(rng.uniform(0.1, 0.5)), "more fakes"),
    ]


def _value_cases(rng: np.random.Generator) -> list[Case]:
    def draw(p, q, words):
        total = 0.0
        for a, b in zip(p, q, strict=True):  # the best critic's payoff, place by place
            d = a / (a + b) if a + b > 0 else 0.5
            total += (a * np.log(d) if a > 0 else 0.0) + (b * np.log(1 - d) if b > 0 else 0.0)
        return Case((torch.tensor(p), torch.tensor(q)), float(total), words)

    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    apart = np.array([0.4, 0.6, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.3, 0.7, 0.0])
    return [
        draw(p, q, "distributions that overlap"),
        draw(p, p, "a perfect generator"),
        draw(*apart, "no overlap, and a place that neither reaches"),
    ]


def _modes_cases(rng: np.random.Generator) -> list[Case]:
    def draw(n, modes, words):
        missed = 1.0
        for _ in range(n):
            missed *= (modes - 1) / modes
        return Case((n, modes), modes - modes * missed, words)

    return [
        draw(1, int(rng.integers(3, 9)), "one sample"),
        draw(int(rng.integers(500, 1500)), 1_000, "about as many samples as modes"),
        draw(int(rng.integers(50, 99)), 8, "many samples of few modes"),
    ]


def _with(function):
    """A value of the game with a mistake in it, from NumPy formulas that must live with zeros."""

    def mistaken(p, q):
        with np.errstate(all="ignore"):
            return float(np.nansum(function(p.numpy(), q.numpy())))

    return mistaken


EXERCISES = {
    "lopsided_critic": Exercise(
        points=2,
        cases=_critic_cases,
        mistakes={
            "That is the best critic for as many real samples as fakes: `ratio` is missing.": (
                lambda p, q, ratio: (p / q).log()
            ),
            "That is the probability D; its logit is log(D / (1 − D)).": (
                lambda p, q, ratio: ratio * p / (ratio * p + q)
            ),
            "The ratio counts real samples for each fake, so it goes with p.": lambda p, q, ratio: (
                p.log() - (ratio * q).log()
            ),
            "The critic says 1 to real samples: where p is large, its logit is positive.": lambda p, q, ratio: (
                q / (ratio * p)
            ).log(),
        },
    ),
    "game_value": Exercise(
        points=3,
        cases=_value_cases,
        mistakes={
            "A place that one of the two never reaches gives 0 · log 0: nan on a computer, and 0 in the limit.": (
                lambda p, q: float((p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum())
            ),
            "That is the Jensen–Shannon divergence. The value of the game is twice that, minus log 4.": _with(
                lambda p, q: (
                    0.5 * np.nan_to_num(p * np.log(2 * p / (p + q))) + 0.5 * np.nan_to_num(q * np.log(2 * q / (p + q)))
                )
            ),
            "That is what the real samples pay in. The fakes pay too: q log(1 − D).": _with(
                lambda p, q: np.nan_to_num(p * np.log(p / (p + q)))
            ),
            "The value is not positive: it is a sum of logarithms of probabilities.": _with(
                lambda p, q: -np.nan_to_num(p * np.log(p / (p + q))) - np.nan_to_num(q * np.log(q / (p + q)))
            ),
        },
    ),
    "modes_hit": Exercise(
        points=2,
        cases=_modes_cases,
        mistakes={
            "Samples fall on the same mode more than once: n samples do not reach n modes.": (
                lambda n, modes: float(min(n, modes))
            ),
            "That is the share of modes that are missed.": lambda n, modes: (1 - 1 / modes) ** n,
            "That is the number of modes that are missed.": lambda n, modes: modes * (1 - 1 / modes) ** n,
            "That is the share of modes that are hit; the number is that times `modes`.": (
                lambda n, modes: 1 - (1 - 1 / modes) ** n
            ),
        },
    ),
}
