"""Exercises of generative/06-summary."""

import math

import numpy as np

from zoolib.teach.check import Case, Exercise


def _kl_from_even(counts, base=math.e, reverse=False, seen_only=False):
    counts = [int(count) for count in counts]
    kinds = sum(count > 0 for count in counts) if seen_only else len(counts)
    shares, even = [count / sum(counts) for count in counts], 1 / kinds
    if reverse:
        return sum(even * math.log(even / max(share, 1e-12)) for share in shares)
    return sum(share * math.log(share / even, base) for share in shares if share > 0)


def _kl_cases(rng: np.random.Generator) -> list[Case]:
    said = {
        "all modes alike": [5] * 10,
        "one mode alone": [0, 0, 40, 0],
        "half of the modes": [10, 10, 0, 0],
        "uneven shares": rng.integers(1, 50, 10).tolist(),
        "uneven shares, some modes never": [*rng.integers(1, 50, 6).tolist(), 0, 0, 0],
    }
    return [Case((np.array(counts),), _kl_from_even(counts), words) for words, counts in said.items()]


def _paired_difference(first, second, ddof=1, root=True, paired=True):
    first, second = np.asarray(first, float), np.asarray(second, float)
    n, apart = len(first), first - second
    variance = apart.var(ddof=ddof) if paired else first.var(ddof=ddof) + second.var(ddof=ddof)
    return [float(apart.mean()), float(math.sqrt(variance / n if root else variance))]


def _paired_cases(rng: np.random.Generator) -> list[Case]:
    shared = rng.normal(0.3, 0.03, 6)
    said = {
        "two draws": ([0.30, 0.34], [0.29, 0.31]),
        "draws that rise and fall together": (shared + rng.normal(0.02, 0.002, 6), shared),
        "draws of their own": (rng.normal(0.30, 0.02, 8), rng.normal(0.31, 0.02, 8)),
        "the second worse": (shared, shared + rng.normal(0.05, 0.01, 6)),
    }
    return [
        Case((np.array(first), np.array(second)), _paired_difference(first, second), words)
        for words, (first, second) in said.items()
    ]


EXERCISES = {
    "kl_from_even": Exercise(
        points=2,
        cases=_kl_cases,
        mistakes={
            "Nats are asked for: use the natural logarithm.": lambda c: _kl_from_even(c, base=2),
            "It is the other way round: weight each term by the share that the mode has.": lambda c: _kl_from_even(
                c, reverse=True
            ),
            "Modes that are never drawn count too: an even share is 1 / len(counts).": lambda c: _kl_from_even(
                c, seen_only=True
            ),
        },
    ),
    "paired_difference": Exercise(
        points=2,
        cases=_paired_cases,
        mistakes={
            "Divide the sum of squares by n - 1: the mean was estimated from the same draws.": lambda a, b: (
                _paired_difference(a, b, ddof=0)
            ),
            "That is the spread of one difference; the error of the mean is smaller by the root of n.": lambda a, b: (
                _paired_difference(a, b, root=False)
            ),
            "The draws are paired: take the differences first, then their spread.": lambda a, b: _paired_difference(
                a, b, paired=False
            ),
            "The difference is first less second.": lambda a, b: _paired_difference(b, a),
        },
    ),
}
