"""Held-out evaluation: a fixed policy, fixed start states, an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from zoolib.pretrained import save_weights
from zoolib.rl.envs import HELD_OUT, VALIDATION, Stepper, env_seed, longest_episode, make_envs
from zoolib.run import Run
from zoolib.stats import bootstrap_interval


class Episodes(NamedTuple):
    """Whole episodes of one policy."""

    returns: np.ndarray  # [E] undiscounted
    discounted: np.ndarray  # [E] discounted by the γ asked for
    first_obs: np.ndarray  # [E, ...] where each began


def episode_returns(env_id: str, policy: Callable[[np.ndarray], np.ndarray], **options) -> np.ndarray:
    """Undiscounted returns [episodes] of `policy`; see `play_episodes` for the options."""
    return play_episodes(env_id, policy, **options).returns


def play_episodes(
    env_id: str,
    policy: Callable[[np.ndarray], np.ndarray],
    *,
    episodes: int,
    seed: int,
    stream: int = HELD_OUT,
    gamma: float = 1.0,
    max_envs: int = 100,
    give_up: Callable[[], bool] = lambda: False,
) -> Episodes:
    """Episodes of `policy` (observations [N, ...] to actions [N]).

    Every copy plays one episode to its end, so that short episodes do not count more often than long ones.
    An episode without end counts with what it has after `longest_episode` steps.
    give_up: asked at every step; once true, the returns so far are all there is.
    """
    returns, discounted, first_obs = [], [], []
    while len(returns) < episodes:
        envs = make_envs(env_id, min(episodes - len(returns), max_envs))
        stepper = Stepper(envs, env_seed(stream, seed * 10_000 + len(returns)))
        first: dict[int, float] = {}  # the return of each copy's first episode
        playing, total = np.ones(envs.num_envs), np.zeros(envs.num_envs)
        first_obs += list(stepper.obs.copy())
        for t in range(longest_episode(env_id)):
            if len(first) == envs.num_envs or give_up():
                break
            batch = stepper.step(policy(stepper.obs))
            total[stepper.copies] += playing[stepper.copies] * gamma**t * batch.reward
            first = stepper.finished | first
            playing[list(first)] = 0.0
        envs.close()
        if give_up():
            break
        returns += [first.get(i, stepper.returns[i]) for i in range(envs.num_envs)]
        discounted += total.tolist()
    return Episodes(np.array(returns), np.array(discounted), np.array(first_obs[: len(returns)]))


def greedy(q_network: torch.nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """The policy that takes the action of highest value."""
    device = next(q_network.parameters()).device

    @torch.no_grad()
    def policy(obs: np.ndarray) -> np.ndarray:
        tensor = torch.as_tensor(obs)
        tensor = tensor.float() if tensor.dtype == torch.float64 else tensor  # which mps does not have
        return q_network(tensor.to(device)).argmax(dim=1).cpu().numpy()

    return policy


def best_value(q_network: torch.nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """What the network expects of acting greedily: observations [N, ...] to max_a q [N]."""
    device = next(q_network.parameters()).device

    @torch.no_grad()
    def value(obs: np.ndarray) -> np.ndarray:
        obs = obs.astype(np.float32) if obs.dtype == np.float64 else obs
        return q_network(torch.as_tensor(obs).to(device)).max(dim=1).values.cpu().numpy()

    return value


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


@dataclass
class Trained:
    """What training gives: the network with the weights that are judged, its policy, and how they came about."""

    network: torch.nn.Module
    config: object
    run: Run
    policy: Callable[[np.ndarray], np.ndarray]
    """Without exploration: observations [N, ...] to actions [N]."""


class Best:
    """Validates a policy as it learns, and keeps the weights that did best.

    Config says how: validate_every (0 keeps the last weights), validation_episodes, stop_at.  value: observations
    [N, ...] to predicted values [N]; with it, the prediction at the episodes' first states is logged beside the
    discounted return that followed.
    """

    def __init__(self, network: torch.nn.Module, policy: Callable, config, run: Run, value: Callable | None = None):
        self.network, self.policy, self.config, self.run, self.value = network, policy, config, run, value
        self.score, self.weights, self.validated_at = -float("inf"), {}, 0

    def validate(self, *, last: bool = False) -> None:
        """Score the policy on validation seeds if it is time to, or if this is the `last` chance; perhaps stop."""
        run, config = self.run, self.config
        due = 1 if last else config.validate_every
        if config.validate_every and run.step - self.validated_at >= due and run.stopped != "interrupted":
            self._validate(run, config)
        if last and self.weights:
            run.figures["validation_return"] = self.score

    def _validate(self, run: Run, config) -> None:
        self.validated_at = run.step
        with run.untimed():
            played = play_episodes(
                config.env_id,
                self.policy,
                episodes=config.validation_episodes,
                seed=run.seed,
                stream=VALIDATION,
                gamma=config.gamma,
                give_up=lambda: run.stopped == "interrupted",
            )
        if run.stopped == "interrupted":
            return
        score = played.returns.mean()
        run.log(validation_return=score)
        if self.value is not None:
            run.log(predicted_value=self.value(played.first_obs).mean(), realised_value=played.discounted.mean())
        if score > self.score:
            self.score, self.weights = float(score), {k: v.clone() for k, v in self.network.state_dict().items()}
        if config.stop_at is not None and score >= config.stop_at:
            run.stop("solved")

    def finish(self) -> Trained:
        """Put the best weights into the network and save them.

        Only after training: the checkpoint holds the last weights, from which a resumed run goes on.
        """
        run = self.run
        if self.weights:
            self.network.load_state_dict(self.weights)
        if run.out is not None:
            header = {"algorithm": run.algorithm, "config": asdict(self.config), "seed": run.seed, **run.figures}
            save_weights(Path(run.out) / "weights.safetensors", self.network.state_dict(), header)
        return Trained(self.network, self.config, run, self.policy)

    def state_dict(self) -> dict:
        return {"score": self.score, "weights": self.weights, "validated_at": self.validated_at}

    def load_state_dict(self, state: dict) -> None:
        self.score, self.weights, self.validated_at = state["score"], state["weights"], state["validated_at"]
