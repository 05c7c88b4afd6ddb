"""Networks that look at a position and say which moves are good and who will win.

A residual tower (Silver et al. 2017), a network of lines for games in which lines win, and an MLP.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn


class Output(NamedTuple):
    """What a network says of B positions, always from the view of the player to move."""

    logits: torch.Tensor
    """Of the policy [B, actions]; illegal actions included."""
    value: torch.Tensor
    """[B], in [-1, 1]."""
    ownership: torch.Tensor | None = None
    """Whose each cell will be, in [-1, 1], [B, H, W]; games of area only (Wu 2019, section 4.1)."""
    score: torch.Tensor | None = None
    """By how many cells the player will be ahead [B]."""


class Residual(nn.Module):
    """max(0, x + f(x))."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.layers(x))


class Dense(nn.Module):
    """Fully connected on a flat view of the board; `connect` > 0 first looks through every window of that size, in
    which a line of `connect` lies whole."""

    def __init__(self, shape: tuple[int, int, int], actions: int, width: int, blocks: int, connect: int = 0):
        super().__init__()
        channels, height, across = shape
        flat = channels * height * across
        self.windows = nn.Conv2d(channels, 64, connect) if connect else None
        if connect:
            flat += 64 * (height - connect + 1) * (across - connect + 1)
        self.first = nn.Sequential(nn.Linear(flat, width), nn.LayerNorm(width))
        self.rest = nn.Sequential(*(Residual(nn.Linear(width, width), nn.LayerNorm(width)) for _ in range(blocks)))
        self.policy, self.value = nn.Linear(width, actions), nn.Linear(width, 1)
        for head in (self.policy, self.value):  # so that training begins from what knows nothing
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, planes: torch.Tensor) -> Output:
        x = planes.flatten(1)
        if self.windows is not None:
            x = torch.cat([x, torch.relu(self.windows(planes)).flatten(1)], 1)
        x = self.rest(torch.relu(self.first(x)))
        return Output(self.policy(x), self.value(x).squeeze(1).tanh())


class Tower(nn.Module):
    """A residual tower of 3 × 3 convolutions with a head each for policy, value and, for games of area, ownership
    and score."""

    def __init__(self, shape: tuple[int, int, int], actions: int, width: int, blocks: int, area: bool = False):
        super().__init__()
        channels, height, across = shape
        cells = height * across

        def conv(before: int, after: int, size: int = 3) -> list[nn.Module]:
            return [nn.Conv2d(before, after, size, padding=size // 2, bias=False), nn.BatchNorm2d(after)]

        self.first = nn.Sequential(*conv(channels, width), nn.ReLU())
        self.blocks = nn.Sequential(
            *(Residual(*conv(width, width), nn.ReLU(), *conv(width, width)) for _ in range(blocks))
        )
        self.policy = nn.Sequential(*conv(width, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * cells, actions))
        self.value = nn.Sequential(
            *[*conv(width, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * cells, 64), nn.ReLU()],
            nn.Linear(64, 2 if area else 1),
        )
        self.ownership = nn.Conv2d(width, 1, 1) if area else None
        for head in (self.policy[-1], self.value[-1]):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, planes: torch.Tensor) -> Output:
        x = planes.contiguous(memory_format=torch.channels_last)  # in which convolutions are a third faster on a CPU
        x = self.blocks(self.first(x))
        values = self.value(x)
        if self.ownership is None:
            return Output(self.policy(x), values[:, 0].tanh())
        score = 10 * values[:, 1]  # so that weights of ordinary size reach the scores that games end with
        return Output(self.policy(x), values[:, 0].tanh(), self.ownership(x).squeeze(1).tanh(), score)


def dead_units(network: nn.Module, planes: torch.Tensor) -> float:
    """The share of ReLU units (channels, in convolutions) that are 0 on every one of these positions."""
    dead, hooks = [], []

    def note(module: nn.Module, inputs, output: torch.Tensor) -> None:
        dead.append((output.transpose(0, 1).flatten(1) <= 0).all(1))

    for module in network.modules():
        if isinstance(module, nn.ReLU | Residual):
            hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        network(planes)
    for hook in hooks:
        hook.remove()
    return torch.cat(dead).float().mean().item() if dead else 0.0
