"""What a generator learns from: image sets of zoolib.data, stacked MNIST, and points on a ring or a grid."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from zoolib import data

POINTS = 50_000
SPREAD = {"ring": 0.05, "grid": 0.05}
OTHERS = ("stacked-mnist", *SPREAD)


class Set(NamedTuple):
    """Samples to learn from and samples to be judged by: images, uint8 [N, C, H, W], or points, float [N, 2]."""

    name: str
    train: torch.Tensor
    test: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train.shape[1:])

    def inputs(self, rows: torch.Tensor) -> torch.Tensor:
        """Training samples as a network's input: images in [-1, 1], points as they are."""
        chosen = self.train[rows.to(self.train.device)]
        return data.as_input(chosen) if chosen.dtype == torch.uint8 else chosen


def check_name(name: str) -> None:
    """Raise DataError, with the known names, where nothing to learn from is called `name`."""
    if name not in OTHERS:
        try:
            data.check_name(name)
        except data.DataError as error:
            raise data.DataError(f"{error} (a generator also learns from {', '.join(OTHERS)})") from None


def load(name: str, device: torch.device | str = "cpu", size: int = 32) -> Set:
    """The set `name` on `device`; `size` is the side in pixels of what is read from a folder of images.

    Raises DataError as `data.load` does.
    """
    check_name(name)
    if name in SPREAD:
        return Set(name, points(name, POINTS, 0).to(device), points(name, POINTS // 5, 1).to(device))
    if name == "stacked-mnist":
        mnist = data.load("mnist")
        return Set(name, stacked(mnist.train_images, 0).to(device), stacked(mnist.test_images, 1).to(device))
    images = data.load_folder(name, size) if data.is_folder(name) else data.load(name)
    return Set(name, images.train_images.to(device), images.test_images.to(device))


def centres(name: str) -> torch.Tensor:
    """The modes of a set of points: 8 on a circle of radius 1 [8, 2], or a 5 by 5 grid of distance 1 [25, 2].

    Ring and grid are the field's (Metz et al. 2017; Srivastava et al. 2017), at a scale of our own.
    """
    if name == "ring":
        angle = torch.arange(8) * math.pi / 4
        return torch.stack([angle.cos(), angle.sin()], 1)
    side = torch.arange(-2.0, 3.0)
    return torch.cartesian_prod(side, side)


def points(name: str, n: int, seed: int) -> torch.Tensor:
    """n points [n, 2], spread evenly over the modes of "ring" or "grid", around each of them a normal distribution."""
    generator, modes = data.generator(seed, n), centres(name)
    mode = torch.randint(len(modes), (n,), generator=generator)
    return modes[mode] + SPREAD[name] * torch.randn(n, 2, generator=generator)


def stacked(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Three random digits as red, green and blue: images [N, 1, H, W] to [N, 3, H, W], which has 1,000 modes
    (Metz et al. 2017, section 3.3.1)."""
    rows = torch.randint(len(images), (len(images), 3), generator=data.generator(seed, len(images)))
    return images[rows].squeeze(2)
