"""Held-out evaluation: a fixed policy, fixed start states, an interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from zoolib.rl.envs import HELD_OUT, Stepper, env_seed, make_envs
from zoolib.stats import bootstrap_interval


def episode_returns(
    env_id: str,
    policy: Callable[[np.ndarray], np.ndarray],
    *,
    episodes: int,
    seed: int,
    stream: int = HELD_OUT,
    max_envs: int = 100,
) -> np.ndarray:
    """Undiscounted returns [episodes] of `policy` (observations [N, ...] to actions [N]).

    Every copy plays one episode to its end, so that short episodes do not count more often than long ones.
    """
    returns = []
    while len(returns) < episodes:
        envs = make_envs(env_id, min(episodes - len(returns), max_envs))
        stepper = Stepper(envs, env_seed(stream, seed * 10_000 + len(returns)))
        first: dict[int, float] = {}  # the return of each copy's first episode
        while len(first) < envs.num_envs:
            stepper.step(policy(stepper.obs))
            first = stepper.finished | first
        envs.close()
        returns += [first[i] for i in range(len(first))]
    return np.array(returns)


def greedy(q_network: torch.nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """The policy that takes the action of highest value."""
    device = next(q_network.parameters()).device

    @torch.no_grad()
    def policy(obs: np.ndarray) -> np.ndarray:
        return q_network(torch.as_tensor(obs, device=device)).argmax(dim=1).cpu().numpy()

    return policy


def evaluate(env_id: str, policy, *, episodes: int = 100, seed: int = 0) -> dict:
    """Mean return over held-out episodes with a 95 % bootstrap interval, as `zoolib evaluate --json` prints it."""
    returns = episode_returns(env_id, policy, episodes=episodes, seed=seed)
    low, high = bootstrap_interval(returns)
    return {
        "env_id": env_id,
        "seed": seed,
        "episodes": episodes,
        "mean": float(returns.mean()),
        "low": float(low),
        "high": float(high),
        "returns": returns.tolist(),
    }
