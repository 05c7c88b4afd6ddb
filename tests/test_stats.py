"""zoolib.stats against slow reference versions, and against answers known beforehand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import trim_mean

from zoolib import stats
from zoolib.stats import bootstrap_interval, interquartile_mean

numbers = st.floats(-1e6, 1e6)
samples = st.lists(numbers, min_size=1, max_size=40)


def slow_interquartile_mean(values):
    values = sorted(values)
    for _ in range(len(values) // 4):
        values = values[1:-1]
    return sum(values) / len(values)


@given(samples)
def test_interquartile_mean_is_the_mean_of_the_middle_half(values):
    expected = slow_interquartile_mean(values)
    assert interquartile_mean(values) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert isinstance(interquartile_mean(values), float)


@given(arrays(float, array_shapes(min_dims=2, max_dims=3, max_side=9), elements=numbers), st.data())
def test_interquartile_mean_works_along_every_axis(values, data):
    axis = data.draw(st.integers(-values.ndim, values.ndim - 1))
    expected = np.apply_along_axis(slow_interquartile_mean, axis, values)
    np.testing.assert_allclose(interquartile_mean(values, axis=axis), expected, rtol=1e-9, atol=1e-6)


@given(samples, st.randoms(use_true_random=False))
def test_interquartile_mean_ignores_order_and_agrees_with_scipy(values, rng):
    shuffled = rng.sample(values, len(values))
    assert interquartile_mean(shuffled) == interquartile_mean(values)
    assert interquartile_mean(values) == pytest.approx(trim_mean(values, 0.25), rel=1e-9, abs=1e-6)


def test_interquartile_mean_of_known_answers():
    assert interquartile_mean([0, 1, 2, 1000]) == 1.5  # one at each end is dropped
    assert interquartile_mean([0, 3, 6]) == 3  # too few to drop any
    assert interquartile_mean([-1e6, *range(8), 1e6, 3]) == pytest.approx(np.mean([1, 2, 3, 3, 4, 5, 6]))
    np.testing.assert_allclose(interquartile_mean([[0, 9], [1, 9], [2, 9], [99, 9]]), [1.5, 9])


@pytest.mark.parametrize("values", [[], np.empty((0, 3)), [1.0, np.nan], [np.inf]])
def test_interquartile_mean_refuses_what_has_none(values):
    with pytest.raises(ValueError):
        interquartile_mean(values)


def test_interquartile_mean_names_the_axis_that_is_missing():
    with pytest.raises(ValueError, match="axis 2"):
        interquartile_mean([[1.0]], axis=2)


def slow_bootstrap(values, statistic, confidence, resamples, seed):
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(values), size=(resamples, len(values)))
    estimates = sorted(statistic([values[i] for i in row]) for row in drawn)
    tail = (1 - confidence) / 2
    ends = []
    for q in (tail, 1 - tail):  # linear interpolation between order statistics
        position = q * (resamples - 1)
        below = int(position)
        above = min(below + 1, resamples - 1)
        ends.append(estimates[below] + (position - below) * (estimates[above] - estimates[below]))
    return tuple(ends)


@settings(max_examples=40)
@given(samples, st.sampled_from([0.5, 0.9, 0.95]), st.integers(1, 60), st.integers(0, 9))
def test_bootstrap_interval_is_the_percentile_bootstrap(values, confidence, resamples, seed):
    for statistic, slow in ((np.mean, np.mean), (interquartile_mean, slow_interquartile_mean)):
        got = bootstrap_interval(values, statistic, confidence, resamples, seed)
        expected = slow_bootstrap(values, slow, confidence, resamples, seed)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-6)


@settings(max_examples=40)
@given(arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=numbers))
def test_bootstrap_interval_of_curves_is_that_of_each_column(curves):
    low, high = bootstrap_interval(curves, resamples=50)
    assert low.shape == high.shape == curves.shape[1:]
    for t in range(curves.shape[1]):
        np.testing.assert_allclose((low[t], high[t]), bootstrap_interval(curves[:, t], resamples=50), atol=1e-6)


@given(samples)
def test_bootstrap_interval_lies_within_the_sample_and_is_ordered(values):
    low, high = bootstrap_interval(values, resamples=100)
    slack = 1e-9 * max(1.0, max(map(abs, values)))
    assert min(values) - slack <= low <= high <= max(values) + slack


def test_bootstrap_interval_does_not_depend_on_the_block_size(monkeypatch):
    values = np.random.default_rng(0).normal(size=(7, 3))
    whole = bootstrap_interval(values, resamples=100)
    monkeypatch.setattr(stats, "_BLOCK", 50)
    np.testing.assert_array_equal(bootstrap_interval(values, resamples=100), whole)


def test_bootstrap_interval_of_known_answers():
    assert bootstrap_interval([4.0, 4.0, 4.0]) == (4.0, 4.0)
    normal = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_interval(normal)
    standard_error = normal.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(normal.mean() - 1.96 * standard_error, abs=0.1 * standard_error)
    assert high == pytest.approx(normal.mean() + 1.96 * standard_error, abs=0.1 * standard_error)


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        low, high = bootstrap_interval(rng.normal(size=30), resamples=500)
        hits += low <= 0 <= high
    assert 0.89 <= hits / 300 <= 0.98  # the percentile bootstrap is a little narrow on 30 values


def test_bootstrap_interval_repeats_with_its_seed():
    values = np.random.default_rng(0).normal(size=20)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [
        ([], {}, "at least one"),
        ([1.0, np.nan], {}, "finite"),
        ([1.0], {"confidence": 95}, "95"),
        ([1.0], {"resamples": 0}, "0"),
    ],
)
def test_bootstrap_interval_says_what_is_wrong(values, options, says):
    with pytest.raises(ValueError, match=says):
        bootstrap_interval(values, **options)
