"""Deep deterministic policy gradient on any Gymnasium environment with bounded continuous actions.

Lillicrap et al. 2016, "Continuous control with deep reinforcement learning": algorithm 1.  A critic q(s, a) learns as
in DQN; an actor μ(s) climbs the critic's gradient with respect to the action (Silver et al. 2014).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from zoolib.pretrained import WeightsError
from zoolib.rl.envs import TRAINING, Stepper, env_seed, in_a_line, make_envs, require_bounded
from zoolib.rl.evaluate import Best, Trained
from zoolib.rl.networks import is_image, mlp
from zoolib.rl.presets import Preset, check_config, choose_preset, from_header
from zoolib.rl.replay import Batch, Replay
from zoolib.run import Run, RunError


@dataclass(frozen=True)
class Config:
    """DDPG on any Gymnasium environment with bounded continuous actions."""

    env_id: str = "Pendulum-v1"
    """Gymnasium's name of the environment."""
    total_steps: int = 10_000
    """Environment steps, all copies together."""
    num_envs: int = 1
    """Copies of the environment that act at once."""
    hidden: tuple[int, ...] = (128, 128)
    """Units in each hidden layer of the actor and of the critic."""
    learning_rate: float = 1e-3
    """Adam's step size, for both."""
    gamma: float = 0.98
    """Discount factor γ."""
    tau: float = 0.005
    """τ: how far the target networks follow at each update."""
    batch_size: int = 128
    """Transitions in one update."""
    replay_size: int = 100_000
    """Transitions that the replay memory holds."""
    learning_starts: int = 1_000
    """Steps of random actions before the first update."""
    noise: Literal["gaussian", "ou"] = "gaussian"
    """Exploration: fresh noise at each step, or an Ornstein-Uhlenbeck process that drifts."""
    noise_scale: float = 0.1
    """Standard deviation of the noise, as a share of half the action's range."""
    validate_every: int = 1_000
    """Steps between two validations; the best weights by them are the ones kept. 0 keeps the last."""
    validation_episodes: int = 50
    """Episodes in one validation, on seeds apart from training and from the reported evaluation."""
    stop_at: float | None = None
    """End early once a validation reaches this mean return."""

    def __post_init__(self):
        check_config(
            self,
            at_least_1=("total_steps", "num_envs", "batch_size", "replay_size", "validation_episodes"),
            not_negative=("learning_starts", "noise_scale", "validate_every"),
            shares=("gamma", "tau"),
            positive=("learning_rate",),
        )
        if self.noise not in ("gaussian", "ou"):
            raise RunError(f"noise must be gaussian or ou, not {self.noise!r}")
        if self.replay_size < self.num_envs:
            raise RunError(f"replay_size must hold one step of {self.num_envs} copies, not {self.replay_size}")


# What each budget changes, by family of environments; flags on the command line come after.
PRESETS = {
    ("Pendulum", "quick"): Preset("under a minute on one CPU thread", {"tau": 0.02}),
    ("Pendulum", "full"): Preset("about two minutes on one CPU thread", {"tau": 0.02, "total_steps": 50_000}),
    ("any", "quick"): Preset("a minute or two on one CPU thread", {"total_steps": 30_000, "gamma": 0.99}),
    ("any", "full"): Preset(
        "about an hour on one CPU thread",
        {"total_steps": 1_000_000, "gamma": 0.99, "hidden": (256, 256), "validate_every": 20_000},
    ),
}


def preset(env_id: str, budget: str) -> Preset:
    """The Config for an environment and a budget.  Raises RunError for an unknown budget."""
    return choose_preset(PRESETS, Config, env_id, budget)


class Actor(nn.Module):
    """μ(s): observations [B, ...] to actions [B, k] within the space's own bounds."""

    def __init__(self, space: spaces.Box, action_space: spaces.Box, hidden: tuple[int, ...]):
        super().__init__()
        low, high = (torch.as_tensor(bound.reshape(-1)).float() for bound in (action_space.low, action_space.high))
        self.register_buffer("middle", (high + low) / 2, persistent=False)
        self.register_buffer("reach", (high - low) / 2, persistent=False)
        self.layers = mlp([int(np.prod(space.shape)), *hidden, len(low)])

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.middle + self.reach * torch.tanh(self.layers(obs.flatten(1)))


class Critic(nn.Module):
    """q(s, a): observations [B, ...] and actions [B, k] to values [B]."""

    def __init__(self, space: spaces.Box, action_space: spaces.Box, hidden: tuple[int, ...]):
        super().__init__()
        self.layers = mlp([int(np.prod(space.shape)) + int(np.prod(action_space.shape)), *hidden, 1])

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([obs.flatten(1), action], dim=1)).squeeze(1)


class Networks(nn.ModuleDict):
    """Actor and critic together: what is saved."""

    def __init__(self, space: spaces.Box, action_space: spaces.Box, hidden: tuple[int, ...]):
        super().__init__({"actor": Actor(space, action_space, hidden), "critic": Critic(space, action_space, hidden)})


# ------------------------------------------------------------ the algorithm


def critic_loss(networks: Networks, targets: Networks, batch: Batch, gamma: float) -> torch.Tensor:
    """Squared TD error against y = r + γ q(s', μ(s'; θ⁻); θ⁻), for each sample: [B].  A hook of `train`.

    Lillicrap et al. 2016, algorithm 1.
    """
    with torch.no_grad():
        next_q = targets["critic"](batch.next_obs, targets["actor"](batch.next_obs))
        y = batch.reward + gamma * ~batch.terminated * next_q
    return (networks["critic"](batch.obs, batch.action) - y).pow(2)


def actor_loss(networks: Networks, batch: Batch) -> torch.Tensor:
    """−q(s, μ(s)) for each sample: [B].  Its gradient is the deterministic policy gradient's.  A hook of `train`.

    Silver et al. 2014, theorem 1; Lillicrap et al. 2016, equation 6.
    """
    return -networks["critic"](batch.obs, networks["actor"](batch.obs))


@torch.no_grad()
def follow(targets: nn.Module, networks: nn.Module, tau: float) -> None:
    """θ⁻ ← (1 − τ) θ⁻ + τ θ."""
    torch._foreach_lerp_(list(targets.parameters()), list(networks.parameters()), tau)


class Noise:
    """Exploration noise [N, k] in units of half the action's range, with standard deviation `scale`.

    "ou" is an Ornstein-Uhlenbeck process, x ← x + 0.15 (0 − x) + σ w (Lillicrap et al. 2016, section 7), with σ such
    that it spreads as far as Gaussian noise of that scale; it starts from 0 in each episode.
    """

    def __init__(self, kind: str, scale: float, shape: tuple[int, int], rng: np.random.Generator):
        self.kind, self.scale, self.rng = kind, scale, rng
        self.state = np.zeros(shape, np.float32)

    def __call__(self, ended: np.ndarray) -> np.ndarray:
        """The next noise; the copies whose episode has `ended` [N] start anew."""
        fresh = self.scale * self.rng.standard_normal(self.state.shape, dtype=np.float32)
        if self.kind == "gaussian":
            return fresh
        self.state[ended] = 0
        self.state = 0.85 * self.state + np.float32(np.sqrt(1 - 0.85**2)) * fresh
        return self.state


# ------------------------------------------------------------------- train


def train(
    config: Config,
    *,
    critic_loss: Callable = critic_loss,
    actor_loss: Callable = actor_loss,
    run: Run | None = None,
) -> Trained:
    """Train an actor and a critic.  The two losses give a loss per sample [B]; see those of this module."""
    envs = make_envs(config.env_id, config.num_envs)
    space, action_space = envs.single_observation_space, require_bounded(envs, config.env_id, "DDPG")
    if is_image(space):
        raise RunError(f"DDPG learns from vectors here, but {config.env_id} shows images {space.shape}; A2C takes them")
    hooks = {"critic_loss": critic_loss, "actor_loss": actor_loss}
    run = (run or Run()).begin("ddpg", config, tiny=True, hooks=hooks)
    networks = Networks(space, action_space, config.hidden).to(run.device)
    targets = copy.deepcopy(networks)
    critic_optimizer = torch.optim.Adam(networks["critic"].parameters(), config.learning_rate, fused=True)
    actor_optimizer = torch.optim.Adam(networks["actor"].parameters(), config.learning_rate, fused=True)
    replay = Replay(
        config.replay_size, space.shape, device=run.device, action_shape=(int(np.prod(action_space.shape)),)
    )
    best = Best(networks, deterministic(networks, action_space), config, run)
    noise = Noise(config.noise, config.noise_scale, (config.num_envs, len(replay.data["action"][0])), run.rng)
    low, high = action_space.low.reshape(1, -1), action_space.high.reshape(1, -1)

    with run.track(
        networks=networks,
        targets=targets,
        critic_optimizer=critic_optimizer,
        actor_optimizer=actor_optimizer,
        replay=replay,
        best=best,
    ):
        stepper = Stepper(envs, env_seed(TRAINING, run.seed, run.step))
        for step in run.steps(config.total_steps, by=config.num_envs):
            if step <= config.learning_starts:
                action = run.rng.uniform(low, high, noise.state.shape).astype(np.float32)
            else:
                action = best.policy(stepper.obs).reshape(noise.state.shape)
                action = np.clip(action + (high - low) / 2 * noise(stepper.done), low, high)
            batch = stepper.step(action.reshape(-1, *action_space.shape))
            replay.add(batch._replace(action=batch.action.reshape(-1, noise.state.shape[1])))
            if stepper.finished:
                run.log(episode_return=list(stepper.finished.values()))

            if step > config.learning_starts and len(replay):
                for _ in range(config.num_envs):
                    batch = replay.sample(config.batch_size)
                    critic_value = descend(critic_optimizer, critic_loss(networks, targets, batch, config.gamma))
                    actor_value = descend(actor_optimizer, actor_loss(networks, batch))
                    follow(targets, networks, config.tau)
                run.log(loss=critic_value, actor_loss=actor_value)
            best.validate()
        best.validate(last=True)
    envs.close()
    return best.finish()


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> torch.Tensor:
    """One gradient step of the optimiser's own parameters on the mean of a loss per sample [B]."""
    if loss.ndim != 1:
        raise RunError(f"the loss must be one number for each sample, [B]; it has shape {list(loss.shape)}")
    value = loss.mean()
    parameters = optimizer.param_groups[0]["params"]
    for parameter, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
        parameter.grad = gradient  # only theirs: the actor's loss must not move the critic
    optimizer.step()
    return value.detach()


def deterministic(networks: Networks, action_space: spaces.Box) -> Callable[[np.ndarray], np.ndarray]:
    """The actor without noise, within the action space's bounds and in its shape."""
    device = next(networks.parameters()).device

    @torch.no_grad()
    def policy(obs: np.ndarray) -> np.ndarray:
        action = networks["actor"](torch.as_tensor(np.asarray(obs, np.float32)).to(device)).cpu().numpy()
        return action.reshape(-1, *action_space.shape)

    return policy


def load(state: dict[str, torch.Tensor], header: dict) -> tuple[Callable, Config]:
    """Policy without noise and Config from saved weights (see zoolib.pretrained)."""
    try:
        config = from_header(Config, header)
        envs = make_envs(config.env_id, 1)
        action_space = require_bounded(envs, config.env_id, "DDPG")
        networks = Networks(envs.single_observation_space, action_space, config.hidden)
        envs.close()
        networks.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their own header: {in_a_line(error)}") from None
    return deterministic(networks, action_space), config
