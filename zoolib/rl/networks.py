"""Networks for vectors and for images."""

from __future__ import annotations

from collections.abc import Callable

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
    return nn.Sequential(*layers[:-2], Output(*sizes[-2:]))


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


def orthogonal_(network: nn.Module) -> None:
    """Orthogonal weights of gain √2 and zero biases for all layers but the last (Saxe et al. 2014).

    PyTorch's own start shrinks a signal at every layer.  Behind four of them the few pixels of Pong's ball were lost
    beside the grey of the table: after 1,000 updates a network could not yet tell that a point was being scored.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and not isinstance(layer, Output):
            nn.init.orthogonal_(layer.weight, 2**0.5)
            nn.init.zeros_(layer.bias)


class Output(nn.Linear):
    """A linear layer in float32: the values of two actions often differ by less than bfloat16 resolves."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def dueling_q(value: torch.Tensor, advantage: torch.Tensor) -> torch.Tensor:
    """Q(s, a) = V(s) + A(s, a) − mean over a' of A(s, a') (Wang et al. 2016, equation 9).

    value: [B, 1]; advantage: [B, A].  Returns [B, A].
    """
    return value + advantage - advantage.mean(dim=1, keepdim=True)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16; a CPU that only emulates it takes far longer than in float32."""
    if device.type != "cpu":
        return True
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test() for test in tests if test)


class QNetwork(nn.Module):
    """Action values: observations [B, *space.shape] to q [B, actions].

    hidden: units of the hidden layers.  combine: for a dueling network, how value [B, 1] and advantage [B, A] make
    q [B, A]; its two streams have a last hidden layer each and share what lies below.  bfloat16: compute in it all
    but the last layer, on a device that has it; the weights stay float32.
    """

    def __init__(
        self,
        space: spaces.Box,
        actions: int,
        hidden: tuple[int, ...] = (128, 128),
        combine: Callable | None = None,
        bfloat16: bool = False,
    ):
        super().__init__()
        self.actions, self.image, self.combine, self.bfloat16 = actions, is_image(space), combine, bfloat16
        below = NatureCNN(space.shape) if self.image else nn.Flatten()
        features = below.features if self.image else int(torch.tensor(space.shape).prod())
        if combine is None:
            self.layers = nn.Sequential(below, mlp([features, *hidden, actions]))
        else:
            shared, own = hidden[:-1], hidden[-1:]
            self.layers = nn.Sequential(below, mlp([features, *shared]), nn.SiLU()) if shared else below
            self.value = mlp([*(shared[-1:] or [features]), *own, 1])
            self.advantage = mlp([*(shared[-1:] or [features]), *own, actions])
        if self.image:
            orthogonal_(self)

    def precision(self, device: torch.device) -> torch.autocast:
        """The context to compute in."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16 and has_bfloat16(device))

    def streams(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The value [B, 1] and the advantages [B, A] of a dueling network, as they come out of the two streams."""
        obs = obs if self.image else obs.reshape(len(obs), -1).float()
        with self.precision(obs.device):
            shared = self.layers(obs)
            return self.value(shared), self.advantage(shared)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        if self.combine is not None:
            return self.combine(*self.streams(obs))
        obs = obs if self.image else obs.reshape(len(obs), -1).float()
        with self.precision(obs.device):
            return self.layers(obs)
