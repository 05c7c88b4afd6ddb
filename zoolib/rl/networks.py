"""Networks for vectors and for images."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import nn

from zoolib.run import RunError


def is_image(space: spaces.Box) -> bool:
    """Whether observations are images: uint8, three axes (one of them the channels or stacked frames)."""
    return space.dtype == "uint8" and len(space.shape) == 3


def mlp(sizes: list[int]) -> nn.Sequential:
    """Linear layers of the given sizes with SiLU between them.

    SiLU is ReLU with its corner rounded: on CartPole it made DQN's seeds solve the task more reliably than ReLU did.
    """
    layers = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class NatureCNN(nn.Module):
    """The convolutions of Mnih et al. 2015 (methods, "Model architecture"), for uint8 images of at least 36 × 36.

    Takes [B, C, H, W] or [B, H, W, C] (the axis of ≤ 4 or the smallest is the channels); gives [B, features].
    """

    def __init__(self, shape: tuple[int, int, int]):
        super().__init__()
        self.channels_last = shape[-1] < shape[0]
        channels, *sides = (shape[-1], *shape[:2]) if self.channels_last else shape
        if min(sides) < 36:
            raise RunError(f"images of {sides[0]} × {sides[1]} are too small for this network: 36 × 36 at least")
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 8, 4), nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            self.features = self(torch.zeros(1, *shape, dtype=torch.uint8)).shape[1]

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        if self.channels_last:
            obs = obs.permute(0, 3, 1, 2)
        return self.layers(obs.float() / 255)


class QNetwork(nn.Module):
    """Action values: observations [B, *space.shape] to q [B, actions]."""

    def __init__(self, space: spaces.Box, actions: int, hidden: tuple[int, ...] = (128, 128)):
        super().__init__()
        self.actions, self.image = actions, is_image(space)
        if self.image:
            body = NatureCNN(space.shape)
            self.layers = nn.Sequential(body, mlp([body.features, *hidden, actions]))
        else:
            self.layers = nn.Sequential(nn.Flatten(), mlp([int(torch.tensor(space.shape).prod()), *hidden, actions]))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.layers(obs if self.image else obs.reshape(len(obs), -1).float())
