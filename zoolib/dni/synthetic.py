"""Synthetic gradients: a module guesses the gradient that has not arrived yet.

Jaderberg et al. 2017, "Decoupled Neural Interfaces using Synthetic Gradients" (ICML), section 2.  A network is cut
into stages.  Where it is cut, a small module M looks at the activations h [B, ...] that the lower stage sends up and
guesses δ = ∂ℓ/∂h, the gradient of each sample's loss, which the upper stages have not computed yet.  The lower stage
updates with the guess M(h) at once; when the true δ comes down, M is corrected towards it.

Gradients here are those of a *sample's* loss ℓ, so that nothing depends on the size of a batch; `inject` divides by
it, because what is minimised is the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class _Inject(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, delta, seen):
        ctx.delta, ctx.seen = delta, seen
        return h.view_as(h)

    @staticmethod
    def backward(ctx, grad):
        ctx.seen.append(grad * len(grad))
        return ctx.delta / len(grad), None, None


def inject(h: torch.Tensor, delta: torch.Tensor, seen: list) -> torch.Tensor:
    """h itself, but whatever gradient comes down to it is replaced by `delta`.

    h, delta: [B, ...], delta the gradient of each sample's loss.  What did come down is appended to `seen`, in the
    same unit: the target that the guess should have hit (the paper's δ of section 2.1, itself a guess where a further
    module sits above).
    """
    assert delta.shape == h.shape, f"a gradient of shape {tuple(delta.shape)} for activations {tuple(h.shape)}"
    return _Inject.apply(h, delta, seen)


def gradient_loss(synthetic: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """‖δ̂ − δ‖² for each sample (Jaderberg et al. 2017, section 2.1): [B, ...] and [B, ...] to [B].

    This is the hook that `train(loss=...)` replaces.
    """
    return (synthetic - true).pow(2).flatten(1).sum(dim=1)


def input_loss(synthetic: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """‖ĥ − h‖² / D for each sample, for modules that guess inputs: [B, ...] and [B, ...] to [B]."""
    return (synthetic - true).pow(2).flatten(1).mean(dim=1)


class Synthesiser(nn.Module):
    """M(h), or M(h, y) where it is conditional: activations [B, *shape] to a guess of their gradient [B, *shape].

    hidden: units of its hidden layers, each with batch normalisation and ReLU; none makes it linear.
    rank: a linear one as the product of two thin matrices.
    For images [C, H, W] it is convolutional and keeps height and width; labels then come in as planes.
    The output layer starts at zero, so that before it has learned it changes nothing.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, *, conditional: bool, hidden: tuple[int, ...] = (), rank: int = 0
    ):
        super().__init__()
        self.classes = classes if conditional else 0
        sizes = [shape[0] + self.classes, *((rank,) if rank else hidden), shape[0]]
        flat = len(shape) == 1
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
            layers.append(nn.Linear(a, b) if flat else nn.Conv2d(a, b, 3, padding="same"))
            if i < len(sizes) - 2 and not rank:
                layers += [nn.BatchNorm1d(b) if flat else nn.BatchNorm2d(b), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """h: [B, *shape]; y: labels [B], looked at only by a conditional module."""
        if self.classes:
            label = F.one_hot(y, self.classes).to(h.dtype)
            if h.dim() == 4:
                label = label[:, :, None, None].expand(-1, -1, *h.shape[2:])
            h = torch.cat([h, label], dim=1)
        return self.layers(h)

    @torch.no_grad()
    def gradient(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What the stage below updates with."""
        return self(h, y)

    def loss(self, h: torch.Tensor, y: torch.Tensor, true: torch.Tensor, measure: Callable) -> torch.Tensor:
        """How wrong the guess was, [B], once the true gradient is known."""
        return measure(self(h, y), true)


class SyntheticInput(nn.Module):
    """I(x): guesses from the network's input what the stage below would send up (the paper's synthetic inputs)."""

    def __init__(self, input_shape: tuple[int, ...], shape: tuple[int, ...], hidden: int):
        super().__init__()
        self.shape = shape
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(input_shape), hidden), nn.ReLU(), nn.Linear(hidden, math.prod(shape))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [B, *input_shape] to [B, *shape]."""
        return self.layers(x).view(-1, *self.shape)
