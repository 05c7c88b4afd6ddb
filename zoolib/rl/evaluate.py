"""Held-out evaluation: a fixed policy, fixed start states, an interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from zoolib.rl.envs import HELD_OUT, LONGEST_EPISODE, Stepper, env_seed, make_envs
from zoolib.stats import bootstrap_interval


def episode_returns(
    env_id: str,
    policy: Callable[[np.ndarray], np.ndarray],
    *,
    episodes: int,
    seed: int,
    stream: int = HELD_OUT,
    max_envs: int = 100,
    give_up: Callable[[], bool] = lambda: False,
) -> np.ndarray:
    """Undiscounted returns [episodes] of `policy` (observations [N, ...] to actions [N]).

    Every copy plays one episode to its end, so that short episodes do not count more often than long ones.
    An episode without end counts with what it has after LONGEST_EPISODE steps.
    give_up: asked at every step; once true, the returns so far are all there is.
    """
    returns = []
    while len(returns) < episodes:
        envs = make_envs(env_id, min(episodes - len(returns), max_envs))
        stepper = Stepper(envs, env_seed(stream, seed * 10_000 + len(returns)))
        first: dict[int, float] = {}  # the return of each copy's first episode
        for _ in range(LONGEST_EPISODE):
            if len(first) == envs.num_envs or give_up():
                break
            stepper.step(policy(stepper.obs))
            first = stepper.finished | first
        envs.close()
        if give_up():
            break
        returns += [first.get(i, stepper.returns[i]) for i in range(envs.num_envs)]
    return np.array(returns)


def greedy(q_network: torch.nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """The policy that takes the action of highest value."""
    device = next(q_network.parameters()).device

    @torch.no_grad()
    def policy(obs: np.ndarray) -> np.ndarray:
        tensor = torch.as_tensor(obs)
        tensor = tensor.float() if tensor.dtype == torch.float64 else tensor  # which mps does not have
        return q_network(tensor.to(device)).argmax(dim=1).cpu().numpy()

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
