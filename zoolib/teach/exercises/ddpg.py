"""Exercises of rl/07-ddpg."""

import math

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _scale_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for words, low, high in (
        ("symmetric bounds", [-2.0], [2.0]),
        ("bounds that are not symmetric", [0.0, -1.0], [10.0, 3.0]),
        ("bounds far from zero", [5.0, -9.0, 1.0], [6.0, -4.0, 2.5]),
    ):
        z = rng.normal(size=(6, len(low))) * 2
        expected = [[b + (t - b) / (1 + math.exp(-2 * x)) for x, b, t in zip(row, low, high, strict=True)] for row in z]
        bounds = (torch.tensor(bound, dtype=torch.float64) for bound in (low, high))
        cases.append(Case((torch.tensor(z), *bounds), torch.tensor(expected, dtype=torch.float64), words))
    return cases


def _path_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for words, rho, scale, length in (
        ("ρ = 0.85", 0.85, float(rng.uniform(0.2, 2)), 12),
        ("ρ close to 1", 0.99, 0.5, 9),
        ("ρ = 0, which is Gaussian noise", 0.0, 0.3, 5),
    ):
        fresh = rng.normal(size=length)
        # written out: x_t is the sum of all fresh numbers so far, each faded by rho to the power of its age
        sigma = scale * math.sqrt((1 - rho) * (1 + rho))
        expected = [sum(sigma * rho ** (t - k) * fresh[k] for k in range(t + 1)) for t in range(length)]
        cases.append(Case((torch.tensor(fresh), rho, scale), torch.tensor(expected), words))
    return cases


def _path(fresh, rho, sigma, start=None):
    x, path = torch.zeros((), dtype=fresh.dtype) if start is None else start, []
    for xi in fresh:
        x = rho * x + sigma * xi
        path.append(x)
    return torch.stack(path)


def _blur_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for words, low, high, c in (
        ("actions well inside their bounds", [-9.0, -9.0], [9.0, 9.0], 0.5),
        ("actions near their bounds", [-2.0], [2.0], 1.0),
        ("bounds that are not symmetric", [0.0, -3.0], [1.0, 0.5], 0.4),
    ):
        low_, high_ = np.array(low), np.array(high)
        inside = rng.uniform(0.3, 0.7, (8, len(low))) if c == 0.5 else rng.uniform(0, 1, (8, len(low)))
        action, noise = low_ + inside * (high_ - low_), rng.normal(size=(8, len(low)))
        expected = np.empty_like(action)
        for i, row in enumerate(action):
            for j, a in enumerate(row):
                kept = max(-c, min(c, noise[i, j]))
                expected[i, j] = max(low[j], min(high[j], a + kept))
        tensors = (torch.tensor(x) for x in (action, noise))
        cases.append(Case((*tensors, c, torch.tensor(low_), torch.tensor(high_)), torch.tensor(expected), words))
    return cases


EXERCISES = {
    "scale_action": Exercise(
        points=1,
        cases=_scale_cases,
        mistakes={
            "You multiplied by the upper bound; that fits only bounds that are symmetric around zero. Shift by the "
            "middle and stretch by half the range.": lambda z, low, high: high * torch.tanh(z),
            "Those lie between -1 and 1, whatever the space's bounds are.": lambda z, low, high: torch.tanh(z),
            "You clipped z to the bounds. That stays inside, but its slope is zero outside, so the actor stops "
            "learning there; squeeze with tanh.": lambda z, low, high: torch.minimum(torch.maximum(z, low), high),
            "tanh is stretched by the whole range; it already goes from -1 to 1, so half of the range is right.": (
                lambda z, low, high: (high + low) / 2 + (high - low) * torch.tanh(z)
            ),
        },
    ),
    "ou_path": Exercise(
        points=2,
        cases=_path_cases,
        mistakes={
            "You took sigma = scale. The memory adds to the variance: the path spreads further than scale. Solve "
            "scale² = ρ² scale² + σ².": lambda fresh, rho, scale: _path(fresh, rho, scale),
            "You took sigma = scale (1 - ρ). Variances add, not standard deviations: σ² = scale² (1 - ρ²).": (
                lambda fresh, rho, scale: _path(fresh, rho, scale * (1 - rho))
            ),
            "That is noise without a memory: each number stands alone.": lambda fresh, rho, scale: scale * fresh,
            "You took sigma = scale (1 - ρ²); that is the variance's factor, so take its root.": (
                lambda fresh, rho, scale: _path(fresh, rho, scale * (1 - rho**2))
            ),
        },
    ),
    "blurred_action": Exercise(
        points=2,
        cases=_blur_cases,
        mistakes={
            "The sum may leave the space's bounds; clip it to them.": lambda action, noise, c, low, high: (
                action + noise.clamp(-c, c)
            ),
            "The noise itself must be clipped to [-c, c] before it is added.": lambda action, noise, c, low, high: (
                torch.minimum(torch.maximum(action + noise, low), high)
            ),
            "You clipped the sum to [-c, c]. It is the noise that c bounds.": lambda action, noise, c, low, high: (
                torch.minimum(torch.maximum((action + noise).clamp(-c, c), low), high)
            ),
        },
    ),
}
