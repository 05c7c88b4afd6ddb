"""What synthetic gradients are compared with where a network is cut: nothing, and a loss of the stage's own.

Backprop needs no module at the cut: the stages are one network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class NoBackprop(nn.Module):
    """Sends nothing down: the stages below the cut keep the weights that they started with."""

    def gradient(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(h)

    def loss(self, h: torch.Tensor, y: torch.Tensor, true: torch.Tensor | None, measure: Callable) -> None:
        return None


class LocalHead(nn.Module):
    """Decoupled greedy learning: a classifier at the cut, whose own gradient trains the stage below.

    Belilovsky, Eickenberg and Oyallon 2020, "Decoupled Greedy Learning of CNNs" (ICML).  It waits for nothing from
    above, so the upper stages cannot tell the lower ones what they need.  Images are averaged over space first.
    """

    def __init__(self, shape: tuple[int, ...], classes: int):
        super().__init__()
        pool = [nn.AdaptiveAvgPool2d(2), nn.Flatten()] if len(shape) == 3 else []
        self.layers = nn.Sequential(*pool, nn.Linear(shape[0] * (4 if pool else 1), classes))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Activations [B, ...] to logits [B, classes]."""
        return self.layers(h)

    def gradient(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Gradient of each sample's local loss: [B, ...]."""
        h = h.detach().requires_grad_()
        with torch.enable_grad():
            local = F.cross_entropy(self(h), y, reduction="sum")
        return torch.autograd.grad(local, h)[0]

    def loss(self, h: torch.Tensor, y: torch.Tensor, true: torch.Tensor | None, measure: Callable) -> torch.Tensor:
        """The local loss [B]; `true` and `measure` belong to synthetic gradients and are not looked at."""
        return F.cross_entropy(self(h), y, reduction="none")
