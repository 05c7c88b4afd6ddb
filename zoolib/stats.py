"""Summaries of repeated runs: the interquartile mean and bootstrap intervals.

Deep reinforcement learning is judged on few seeds with heavy tails.  Agarwal et al. 2021, "Deep
reinforcement learning at the edge of the statistical precipice" (NeurIPS), recommend the interquartile
mean, which one lucky or unlucky seed cannot move far, with a percentile bootstrap interval around it.
"""

from collections.abc import Callable

import numpy as np

_BLOCK = 4_000_000  # resampled numbers held at once: bounds the memory at some tens of megabytes


def interquartile_mean(values, axis=0):
    """Mean of the middle half: sort, drop a quarter at each end, average the rest (Agarwal et al. 2021).

    values: numbers of any shape with at least one entry along `axis`.  Returns that shape without `axis`
    (a plain float for one dimension).  With n entries, floor(n / 4) are dropped at each end, as in the
    authors' own code; below four entries this is the mean.
    Raises ValueError for no entries or for values that are not finite.
    """
    values = _finite(values)
    axis = int(axis)
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis {axis} does not exist in values of shape {values.shape}")
    n = values.shape[axis]
    if n == 0:
        raise ValueError("interquartile_mean needs at least one value, got none")
    cut = n // 4
    middle = np.sort(values, axis=axis).take(np.arange(cut, n - cut), axis=axis)
    mean = middle.mean(axis=axis)
    return float(mean) if values.ndim == 1 else mean


def bootstrap_interval(values, statistic: Callable = np.mean, confidence=0.95, resamples=10_000, seed=0):
    """Percentile bootstrap interval of `statistic` over the first axis (Efron 1979; Agarwal et al. 2021).

    values: [N] or [N, ...], one entry a run (or an episode).  Whole runs are drawn with replacement, so that
    a curve [N, T] keeps what belongs together.  `statistic(samples, axis=1)` receives [R, N, ...] and returns
    [R, ...]; np.mean, np.median and interquartile_mean all fit.
    Returns (low, high): two floats for [N], else two arrays of the shape of one entry.  The same seed gives
    the same interval.  Raises ValueError for an empty or non-finite sample, a confidence outside (0, 1), or
    fewer than one resample.
    """
    values = _finite(values)
    if values.ndim == 0 or values.shape[0] == 0:
        raise ValueError("bootstrap_interval needs at least one value along the first axis, got none")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, for example 0.95, got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    n = values.shape[0]
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    block = max(1, _BLOCK // max(1, values.size))
    estimates = [statistic(values[drawn[i : i + block]], axis=1) for i in range(0, resamples, block)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(estimates), [tail, 1 - tail], axis=0)
    return (float(low), float(high)) if values.ndim == 1 else (low, high)


def _finite(values):
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("values must be finite; found nan or inf (did a run diverge, or is a curve ragged?)")
    return values
