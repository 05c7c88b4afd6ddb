"""Exercises of generative/03-lsgan."""

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _ratio_cases(rng: np.random.Generator) -> list[Case]:
    def draw(a, b, words):
        ratio = torch.tensor(rng.uniform(0.2, 5, 6))
        share = ratio / (1 + ratio)  # of real samples at the place: the best answer is the mean of the labels
        return Case((share * b + (1 - share) * a, a, b), ratio, words)

    a = float(rng.uniform(-3, -1))
    return [draw(0.0, 1.0, "a = 0 and b = 1"), draw(a, a + float(rng.uniform(2, 4)), "other values")]


def _pearson_cases(rng: np.random.Generator) -> list[Case]:
    def draw(p, q, words):
        total = sum((a - b) ** 2 / (a + b) for a, b in zip(p, q, strict=True) if a + b > 0)
        return Case((torch.tensor(p), torch.tensor(q)), float(total), words)

    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    apart = np.array([0.4, 0.6, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.3, 0.7, 0.0])
    return [
        draw(p, q, "distributions that overlap"),
        draw(p, p, "equal ones"),
        draw(*apart, "no overlap, and a place that neither reaches"),
    ]


def _hinge_cases(rng: np.random.Generator) -> list[Case]:
    def draw(real, fake, words):
        expected = [max(0.0, 1 - r) + max(0.0, 1 + f) for r, f in zip(real, fake, strict=True)]
        return Case((torch.tensor(real), torch.tensor(fake)), torch.tensor(expected), words)

    return [
        draw(rng.uniform(-3, 0.8, 5), rng.uniform(-0.8, 3, 5), "answers that fall short"),
        draw(rng.uniform(1.2, 3, 5), rng.uniform(-3, -1.2, 5), "answers beyond what was asked"),
        draw(rng.uniform(-3, 3, 7), rng.uniform(-3, 3, 7), "answers of both kinds"),
    ]


EXERCISES = {
    "density_ratio": Exercise(
        points=2,
        cases=_ratio_cases,
        mistakes={
            "That is q / p.": lambda d, a, b: (b - d) / (d - a),
            "That is right for a = 0 and b = 1 only.": lambda d, a, b: d / (1 - d),
            "That would be the ratio from a logit of cross-entropy; this critic's answer is no logit.": (
                lambda d, a, b: d.exp()
            ),
            "That is the share of real samples, p / (p + q); the ratio is the share over what is left of 1.": (
                lambda d, a, b: (d - a) / (b - a)
            ),
        },
    ),
    "pearson": Exercise(
        points=2,
        cases=_pearson_cases,
        mistakes={
            "A place that neither reaches gives 0 / 0: nan on a computer, and nothing in the sum.": (
                lambda p, q: float(((p - q) ** 2 / (p + q)).sum())
            ),
            "Divide by p + q, place by place.": lambda p, q: float(((p - q) ** 2).sum()),
            "Square the difference.": lambda p, q: float(((p - q).abs() / (p + q).clamp(min=1e-300)).sum()),
            "That divides by the mean of p and q; the formula has their sum.": lambda p, q: float(
                (2 * (p - q) ** 2 / (p + q).clamp(min=1e-300)).sum()
            ),
        },
    ),
    "hinge_critic": Exercise(
        points=2,
        cases=_hinge_cases,
        mistakes={
            "An answer beyond what was asked pays nothing: the loss is never negative.": (
                lambda real, fake: (1 - real) + (1 + fake)
            ),
            "Made samples should be answered with at most −1, not with at most 1.": lambda real, fake: (
                torch.relu(1 - real) + torch.relu(fake - 1)
            ),
            "The two kinds are mixed up: real samples should be answered with at least 1.": lambda real, fake: (
                torch.relu(1 + real) + torch.relu(1 - fake)
            ),
            "Each of the two parts has its own zero: cut each at 0 before adding.": lambda real, fake: torch.relu(
                2 - real + fake
            ),
            "That is one number; return one for each pair, [B].": lambda real, fake: (
                torch.relu(1 - real) + torch.relu(1 + fake)
            ).mean(),
        },
    ),
}
