"""Advantage actor-critic on any Gymnasium environment with Discrete or bounded Box actions.

Mnih et al. 2016, "Asynchronous Methods for Deep Reinforcement Learning": the synchronous form of algorithm S3, with
generalised advantage estimation (Schulman et al. 2016).  Many copies of the environment take a few steps; one gradient
step follows log π(a|s) weighted by the advantage; the experience is thrown away.

Two things differ from the paper, both for speed on a CPU: advantages are standardised over the batch, and the
optimiser is Adam with a falling step size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from zoolib.pretrained import WeightsError
from zoolib.rl.envs import TRAINING, Stepper, env_seed, in_a_line, make_envs, require_bounded, require_discrete
from zoolib.rl.evaluate import Best, Trained
from zoolib.rl.networks import NatureCNN, is_image, mlp, orthogonal_
from zoolib.rl.presets import Preset, check_config, choose_preset, from_header
from zoolib.run import Run


@dataclass(frozen=True)
class Config:
    """A2C on any Gymnasium environment with Discrete or bounded Box actions."""

    env_id: str = "CartPole-v1"
    """Gymnasium's name of the environment."""
    total_steps: int = 500_000
    """Environment steps, all copies together."""
    num_envs: int = 32
    """Copies of the environment that act at once."""
    n_steps: int = 16
    """Steps that each copy takes before a gradient step."""
    hidden: tuple[int, ...] = (64, 64)
    """Units in each hidden layer of the policy and of the critic."""
    learning_rate: float = 3e-3
    """Adam's step size at the start; it falls to nothing."""
    gamma: float = 0.99
    """Discount factor γ."""
    gae_lambda: float = 0.95
    """λ: 0 trusts the critic after one reward, 1 takes all rewards of the rollout first."""
    entropy_weight: float = 0.01
    """Weight of the policy's entropy in the loss."""
    value_weight: float = 0.5
    """Weight of the critic's squared error in the loss."""
    max_grad_norm: float = 0.5
    """Gradients longer than this are shortened to it."""
    validate_every: int = 10_000
    """Steps between two validations; the best weights by them are the ones kept. 0 keeps the last."""
    validation_episodes: int = 20
    """Episodes in one validation, on seeds apart from training and from the reported evaluation."""
    stop_at: float | None = None
    """End early once a validation reaches this mean return."""

    def __post_init__(self):
        check_config(
            self,
            at_least_1=("total_steps", "num_envs", "n_steps", "validation_episodes"),
            not_negative=("entropy_weight", "value_weight", "validate_every"),
            shares=("gamma", "gae_lambda"),
            positive=("learning_rate", "max_grad_norm"),
        )


# What each budget changes, by family of environments; flags on the command line come after.
PRESETS = {
    ("CartPole", "quick"): Preset("under a minute on one CPU thread", {"stop_at": 500.0}),
    ("CartPole", "full"): Preset("about a minute on one CPU thread", {"total_steps": 1_000_000}),
    ("any", "quick"): Preset("a minute or two for vectors on one CPU thread", {"learning_rate": 7e-4}),
    ("any", "full"): Preset(
        "about half an hour for vectors on one CPU thread, hours for images on a GPU",
        {"total_steps": 10_000_000, "learning_rate": 7e-4, "validate_every": 200_000},
    ),
}


def preset(env_id: str, budget: str) -> Preset:
    """The Config for an environment and a budget.  Raises RunError for an unknown budget."""
    return choose_preset(PRESETS, Config, env_id, budget)


class ActorCritic(nn.Module):
    """A policy π(a|s) and a critic V(s): two networks for vectors, two heads on shared convolutions for images."""

    def __init__(self, space: spaces.Box, action_space: spaces.Space, hidden: tuple[int, ...]):
        super().__init__()
        self.discrete = isinstance(action_space, spaces.Discrete)
        outputs = int(action_space.n) if self.discrete else int(np.prod(action_space.shape))
        self.image = is_image(space)
        self.body = NatureCNN(space.shape) if self.image else nn.Flatten()
        features = self.body.features if self.image else int(np.prod(space.shape))
        self.actor = mlp([features, *hidden, outputs])
        self.critic = mlp([features, *hidden, 1])
        if self.image:
            orthogonal_(self)
        with torch.no_grad():
            self.actor[-1].weight.mul_(0.01)  # starts indifferent between actions (Schulman et al. 2017's code)
        if not self.discrete:
            self.log_std = nn.Parameter(torch.zeros(outputs))
            self.register_buffer("low", torch.as_tensor(action_space.low.reshape(-1)).float(), persistent=False)
            self.register_buffer("high", torch.as_tensor(action_space.high.reshape(-1)).float(), persistent=False)
            self.action_shape = action_space.shape

    def forward(self, obs: torch.Tensor) -> tuple[torch.distributions.Distribution, torch.Tensor]:
        """Observations [B, ...] to the policy over B actions, and the values [B]."""
        features = self.body(obs if self.image else obs.float())
        out, value = self.actor(features), self.critic(features).squeeze(1)
        if self.discrete:
            return torch.distributions.Categorical(logits=out, validate_args=False), value
        normal = torch.distributions.Normal(out, self.log_std.exp().expand_as(out), validate_args=False)
        return torch.distributions.Independent(normal, 1), value

    def to_env(self, action: torch.Tensor) -> np.ndarray:
        """What the environment is given: the action itself, or for Box the unit interval's stretched to the bounds."""
        if self.discrete:
            return action.cpu().numpy()
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        return (middle + half * action.clamp(-1, 1)).reshape(-1, *self.action_shape).cpu().numpy()


# ------------------------------------------------------------ the algorithm


def gae(
    reward: torch.Tensor,
    value: torch.Tensor,
    next_value: torch.Tensor,
    terminated: torch.Tensor,
    ended: torch.Tensor,
    gamma: float,
    lam: float,
) -> torch.Tensor:
    """Advantages A_t = δ_t + γλ A_{t+1} with δ_t = r_t + γ V(s_{t+1}) − V(s_t) (Schulman et al. 2016, equation 16).

    All inputs [T, N].  terminated: nothing follows, so V(s_{t+1}) counts 0.  ended: the episode is over, terminated or
    truncated, so that the sum stops there; next_value is the value of the true last observation.
    λ = 1 gives n-step returns minus the value, λ = 0 the one-step TD error.  Returns [T, N].
    """
    delta = reward + gamma * (~terminated * next_value) - value
    advantage = torch.zeros_like(delta)
    following = torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        following = delta[t] + gamma * lam * (~ended[t] * following)
        advantage[t] = following
    return advantage


def policy_loss(log_prob: torch.Tensor, advantage: torch.Tensor) -> torch.Tensor:
    """−log π(a|s) A for each sample [B]: its gradient is the policy gradient's (Williams 1992).

    This is the hook that `train(loss=...)` replaces.  log_prob, advantage: [B]; the advantage carries no gradient.
    """
    return -log_prob * advantage


# ------------------------------------------------------------------- train


def train(config: Config, *, loss: Callable = policy_loss, run: Run | None = None) -> Trained:
    """Train a policy and a critic.  loss(log_prob, advantage) gives a loss per sample [B]; see `policy_loss`."""
    envs = make_envs(config.env_id, config.num_envs)
    space, action_space = envs.single_observation_space, fitting(envs, config.env_id)
    run = (run or Run()).begin("a2c", config, tiny=not is_image(space), hooks={"loss": loss})
    network = ActorCritic(space, action_space, config.hidden).to(run.device)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=True)
    best = Best(network, most_likely(network), config, run)

    with run.track(network=network, optimizer=optimizer, best=best):
        stepper = Stepper(envs, env_seed(TRAINING, run.seed, run.step))
        for step in run.steps(config.total_steps, by=config.num_envs * config.n_steps):
            optimizer.param_groups[0]["lr"] = config.learning_rate * max(1 - step / config.total_steps, 0.01)
            rollout, returns = collect(stepper, network, config.n_steps, run.device)
            value, parts = rollout_loss(network, rollout, loss, config)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.max_grad_norm)
            optimizer.step()
            if returns:
                run.log(episode_return=returns)
            run.log(loss=value.detach(), **parts)
            best.validate()
        best.validate(last=True)
    envs.close()
    return best.finish()


def fitting(envs, env_id: str) -> spaces.Space:
    """The action space, where A2C can act in it; RunError otherwise."""
    if isinstance(envs.single_action_space, spaces.Box):
        require_bounded(envs, env_id, "A2C")
    else:
        require_discrete(envs, env_id, "A2C")
    return envs.single_action_space


def collect(stepper: Stepper, network: ActorCritic, n_steps: int, device) -> tuple[dict, list[float]]:
    """n_steps steps of every copy: tensors [n_steps, N, ...], and the returns of the episodes that ended.

    real: False where a step was a restart and no experience.
    """
    rows, returns, n = [], [], len(stepper.obs)
    for _ in range(n_steps):
        obs = stepper.obs
        with torch.no_grad():
            action = network(tensor(obs, device))[0].sample()
        batch = stepper.step(network.to_env(action))
        row = {
            "obs": obs,
            "next_obs": np.array(obs),
            "action": action.cpu().numpy(),
            "reward": np.zeros(n, np.float32),
            "terminated": np.zeros(n, bool),
            "ended": np.zeros(n, bool),
            "real": np.zeros(n, bool),
        }
        row["next_obs"][stepper.copies] = batch.next_obs
        row["reward"][stepper.copies] = batch.reward
        row["terminated"][stepper.copies] = batch.terminated
        row["ended"][stepper.copies] = stepper.ended
        row["real"][stepper.copies] = True
        rows.append(row)
        returns += stepper.finished.values()
    return {name: tensor(np.stack([row[name] for row in rows]), device) for name in rows[0]}, returns


def rollout_loss(network: ActorCritic, rollout: dict, loss: Callable, config: Config) -> tuple[torch.Tensor, dict]:
    """The policy's, the critic's and the entropy's part of the loss, summed; and the parts."""
    length, n = rollout["reward"].shape
    policy, value = network(rollout["obs"].flatten(0, 1))
    with torch.no_grad():
        _, next_value = network(rollout["next_obs"].flatten(0, 1))
        ends = (rollout["terminated"], rollout["ended"])
        advantage = gae(
            rollout["reward"], value.view(length, n), next_value.view(length, n), *ends, config.gamma, config.gae_lambda
        ).flatten()
    real = rollout["real"].flatten()
    returns = (advantage + value.detach())[real]  # what the critic should have said
    advantage = advantage[real]
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    log_prob = policy.log_prob(rollout["action"].flatten(0, 1))[real]
    policy_part = loss(log_prob, advantage).mean()
    value_part = (value[real] - returns).pow(2).mean()
    entropy = policy.entropy()[real].mean()
    total = policy_part + config.value_weight * value_part - config.entropy_weight * entropy
    return total, {"value_loss": value_part.detach(), "entropy": entropy.detach()}


def tensor(array: np.ndarray, device) -> torch.Tensor:
    """An array on the run's device; float64 as float32."""
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    return torch.as_tensor(array).to(device)


def most_likely(network: ActorCritic) -> Callable[[np.ndarray], np.ndarray]:
    """The policy without chance: the most likely action."""
    device = next(network.parameters()).device

    @torch.no_grad()
    def policy(obs: np.ndarray) -> np.ndarray:
        return network.to_env(network(tensor(np.asarray(obs), device))[0].mode)

    return policy


def load(state: dict[str, torch.Tensor], header: dict) -> tuple[Callable, Config]:
    """Policy without chance and Config from saved weights (see zoolib.pretrained)."""
    try:
        config = from_header(Config, header)
        envs = make_envs(config.env_id, 1)
        network = ActorCritic(envs.single_observation_space, fitting(envs, config.env_id), config.hidden)
        envs.close()
        network.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their own header: {in_a_line(error)}") from None
    return most_likely(network), config
