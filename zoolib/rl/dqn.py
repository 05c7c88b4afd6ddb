"""Deep Q-learning on any Gymnasium environment with discrete actions.

Mnih et al. 2015, "Human-level control through deep reinforcement learning": algorithm 1.  A network q(s, ·; θ)
learns from replayed transitions towards r + γ max_a q(s', a; θ⁻), where θ⁻ is an older copy of θ.

Two things differ from the paper, both for speed on a CPU: several copies of the environment act at once, and steps
and updates alternate in bursts (256 steps, then 32 updates on large batches), with θ⁻ copied after each burst.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from zoolib.pretrained import WeightsError, save_weights
from zoolib.rl.envs import TRAINING, VALIDATION, Stepper, env_seed, in_a_line, make_envs, require_discrete
from zoolib.rl.evaluate import episode_returns, greedy
from zoolib.rl.networks import QNetwork, is_image
from zoolib.rl.presets import Preset, choose_preset, from_header
from zoolib.rl.replay import Batch, Replay
from zoolib.run import Run, RunError


@dataclass(frozen=True)
class Config:
    """DQN on any Gymnasium environment with discrete actions."""

    env_id: str = "CartPole-v1"
    """Gymnasium's name of the environment."""
    total_steps: int = 80_000
    """Environment steps, all copies together."""
    num_envs: int = 16
    """Copies of the environment that act at once."""
    hidden: tuple[int, ...] = (128, 128)
    """Units in each hidden layer."""
    learning_rate: float = 2.3e-3
    """Adam's step size."""
    gamma: float = 0.98
    """Discount factor γ."""
    batch_size: int = 512
    """Transitions in one update."""
    replay_size: int = 100_000
    """Transitions that the replay memory holds."""
    learning_starts: int = 1_000
    """Steps taken before the first update."""
    train_every: int = 256
    """Steps between two bursts of updates."""
    updates: int = 32
    """Updates in one burst."""
    target_every: int = 32
    """Updates between two copies of θ into the target network θ⁻; 0 does without a target network."""
    epsilon_start: float = 1.0
    """Share of random actions at the start."""
    epsilon_end: float = 0.04
    """Share of random actions from `epsilon_steps` on."""
    epsilon_steps: int = 8_000
    """Steps over which ε falls linearly."""
    max_grad_norm: float = 10.0
    """Gradients longer than this are shortened to it."""
    validate_every: int = 1_000
    """Steps between two greedy validations; the best weights by them are the ones kept. 0 keeps the last."""
    validation_episodes: int = 20
    """Episodes in one validation, on seeds apart from training and from the reported evaluation."""
    stop_at: float | None = None
    """End early once a validation reaches this mean return."""

    def __post_init__(self):
        counts = ("total_steps", "num_envs", "batch_size", "replay_size", "train_every", "updates")
        for name in (*counts, "validation_episodes"):
            if getattr(self, name) < 1:
                raise RunError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_starts", "target_every", "epsilon_steps", "validate_every"):
            if getattr(self, name) < 0:
                raise RunError(f"{name} must not be negative, as {getattr(self, name)} is")
        for name in ("gamma", "epsilon_start", "epsilon_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise RunError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise RunError(f"{name} must be a positive number, not {getattr(self, name)}")
        if any(units < 1 for units in self.hidden):
            raise RunError(f"hidden must hold numbers of units of at least 1, not {self.hidden}")
        if self.stop_at is not None and self.stop_at != self.stop_at:
            raise RunError("stop_at must be a number or None, not nan")
        if self.replay_size < self.num_envs:
            raise RunError(f"replay_size must hold one step of {self.num_envs} copies, not {self.replay_size}")


# What each budget changes, by family of environments; flags on the command line come after.
PRESETS = {
    ("CartPole", "quick"): Preset("under a minute on one CPU thread", {"stop_at": 500.0}),
    ("CartPole", "full"): Preset("about a minute on one CPU thread", {"total_steps": 200_000}),
    ("any", "quick"): Preset("a minute or two for vectors on one CPU thread", {}),
    ("any", "full"): Preset(
        "about half an hour for vectors on one CPU thread, hours for images on a GPU",
        {"total_steps": 1_000_000, "epsilon_steps": 100_000, "validate_every": 20_000},
    ),
}


def preset(env_id: str, budget: str) -> Preset:
    """The Config for an environment and a budget.  Raises RunError for an unknown budget."""
    return choose_preset(PRESETS, Config, env_id, budget)


# ------------------------------------------------------------ the algorithm


def td_target(reward: torch.Tensor, next_q: torch.Tensor, terminated: torch.Tensor, gamma: float) -> torch.Tensor:
    """Bellman target y = r + γ max_a q(s', a; θ⁻), without the second term where the episode terminated.

    Mnih et al. 2015, algorithm 1.  reward, terminated: [B]; next_q: [B, A].  Returns [B].
    """
    return reward + gamma * ~terminated * next_q.max(dim=1).values


def td_loss(q_network: nn.Module, target_network: nn.Module, batch: Batch, gamma: float) -> torch.Tensor:
    """Huber loss of the TD error, for each sample: [B].  This is the hook that `train(loss=...)` replaces.

    The paper's clipped error term is the Huber loss's gradient (Mnih et al. 2015, methods, "Training details").
    """
    with torch.no_grad():
        y = td_target(batch.reward, target_network(batch.next_obs), batch.terminated, gamma)
    q = q_network(batch.obs).gather(1, batch.action[:, None]).squeeze(1)
    assert q.shape == y.shape, f"q {tuple(q.shape)} against target {tuple(y.shape)} would broadcast"
    return F.smooth_l1_loss(q, y, reduction="none")


def epsilon(step: int, config: Config) -> float:
    """Share of random actions at `step`: falls linearly, then stays."""
    progress = min(1.0, step / max(config.epsilon_steps, 1))
    return config.epsilon_start + progress * (config.epsilon_end - config.epsilon_start)


def act(q_network: nn.Module, obs: np.ndarray, eps: float, rng: np.random.Generator) -> np.ndarray:
    """ε-greedy actions [N] for observations [N, ...]."""
    action = greedy(q_network)(obs)
    explore = rng.random(len(action)) < eps
    action[explore] = rng.integers(0, q_network.actions, explore.sum())
    return action


# ------------------------------------------------------------------- train


@dataclass
class Trained:
    """What training gives: the network with the weights that are judged, and how they came about."""

    network: QNetwork
    config: Config
    run: Run

    @property
    def policy(self) -> Callable[[np.ndarray], np.ndarray]:
        """Greedy: observations [N, ...] to actions [N]."""
        return greedy(self.network)


def train(config: Config, *, loss: Callable = td_loss, run: Run | None = None) -> Trained:
    """Train a Q-network.

    loss(q_network, target_network, batch, gamma) gives a loss per sample [B]; see `td_loss`.
    """
    envs = make_envs(config.env_id, config.num_envs)
    actions = require_discrete(envs, config.env_id, "DQN")
    space = envs.single_observation_space
    run = (run or Run()).begin("dqn", config, tiny=not is_image(space), hooks={"loss": loss})
    q_network = QNetwork(space, actions, config.hidden).to(run.device)
    target_network = copy.deepcopy(q_network) if config.target_every else q_network
    optimizer = torch.optim.Adam(q_network.parameters(), config.learning_rate, fused=True)
    obs_dtype = torch.uint8 if is_image(space) else torch.float32
    replay = Replay(config.replay_size, space.shape, obs_dtype, run.device)
    best = {"score": -float("inf"), "weights": {}}
    count = {"updates": 0, "trained_at": 0, "validated_at": 0}

    with run.track(
        network=q_network, target=target_network, optimizer=optimizer, replay=replay, best=best, count=count
    ):
        stepper = Stepper(envs, env_seed(TRAINING, run.seed, run.step))
        for step in run.steps(config.total_steps, by=config.num_envs):
            action = act(q_network, stepper.obs, epsilon(step, config), run.rng)
            replay.add(stepper.step(action))
            if stepper.finished:
                run.log(episode_return=list(stepper.finished.values()))

            if step >= config.learning_starts and step - count["trained_at"] >= config.train_every:
                count["trained_at"] = step
                for _ in range(config.updates):
                    loss_value = update(q_network, target_network, optimizer, loss, replay, config)
                    count["updates"] += 1
                    if config.target_every and count["updates"] % config.target_every == 0:
                        target_network.load_state_dict(q_network.state_dict())
                run.log(loss=loss_value, epsilon=epsilon(step, config))

            if config.validate_every and step - count["validated_at"] >= config.validate_every:
                count["validated_at"] = step
                validate(q_network, best, run, config)
        if config.validate_every and count["validated_at"] < run.step and run.stopped != "interrupted":
            count["validated_at"] = run.step
            validate(q_network, best, run, config)
        if best["weights"]:
            run.figures["validation_return"] = best["score"]
    envs.close()
    if best["weights"]:  # only now: the checkpoint holds the last weights, from which a resumed run goes on
        q_network.load_state_dict(best["weights"])
    if run.out is not None:
        header = {"algorithm": "dqn", "config": asdict(config), "seed": run.seed, **run.figures}
        save_weights(Path(run.out) / "weights.safetensors", q_network.state_dict(), header)
    return Trained(q_network, config, run)


def load(state: dict[str, torch.Tensor], header: dict) -> tuple[Callable, Config]:
    """Greedy policy and Config from saved weights (see zoolib.pretrained)."""
    try:
        config = from_header(Config, header)
        envs = make_envs(config.env_id, 1)
        space = envs.single_observation_space
        q_network = QNetwork(space, require_discrete(envs, config.env_id, "DQN"), config.hidden)
        envs.close()
        q_network.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their own header: {in_a_line(error)}") from None
    return greedy(q_network), config


def update(q_network, target_network, optimizer, loss, replay: Replay, config: Config) -> torch.Tensor:
    """One gradient step on one replayed batch; returns the mean loss."""
    batch = replay.sample(config.batch_size)
    value = loss(q_network, target_network, batch, config.gamma)
    if value.shape != batch.reward.shape:
        raise RunError(
            f"the loss must be one number for each of the {len(batch.reward)} samples, [{len(batch.reward)}]; "
            f"it has shape {list(value.shape)}"
        )
    value = value.mean()
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(q_network.parameters(), config.max_grad_norm)
    optimizer.step()
    return value.detach()


def validate(q_network: QNetwork, best: dict, run: Run, config: Config) -> None:
    """Score the greedy policy on validation seeds, keep the best weights, stop where the task is solved."""
    with run.untimed():
        score = episode_returns(
            config.env_id,
            greedy(q_network),
            episodes=config.validation_episodes,
            seed=run.seed,
            stream=VALIDATION,
            give_up=lambda: run.stopped == "interrupted",
        )
    if run.stopped == "interrupted":
        return
    score = score.mean()
    run.log(validation_return=score)
    if score > best["score"]:
        best.update(score=float(score), weights={k: v.clone() for k, v in q_network.state_dict().items()})
    if config.stop_at is not None and score >= config.stop_at:
        run.stop("solved")
