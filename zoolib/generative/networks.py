"""Generators and critics: fully connected (Goodfellow et al. 2014) and convolutional (Radford et al. 2016, DCGAN)."""

from __future__ import annotations

import math

import torch
from torch import nn


class Generator(nn.Module):
    """Latent vectors z [B, latent] to images [B, C, H, W] in [-1, 1], or to points [B, D]."""

    def __init__(self, *layers: nn.Module, latent: int):
        super().__init__()
        self.layers, self.latent = nn.Sequential(*layers), latent

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layers(z)


class Critic(nn.Module):
    """Images [B, C, H, W] or points [B, D] to a logit each, [B]."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).squeeze(1)


def mlp_generator(latent: int, shape: tuple[int, ...], width: int) -> Generator:
    """Two hidden layers.  Images end in tanh, points do not."""
    images = len(shape) == 3
    layers = [
        nn.Linear(latent, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, math.prod(shape)),
    ]
    return Generator(*layers, nn.Unflatten(1, shape), *([nn.Tanh()] if images else []), latent=latent)


def mlp_critic(shape: tuple[int, ...], width: int) -> Critic:
    """Two hidden layers with LeakyReLU."""
    layers = [nn.Linear(math.prod(shape), width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)]
    return Critic(nn.Flatten(), *layers, nn.Linear(width, 1))


def conv_generator(latent: int, shape: tuple[int, int, int], width: int, norm: bool = True) -> Generator:
    """A linear layer onto a small map, then transposed convolutions that double it, with a 3 × 3 convolution before
    each; `width` channels in the last hidden map, twice as many in the one before, and so on.

    norm: batch normalisation in all layers but the last.  The convolutions between are ours: they cost little on
    small maps and bring the samples a third nearer to MNIST.
    """
    channels, *size = shape
    doublings = _doublings(shape)
    widths = [width * 2**i for i in reversed(range(doublings))]
    start = (widths[0], *(side >> doublings for side in size))

    def rest(channels: int) -> list[nn.Module]:
        return [*([nn.BatchNorm2d(channels)] if norm else []), nn.ReLU()]

    layers = [nn.Linear(latent, math.prod(start), bias=not norm), nn.Unflatten(1, start), *rest(widths[0])]
    for before, after in zip(widths, [*widths[1:], None], strict=True):
        layers += [nn.Conv2d(before, before, 3, 1, 1, bias=not norm), *rest(before)]
        if after:
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=not norm), *rest(after)]
    return Generator(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh(), latent=latent)


def conv_critic(shape: tuple[int, int, int], width: int, norm: bool = True) -> Critic:
    """The generator's mirror: strided convolutions that halve the map, a 3 × 3 convolution, one linear layer.

    `width` channels in the first map, twice as many in the next, and so on.
    norm: batch normalisation in all layers but the first; a gradient penalty, which is one of single images, wants
    none (Gulrajani et al. 2017, section 4).
    """
    channels, *size = shape
    doublings = _doublings(shape)

    def rest(channels: int) -> list[nn.Module]:
        return [*([nn.BatchNorm2d(channels)] if norm else []), nn.LeakyReLU(0.2)]

    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    last = width
    for _ in range(doublings - 1):
        layers += [nn.Conv2d(last, 2 * last, 4, 2, 1, bias=not norm), *rest(2 * last)]
        last *= 2
    layers += [nn.Conv2d(last, last, 3, 1, 1, bias=not norm), *rest(last)]
    return Critic(*layers, nn.Flatten(), nn.Linear(last * math.prod(side >> doublings for side in size), 1))


def _doublings(shape: tuple[int, int, int]) -> int:
    """How often a map is doubled on its way to the image: from 7 or 8 pixels for 28 or 32, from 8 for larger ones."""
    side, count = min(shape[1:]), 0
    while side % 2 == 0 and side > 8:
        side, count = side // 2, count + 1
    return count
