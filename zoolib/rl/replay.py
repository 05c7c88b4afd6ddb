"""Replay memory: a ring of transitions in preallocated tensors (Lin 1992; Mnih et al. 2015)."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from typing import NamedTuple

import numpy as np
import torch

from zoolib.rl.prioritized import Priorities
from zoolib.run import RunError


class Batch(NamedTuple):
    """B transitions, as tensors on one device."""

    obs: torch.Tensor  # [B, *obs_shape]
    action: torch.Tensor  # [B] int64; continuous ones [B, k] float32
    reward: torch.Tensor  # [B] float32
    next_obs: torch.Tensor  # [B, *obs_shape]; the true next observation, also at an episode's end
    terminated: torch.Tensor  # [B] bool; False where an episode was only truncated
    steps: torch.Tensor | int = 1  # [B] how many rewards `reward` sums; next_obs is that many steps away
    index: np.ndarray | None = None  # [B] where a prioritized memory drew them
    weight: torch.Tensor | None = None  # [B] importance weights, where it did


class NStep:
    """Turns single transitions into n-step ones: r + γ r' + … over at most n rewards of one episode.

    Near an episode's end fewer rewards are left: such a transition sums those, and says so in `steps`.
    """

    def __init__(self, n: int, gamma: float):
        self.n, self.gamma = n, gamma
        self.windows: dict[int, deque] = defaultdict(deque)  # for each copy: what has not yet n rewards

    def __call__(self, batch: Batch, copies: np.ndarray, ended: np.ndarray) -> Batch | None:
        """batch: single transitions, the row i of the environment copies[i], its episode's last where ended[i].

        Returns the n-step transitions that are now complete; None where there are none.
        """
        complete = []
        for i, copy in enumerate(copies):
            window = self.windows[copy]
            window.append((batch.obs[i], batch.action[i], batch.reward[i]))
            while len(window) == self.n or (ended[i] and window):
                total = sum(self.gamma**k * reward for k, (_, _, reward) in enumerate(window))
                obs, action, _ = window[0]
                complete.append((obs, action, total, batch.next_obs[i], batch.terminated[i], len(window)))
                window.popleft()
        return Batch(*map(np.stack, zip(*complete, strict=True))) if complete else None


def ring(shape: tuple[int, ...], dtype: torch.dtype, device) -> torch.Tensor:
    """Room for shape[0] entries, all zero; on a CPU it takes memory only as it fills.  RunError where there is none."""
    try:
        if torch.device(device).type != "cpu":
            return torch.zeros(shape, dtype=dtype, device=device)
        return torch.from_numpy(np.zeros(shape, torch.empty(0, dtype=dtype).numpy().dtype))
    except (RuntimeError, MemoryError):
        size = math.prod(shape) * dtype.itemsize / 1e9
        raise RunError(f"a memory of {shape[0]:,} entries would take {size:.1f} GB; lower replay_size") from None


class Replay:
    """The last `capacity` transitions.  Images stay uint8: what the environment gives is what is stored.

    action_shape: of continuous actions; None for numbered ones.  n_step, gamma: what is stored are n-step transitions.
    priorities: draws by them instead of uniformly.
    """

    def __init__(
        self,
        capacity: int,
        obs_shape: tuple[int, ...],
        obs_dtype=torch.float32,
        device="cpu",
        *,
        action_shape: tuple[int, ...] | None = None,
        n_step: int = 1,
        gamma: float = 1.0,
        priorities: Priorities | None = None,
    ):
        self.capacity, self.device = capacity, torch.device(device)
        self.n_step = NStep(n_step, gamma) if n_step > 1 else None
        self.priorities = priorities
        action_dtype = torch.int64 if action_shape is None else torch.float32
        self.data = {
            "obs": ring((capacity, *obs_shape), obs_dtype, device),
            "action": ring((capacity, *(action_shape or ())), action_dtype, device),
            "reward": ring((capacity,), torch.float32, device),
            "next_obs": ring((capacity, *obs_shape), obs_dtype, device),
            "terminated": ring((capacity,), torch.bool, device),
        }
        if n_step > 1:
            self.data["steps"] = ring((capacity,), torch.int64, device)
        self.cursor = 0  # where the next transition goes
        self.size = 0  # how many are stored

    def __len__(self) -> int:
        return self.size

    def add(self, batch: Batch, copies: np.ndarray | None = None, ended: np.ndarray | None = None) -> None:
        """Store n ≤ capacity transitions (arrays or tensors, first axis n), over the oldest where it is full.

        copies, ended: see `NStep`, which needs them; single transitions do without.
        """
        if self.n_step is not None:
            batch = self.n_step(batch, copies, ended)
            if batch is None:
                return
        n = len(batch.reward)
        where = (self.cursor + torch.arange(n, device=self.device)) % self.capacity
        for name, ring in self.data.items():
            ring[where] = torch.as_tensor(getattr(batch, name)).to(ring.dtype).to(self.device)
        if self.priorities is not None:
            self.priorities.added(where)
        self.cursor = (self.cursor + n) % self.capacity
        self.size = min(self.size + n, self.capacity)

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions with replacement: uniformly, or by priority."""
        if self.priorities is None:
            index = torch.randint(self.size, (batch_size,), device=self.device)
            return Batch(**{name: ring[index] for name, ring in self.data.items()})
        index, weight = self.priorities.draw(batch_size, self.size)
        where = torch.from_numpy(index).to(self.device)
        weight = torch.from_numpy(weight).float().to(self.device)
        return Batch(**{name: ring[where] for name, ring in self.data.items()}, index=index, weight=weight)

    def state_dict(self) -> dict:
        """Only the filled part; with the cursor it is the whole memory."""
        state = {"cursor": self.cursor, "size": self.size}
        if self.priorities is not None:
            state["priority"] = torch.from_numpy(self.priorities.tree[np.arange(self.size)])
            state["highest"] = self.priorities.highest
        return state | {name: ring[: self.size].clone() for name, ring in self.data.items()}

    def load_state_dict(self, state: dict) -> None:
        self.cursor, self.size = state["cursor"], state["size"]
        for name, ring in self.data.items():
            ring[: self.size] = state[name].to(self.device)
        if self.priorities is not None:
            self.priorities.tree[np.arange(self.size)] = state["priority"].numpy()
            self.priorities.highest = state["highest"]
