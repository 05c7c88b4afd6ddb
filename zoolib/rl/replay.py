"""Replay memory: a ring of transitions in preallocated tensors (Lin 1992; Mnih et al. 2015)."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Batch(NamedTuple):
    """B transitions, as tensors on one device."""

    obs: torch.Tensor  # [B, *obs_shape]
    action: torch.Tensor  # [B] int64
    reward: torch.Tensor  # [B] float32
    next_obs: torch.Tensor  # [B, *obs_shape]; the true next observation, also at an episode's end
    terminated: torch.Tensor  # [B] bool; False where an episode was only truncated


class Replay:
    """The last `capacity` transitions.  Images stay uint8: what the environment gives is what is stored."""

    def __init__(self, capacity: int, obs_shape: tuple[int, ...], obs_dtype=torch.float32, device="cpu"):
        self.capacity, self.device = capacity, torch.device(device)
        self.data = Batch(
            obs=torch.zeros(capacity, *obs_shape, dtype=obs_dtype, device=device),
            action=torch.zeros(capacity, dtype=torch.int64, device=device),
            reward=torch.zeros(capacity, dtype=torch.float32, device=device),
            next_obs=torch.zeros(capacity, *obs_shape, dtype=obs_dtype, device=device),
            terminated=torch.zeros(capacity, dtype=torch.bool, device=device),
        )
        self.cursor = 0  # where the next transition goes
        self.size = 0  # how many are stored

    def __len__(self) -> int:
        return self.size

    def add(self, batch: Batch) -> None:
        """Store n ≤ capacity transitions (arrays or tensors, first axis n), over the oldest where it is full."""
        n = len(batch.reward)
        where = (self.cursor + torch.arange(n, device=self.device)) % self.capacity
        for ring, new in zip(self.data, batch, strict=True):
            ring[where] = torch.as_tensor(new).to(ring.dtype).to(self.device)
        self.cursor = (self.cursor + n) % self.capacity
        self.size = min(self.size + n, self.capacity)

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions, uniformly and with replacement."""
        index = torch.randint(self.size, (batch_size,), device=self.device)
        return Batch(*(ring[index] for ring in self.data))

    def state_dict(self) -> dict:
        """Only the filled part; with the cursor it is the whole memory."""
        filled = {name: ring[: self.size].clone() for name, ring in self.data._asdict().items()}
        return {"cursor": self.cursor, "size": self.size, **filled}

    def load_state_dict(self, state: dict) -> None:
        self.cursor, self.size = state["cursor"], state["size"]
        for name, ring in self.data._asdict().items():
            ring[: self.size] = state[name].to(self.device)
