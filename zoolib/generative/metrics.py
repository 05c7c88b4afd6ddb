"""How far generated samples are from real ones: distances on features, and modes that are covered.

The features are those of a named classifier or projection, [N, D].  A Fréchet distance on other features than
Inception's is no "FID"; beside it belongs the distance of real images to other real ones, as many of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

BLOCK = 1_000  # rows of a matrix of distances that are held at once


class Gaussian(NamedTuple):
    """A normal distribution: mean [D] and covariance [D, D], in float64."""

    mean: torch.Tensor
    covariance: torch.Tensor


def gaussian(features: torch.Tensor) -> Gaussian:
    """The normal distribution fitted to features [N, D].  Raises ValueError for fewer than two rows, nan or inf."""
    _check(features, 2)
    features = features.double()
    return Gaussian(features.mean(0), torch.cov(features.T).reshape(features.shape[1], -1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """‖μa − μb‖² + tr(Σa + Σb − 2(Σa Σb)^½): Dowson and Landau 1982; for generated images, Heusel et al. 2017, eq. 6.

    The trace of the root is that of (√Σa Σb √Σa)^½, which is symmetric.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    mean = (a.mean - b.mean).square().sum()
    return float((mean + a.covariance.trace() + b.covariance.trace() - 2 * cross).clamp(min=0))


def kernel_distance(a: torch.Tensor, b: torch.Tensor, blocks: int = 10, seed: int = 0) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y / D + 1)³, unbiased, a mean over `blocks` random subsets
    of at most 1,000 rows: the estimator of KID (Binkowski et al. 2018, section 4), on these features.

    a: [N, D], b: [M, D].  It may fall a little below 0.
    """
    _check(a, 2), _check(b, 2)
    n = min(len(a), len(b), BLOCK)
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(blocks):
        x, y = (f[torch.randperm(len(f), generator=generator)[:n].to(f.device)].double() for f in (a, b))

        def kernel(p, q):
            return (p @ q.T / p.shape[1] + 1) ** 3

        own = sum((k.sum() - k.trace()) / (n * (n - 1)) for k in (kernel(x, x), kernel(y, y)))
        total += float(own - 2 * kernel(x, y).mean())
    return total / blocks


def radii(features: torch.Tensor, k: int = 3) -> torch.Tensor:
    """The distance of each row of features [N, D] to its k-th nearest neighbour, itself not counted: [N]."""
    _check(features, k + 2)
    near = [torch.cdist(part, features).topk(k + 1, dim=1, largest=False).values for part in features.split(BLOCK)]
    return torch.cat(near)[:, -1]


def precision_recall(
    real: torch.Tensor, fake: torch.Tensor, k: int = 3, real_radii: torch.Tensor | None = None
) -> tuple[float, float]:
    """Precision, the share of fakes within a real sample's distance to its k-th neighbour, and recall, the reverse.

    Kynkäänniemi et al. 2019, equations 1 and 2.  real: [N, D], fake: [M, D].  real_radii: `radii(real, k)`, where they
    are known already.
    """
    real_radii = radii(real, k) if real_radii is None else real_radii
    fake_radii = radii(fake, k)
    among_real, among_fake = [], torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for part, radius in zip(fake.split(BLOCK), fake_radii.split(BLOCK), strict=True):
        distance = torch.cdist(part, real)
        among_real.append((distance <= real_radii).any(1))
        among_fake |= (distance <= radius[:, None]).any(0)
    return torch.cat(among_real).double().mean().item(), among_fake.double().mean().item()


def mode_coverage(labels: torch.Tensor, modes: int) -> tuple[int, float]:
    """How many of the modes have a sample, and KL(samples ‖ uniform) in nats: Metz et al. 2017, section 3.3.1.

    labels: int64 [N], the mode of each sample.
    """
    if labels.numel() == 0 or not 0 <= int(labels.min()) <= int(labels.max()) < modes:
        raise ValueError(f"labels must hold modes from 0 to {modes - 1}, at least one of them")
    share = torch.bincount(labels, minlength=modes).double() / len(labels)
    some = share[share > 0]
    return len(some), float((some * (some * modes).log()).sum())


def point_coverage(points: torch.Tensor, centres: torch.Tensor, spread: float) -> tuple[int, float]:
    """How many centres are covered, and the share of points that are good: within three standard deviations of one.

    points: [N, 2], centres: [K, 2], spread: the standard deviation around each.  Covered is a centre that has at
    least a twentieth of the good points that an even spread would put there.  After Srivastava et al. 2017, sec. 4.1.
    """
    distance, mode = torch.cdist(points, centres).min(1)
    good = distance <= 3 * spread
    counts = torch.bincount(mode[good], minlength=len(centres))
    least = max(1, math.ceil(len(points) / len(centres) / 20))
    return int((counts >= least).sum()), good.double().mean().item()


def _check(features: torch.Tensor, least: int) -> None:
    if features.ndim != 2 or len(features) < least:
        raise ValueError(f"features must be [N, D] with at least {least} rows, not {list(features.shape)}")
    if not torch.isfinite(features).all():
        raise ValueError("features must be finite; found nan or inf")
