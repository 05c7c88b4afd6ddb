"""Deep Q-learning on any Gymnasium environment with discrete actions.

Mnih et al. 2015, "Human-level control through deep reinforcement learning": algorithm 1.  A network q(s, ·; θ)
learns from replayed transitions towards r + γ max_a q(s', a; θ⁻), where θ⁻ is an older copy of θ.

Two things differ from the paper, both for speed on a CPU: several copies of the environment act at once, and steps
and updates alternate in bursts (256 steps, then 32 updates on large batches), with θ⁻ copied after each burst.

Four later ideas are switches of Config, free to combine: `double` (van Hasselt et al. 2016), `dueling` (Wang et al.
2016), `prioritized` (Schaul et al. 2016) and `n_step` (Sutton 1988; in DQN, Hessel et al. 2018).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from zoolib.pretrained import WeightsError
from zoolib.rl.envs import TRAINING, Stepper, env_seed, in_a_line, make_envs, require_discrete
from zoolib.rl.evaluate import Best, Trained, best_value, greedy
from zoolib.rl.networks import QNetwork, dueling_q, is_image
from zoolib.rl.presets import Preset, check_config, choose_preset, from_header
from zoolib.rl.prioritized import Priorities
from zoolib.rl.replay import Batch, Replay
from zoolib.run import Run, RunError


@dataclass(frozen=True)
class Config:
    """DQN on any Gymnasium environment with discrete actions."""

    env_id: str = "CartPole-v1"
    """Gymnasium's name of the environment."""
    double: bool = False
    """Choose the next action by the online network, value it by the target network."""
    dueling: bool = False
    """Give the state's value and the actions' advantages a stream each."""
    prioritized: bool = False
    """Replay transitions in proportion to their TD error."""
    n_step: int = 1
    """Rewards summed before the target network's estimate takes over."""
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
    priority_exponent: float = 0.6
    """α: 0 draws uniformly, 1 in proportion to priority."""
    importance_exponent: float = 0.4
    """β at the start: how far importance weights correct for priorities; it rises to 1."""
    clip_rewards: bool = False
    """Learn from rewards clipped to [−1, 1]; what is reported is the true score."""
    bfloat16: bool = False
    """Compute all but the last layer in bfloat16 where the hardware has it: several times faster for images."""
    max_grad_norm: float = 10.0
    """Gradients longer than this are shortened to it."""
    validate_every: int = 1_000
    """Steps between two greedy validations; the best weights by them are the ones kept. 0 keeps the last."""
    validation_episodes: int = 20
    """Episodes in one validation, on seeds apart from training and from the reported evaluation."""
    stop_at: float | None = None
    """End early once a validation reaches this mean return."""

    def __post_init__(self):
        check_config(
            self,
            at_least_1=(
                *("total_steps", "num_envs", "batch_size", "replay_size", "train_every", "updates"),
                *("validation_episodes", "n_step"),
            ),
            not_negative=("learning_starts", "target_every", "epsilon_steps", "validate_every"),
            shares=("gamma", "epsilon_start", "epsilon_end", "priority_exponent", "importance_exponent"),
            positive=("learning_rate", "max_grad_norm"),
        )
        if self.dueling and not self.hidden:
            raise RunError("a dueling network needs a hidden layer; hidden must not be empty")
        if self.replay_size < self.num_envs:
            raise RunError(f"replay_size must hold one step of {self.num_envs} copies, not {self.replay_size}")


# Atari's settings for a CPU, after Mnih et al. 2015: as many samples an environment step, in larger batches.
ATARI = {
    "hidden": (256,),
    "learning_rate": 2.5e-4,
    "gamma": 0.99,
    "batch_size": 64,
    "replay_size": 200_000,
    "learning_starts": 10_000,
    "train_every": 16,
    "updates": 2,
    "target_every": 500,
    "epsilon_end": 0.01,
    "epsilon_steps": 100_000,
    "clip_rewards": True,
    "bfloat16": True,
    "validate_every": 50_000,
    "validation_episodes": 10,
}

# What each budget changes, by family of environments; flags on the command line come after.
PRESETS = {
    ("CartPole", "quick"): Preset("under a minute on one CPU thread", {"stop_at": 500.0}),
    ("CartPole", "full"): Preset("about a minute on one CPU thread", {"total_steps": 200_000}),
    ("ALE/", "quick"): Preset(
        "about three quarters of an hour on two CPU cores, enough to see the score leave the bottom",
        ATARI | {"total_steps": 200_000},
    ),
    ("ALE/", "full"): Preset(
        "about 10 minutes on a modern GPU with 16 cores, about 6 hours on two CPU cores",
        ATARI
        | {"total_steps": 1_500_000, "num_envs": 64, "batch_size": 512, "updates": 1, "train_every": 64}
        | {"target_every": 250, "epsilon_steps": 150_000},
    ),
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


def td_target(
    reward: torch.Tensor,
    next_q: torch.Tensor,
    terminated: torch.Tensor,
    gamma: float | torch.Tensor,
    next_online_q: torch.Tensor | None = None,
) -> torch.Tensor:
    """Bellman target y = r + γ max_a q(s', a; θ⁻), without the second term where the episode terminated.

    Mnih et al. 2015, algorithm 1.  reward, terminated: [B]; next_q: [B, A]; gamma: a number or [B].  Returns [B].
    With next_online_q = q(s', ·; θ) [B, A], the action is the one that θ prefers: van Hasselt et al. 2016, equation 4.
    """
    best = (next_q if next_online_q is None else next_online_q).argmax(dim=1, keepdim=True)
    return reward + gamma * ~terminated * next_q.gather(1, best).squeeze(1)


def td_loss(
    q_network: nn.Module,
    target_network: nn.Module,
    batch: Batch,
    gamma: float | torch.Tensor,
    double: bool = False,
) -> torch.Tensor:
    """Huber loss of the TD error, for each sample: [B].  This is the hook that `train(loss=...)` replaces.

    The paper's clipped error term is the Huber loss's gradient (Mnih et al. 2015, methods, "Training details").
    gamma: a number; with n-step returns [B], each to the power of the number of rewards summed.
    """
    with torch.no_grad():
        next_online_q = q_network(batch.next_obs) if double else None
        y = td_target(batch.reward, target_network(batch.next_obs), batch.terminated, gamma, next_online_q)
    q = q_network(batch.obs).gather(1, batch.action[:, None]).squeeze(1)
    assert q.shape == y.shape, f"q {tuple(q.shape)} against target {tuple(y.shape)} would broadcast"
    return F.smooth_l1_loss(q, y, reduction="none")


double_td_loss = functools.partial(td_loss, double=True)


def absolute_error(huber_loss: torch.Tensor) -> torch.Tensor:
    """The |δ| whose Huber loss this is, [B]: what priorities are made of.  Of any other loss, something that grows."""
    return torch.where(huber_loss < 0.5, (2 * huber_loss.clamp(min=0)).sqrt(), huber_loss + 0.5)


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


def train(
    config: Config, *, loss: Callable | None = None, combine: Callable | None = None, run: Run | None = None
) -> Trained:
    """Train a Q-network.

    loss(q_network, target_network, batch, gamma) gives a loss per sample [B] instead of `td_loss`; combine(value,
    advantage) gives a dueling network's q [B, A] instead of `networks.dueling_q`.
    """
    if loss is not None and config.double:
        raise RunError("double is a switch of the loss that a loss of your own replaces; leave one of them out")
    if combine is not None and not config.dueling:
        raise RunError("combine joins the two streams of a dueling network; set dueling=True")
    loss = loss or (double_td_loss if config.double else td_loss)
    envs = make_envs(config.env_id, config.num_envs)
    actions = require_discrete(envs, config.env_id, "DQN")
    space = envs.single_observation_space
    hooks = {"loss": loss} | ({"combine": combine} if combine else {})
    run = (run or Run()).begin("dqn", config, tiny=not is_image(space), hooks=hooks)
    q_network = make_network(space, actions, config, combine).to(run.device)
    target_network = copy.deepcopy(q_network) if config.target_every else q_network
    optimizer = torch.optim.Adam(q_network.parameters(), config.learning_rate, fused=True)
    replay = make_replay(space, config, run.device)
    best = Best(q_network, greedy(q_network), config, run, best_value(q_network))
    count = {"updates": 0, "trained_at": 0}

    with run.track(
        network=q_network, target=target_network, optimizer=optimizer, replay=replay, best=best, count=count
    ):
        stepper = Stepper(envs, env_seed(TRAINING, run.seed, run.step))
        for step in run.steps(config.total_steps, by=config.num_envs):
            action = act(q_network, stepper.obs, epsilon(step, config), run.rng)
            batch = stepper.step(action)
            if config.clip_rewards:
                batch = batch._replace(reward=np.clip(batch.reward, -1, 1))
            replay.add(batch, stepper.copies, stepper.ended)
            if stepper.finished:
                run.log(episode_return=list(stepper.finished.values()))

            if (
                len(replay) >= min(config.learning_starts, config.replay_size)
                and step - count["trained_at"] >= config.train_every
            ):
                count["trained_at"] = step
                if config.prioritized:
                    left = 1 - step / config.total_steps
                    replay.priorities.beta = 1 - left * (1 - config.importance_exponent)
                for _ in range(config.updates):
                    loss_value = update(q_network, target_network, optimizer, loss, replay, config)
                    count["updates"] += 1
                    if config.target_every and count["updates"] % config.target_every == 0:
                        target_network.load_state_dict(q_network.state_dict())
                run.log(loss=loss_value, epsilon=epsilon(step, config))

            best.validate()
        best.validate(last=True)
    envs.close()
    return best.finish()


def load(state: dict[str, torch.Tensor], header: dict) -> tuple[Callable, Config]:
    """Greedy policy and Config from saved weights (see zoolib.pretrained)."""
    try:
        config = from_header(Config, header)
        envs = make_envs(config.env_id, 1)
        space = envs.single_observation_space
        q_network = make_network(space, require_discrete(envs, config.env_id, "DQN"), config)
        envs.close()
        q_network.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their own header: {in_a_line(error)}") from None
    return greedy(q_network), config


def make_network(space, actions: int, config: Config, combine: Callable | None = None) -> QNetwork:
    """The Q-network of a Config."""
    combine = (combine or dueling_q) if config.dueling else None
    return QNetwork(space, actions, config.hidden, combine, config.bfloat16)


def make_replay(space, config: Config, device: torch.device) -> Replay:
    """The replay memory of a Config: of whole observations, or for Atari of frames stored once."""
    priorities = Priorities(config.replay_size, config.priority_exponent) if config.prioritized else None
    options = {"n_step": config.n_step, "gamma": config.gamma, "priorities": priorities}
    if config.env_id.startswith("ALE/"):
        from zoolib.rl.atari import FrameReplay

        return FrameReplay(config.replay_size, space, device, **options)
    obs_dtype = torch.uint8 if is_image(space) else torch.float32
    return Replay(config.replay_size, space.shape, obs_dtype, device, **options)


def update(q_network, target_network, optimizer, loss, replay: Replay, config: Config) -> torch.Tensor:
    """One gradient step on one replayed batch; returns the mean loss."""
    batch = replay.sample(config.batch_size)
    gamma = config.gamma**batch.steps if config.n_step > 1 else config.gamma
    value = loss(q_network, target_network, batch, gamma)
    if value.shape != batch.reward.shape:
        raise RunError(
            f"the loss must be one number for each of the {len(batch.reward)} samples, [{len(batch.reward)}]; "
            f"it has shape {list(value.shape)}"
        )
    if config.prioritized:
        replay.priorities.update(batch.index, absolute_error(value.detach()).cpu().numpy())
        value = batch.weight * value
    value = value.mean()
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(q_network.parameters(), config.max_grad_norm)
    optimizer.step()
    return value.detach()
