"""Distances between sets of features, against closed forms and slow versions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoolib.generative import metrics
from zoolib.generative.metrics import Gaussian


def random(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def covariance(d, seed):
    root = random(d, d, seed=seed)
    return root @ root.T


def test_frechet_of_normal_distributions_in_one_dimension():
    a, b = (Gaussian(torch.tensor([m]).double(), torch.tensor([[s**2]]).double()) for m, s in ((1.0, 2.0), (4.0, 0.5)))
    assert metrics.frechet_distance(a, b) == pytest.approx(3**2 + 1.5**2)


@given(st.integers(2, 6), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_frechet_against_the_matrix_root(d, seed):
    a, b = (Gaussian(random(d, seed=seed + i), covariance(d, seed + i)) for i in (0, 1))
    values = np.linalg.eigvals((a.covariance @ b.covariance).numpy())  # their roots sum to the root's trace
    expected = (a.mean - b.mean).square().sum() + (a.covariance + b.covariance).trace()
    expected = expected.item() - 2 * np.sqrt(values.astype(complex)).sum().real
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, abs=1e-6)
    assert metrics.frechet_distance(b, a) == pytest.approx(expected, abs=1e-6)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_gaussian_is_numpys_mean_and_covariance():
    x = random(50, 3)
    fitted = metrics.gaussian(x.float())
    np.testing.assert_allclose(fitted.mean, x.mean(0), atol=1e-6)
    np.testing.assert_allclose(fitted.covariance, np.cov(x.numpy().T), atol=1e-5)


def test_precision_and_recall_against_loops():
    real, fake, k = random(30, 4), 1.5 * random(40, 4, seed=1) + 0.5, 3

    def covered(points, by):
        radius = [sorted(float((p - q).norm()) for q in by)[k] for p in by]  # the nearest is itself
        return np.mean([any(float((p - q).norm()) <= r for q, r in zip(by, radius, strict=True)) for p in points])

    expected = covered(fake, real), covered(real, fake)
    assert 0 < min(expected) and max(expected) < 1
    assert metrics.precision_recall(real, fake, k) == pytest.approx(expected)


def test_a_collapsed_generator_is_precise_and_recalls_little():
    real = random(500, 2)
    precision, recall = metrics.precision_recall(real, 0.01 * random(500, 2, seed=1))
    assert precision > 0.95 and recall < 0.1
    precision, recall = metrics.precision_recall(real, 10 * random(500, 2, seed=1))
    assert precision < 0.2 and recall > 0.8


def test_kernel_distance_against_loops():
    a, b = random(9, 3), random(9, 3, seed=1) + 1

    def k(x, y):
        return float(x @ y / 3 + 1) ** 3

    own = [np.mean([k(s[i], s[j]) for i in range(9) for j in range(9) if i != j]) for s in (a, b)]
    expected = sum(own) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert metrics.kernel_distance(a, b, blocks=1) == pytest.approx(expected)


def test_kernel_distance_is_unbiased():
    values = [metrics.kernel_distance(random(20, 2, seed=2 * i), random(20, 2, seed=2 * i + 1), 1) for i in range(300)]
    assert min(values) < 0 and abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)


def test_mode_coverage_by_hand():
    assert metrics.mode_coverage(torch.arange(10), 10) == (10, pytest.approx(0))
    assert metrics.mode_coverage(torch.zeros(7, dtype=torch.int64), 10) == (1, pytest.approx(np.log(10)))
    with pytest.raises(ValueError, match="from 0 to 9"):
        metrics.mode_coverage(torch.tensor([10]), 10)


def test_point_coverage_by_hand():
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    points = torch.cat([torch.full((97, 2), 0.01), torch.tensor([[1.02, 0.0]] * 2), torch.tensor([[0.5, 0.5]])])
    assert metrics.point_coverage(points, centres, 0.02) == (1, pytest.approx(0.99))  # 2 of 50: not covered
    assert metrics.point_coverage(torch.cat([points[:97], points[97:99].repeat(2, 1)]), centres, 0.02)[0] == 2


@pytest.mark.parametrize("features", [torch.zeros(1, 3), torch.zeros(4), torch.tensor([[1.0], [float("nan")]])])
def test_features_that_cannot_be_compared_are_named(features):
    with pytest.raises(ValueError, match="features must be"):
        metrics.gaussian(features)
