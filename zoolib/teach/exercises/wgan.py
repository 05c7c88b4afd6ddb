"""Exercises of generative/04-wgan."""

import math

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _mover_cases(rng: np.random.Generator) -> list[Case]:
    def draw(p, q, width, words):
        heap, hole, work = list(p), list(q), 0.0
        i = j = 0  # from left to right, the first earth into the first hole: the best plan on a line
        while i < len(p) and j < len(q):
            moved = min(heap[i], hole[j])
            work += moved * abs(i - j) * width
            heap[i], hole[j] = heap[i] - moved, hole[j] - moved
            if heap[i] <= hole[j]:
                i += 1
            else:
                j += 1
        return Case((torch.tensor(p), torch.tensor(q), width), work, words)

    width = float(rng.uniform(0.1, 3))
    p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
    left, right = np.eye(6)[0], np.eye(6)[int(rng.integers(2, 6))]
    return [
        draw(left, right, 1.0, "all earth in one place, and one hole"),
        draw(right, left, 1.0, "the same the other way round"),
        draw(p, q, width, "heaps and holes everywhere, places not 1 apart"),
    ]


def _steepness_cases(rng: np.random.Generator) -> list[Case]:
    def draw(n, d, words):
        values = np.sort(rng.normal(size=n))[::-1].copy()  # falling, so that a forgotten absolute value shows
        points = rng.normal(size=(n, d))
        largest = max(abs(values[i] - values[j]) / math.dist(points[i], points[j]) for i in range(n) for j in range(i))
        return Case((torch.tensor(values), torch.tensor(points)), largest, words)

    return [
        draw(2, 3, "two points"),
        draw(8, 1, "points on a line, in no order"),
        draw(12, 2, "points in a plane"),
    ]


def _one_sided_cases(rng: np.random.Generator) -> list[Case]:
    def draw(lengths, shape, words):
        slopes = rng.normal(size=(len(lengths), *shape))
        for i, length in enumerate(lengths):
            slopes[i] *= length / math.sqrt(float((slopes[i] ** 2).sum()))
        expected = [max(0.0, length - 1) ** 2 for length in lengths]
        return Case((torch.tensor(slopes),), torch.tensor(expected), words)

    return [
        draw(rng.uniform(0.1, 0.9, 4), (2,), "slopes below 1"),
        draw(rng.uniform(1.2, 4, 4), (2,), "slopes above 1"),
        draw(rng.uniform(0.2, 3, 5), (1, 4, 4), "slopes of images"),
    ]


EXERCISES = {
    "earth_mover": Exercise(
        points=2,
        cases=_mover_cases,
        mistakes={
            "What crosses a border counts in either direction: take the absolute value before you add up.": (
                lambda p, q, width: float((p - q).cumsum(0).sum() * width)
            ),
            "That counts how much has to move, not how far: sum up what lies to the left of each border.": (
                lambda p, q, width: float((p - q).abs().sum() * width)
            ),
            "Half the difference is the share that has to move at all (the total variation); ask how far.": (
                lambda p, q, width: float((p - q).abs().sum() / 2)
            ),
            "The places are `width` apart.": lambda p, q, width: float((p - q).cumsum(0).abs().sum()),
        },
    ),
    "steepness": Exercise(
        points=2,
        cases=_steepness_cases,
        mistakes={
            "The points come in no order: compare each with all others, not with the next one in the list.": (
                lambda values, points: float(
                    ((values[1:] - values[:-1]).abs() / (points[1:] - points[:-1]).norm(dim=1)).max()
                )
            ),
            "That is the steepest rise with a sign, from earlier to later ones; a fall counts as much.": (
                lambda values, points: max(
                    float((values[i] - values[j]) / (points[i] - points[j]).norm())
                    for i in range(len(values))
                    for j in range(i)
                )
            ),
            "Divide by the distance of the two points.": lambda values, points: float(values.max() - values.min()),
            "The largest rise and the smallest way need not belong to the same pair.": lambda values, points: float(
                (values.max() - values.min()) / torch.pdist(points).min()
            ),
        },
    ),
    "one_sided": Exercise(
        points=2,
        cases=_one_sided_cases,
        mistakes={
            "That also punishes slopes below 1, as the penalty of the chapter does; here they pay nothing.": (
                lambda slopes: (slopes.flatten(1).norm(dim=1) - 1) ** 2
            ),
            "Each sample has a slope of its own: take the norm over all but the first dimension.": (
                lambda slopes: torch.relu(slopes.norm() - 1) ** 2 * torch.ones(len(slopes), dtype=slopes.dtype)
            ),
            "The length is the *root* of the sum of squares.": lambda slopes: (
                torch.relu(slopes.flatten(1).pow(2).sum(1) - 1) ** 2
            ),
            "Square what is above 1.": lambda slopes: torch.relu(slopes.flatten(1).norm(dim=1) - 1),
        },
    ),
}
