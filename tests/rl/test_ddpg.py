"""Targets and gradients by hand, noise that spreads as said, bounds kept, a continuous probe learned."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.rl.probes import register
from zoolib.rl import ddpg
from zoolib.rl.evaluate import evaluate
from zoolib.rl.replay import Batch
from zoolib.run import Run, RunError

SPACE = spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))


def some_batch(n=6):
    torch.manual_seed(0)
    obs, next_obs = torch.randn(n, 3), torch.randn(n, 3)
    return Batch(obs, torch.randn(n, 2), torch.randn(n), next_obs, torch.arange(n) % 2 == 0)


def test_critic_loss_against_the_definition():
    networks, targets = ddpg.Networks(SPACE, ACTIONS, (8,)), ddpg.Networks(SPACE, ACTIONS, (8,))
    batch = some_batch()
    loss = ddpg.critic_loss(networks, targets, batch, 0.9)
    loss.sum().backward()
    assert all(p.grad is None for p in targets.parameters())
    for i in range(6):
        one = [column[i : i + 1] for column in batch[:5]]
        bootstrap = targets["critic"](one[3], targets["actor"](one[3])).item() if i % 2 else 0.0
        y = batch.reward[i].item() + 0.9 * bootstrap
        assert loss[i].item() == pytest.approx((networks["critic"](one[0], one[1]).item() - y) ** 2, abs=1e-4)


def test_the_actors_gradient_is_the_chain_rules():
    """∇θ q(s, μ(s)) = ∇a q(s, a) at a = μ(s), times ∇θ μ(s)."""
    networks, batch = ddpg.Networks(SPACE, ACTIONS, (8,)), some_batch()
    parameters = list(networks["actor"].parameters())
    ours = torch.autograd.grad(ddpg.actor_loss(networks, batch).mean(), parameters)
    action = networks["actor"](batch.obs)
    leaf = action.detach().requires_grad_()
    slope = torch.autograd.grad(networks["critic"](batch.obs, leaf).sum(), leaf)[0]
    chain = torch.autograd.grad((action * -slope).sum() / 6, parameters)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, chain, strict=True))


def test_the_actors_step_leaves_the_critic_alone():
    networks, batch = ddpg.Networks(SPACE, ACTIONS, (8,)), some_batch()
    before = copy.deepcopy(networks["critic"].state_dict())
    optimizer = torch.optim.Adam(networks["actor"].parameters(), 0.1)
    ddpg.descend(optimizer, ddpg.actor_loss(networks, batch))
    assert all(p.grad is None for p in networks["critic"].parameters())
    assert all(torch.equal(v, before[k]) for k, v in networks["critic"].state_dict().items())


def test_targets_follow():
    networks = ddpg.Networks(SPACE, ACTIONS, (8,))
    targets = copy.deepcopy(networks)
    with torch.no_grad():
        for p in networks.parameters():
            p += 1.0
    ddpg.follow(targets, networks, 0.25)
    for p, q in zip(targets.parameters(), networks.parameters(), strict=True):
        assert torch.allclose(q - p, torch.tensor(0.75), atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "ou"])
def test_both_noises_spread_as_far_and_one_drifts(kind):
    noise = ddpg.Noise(kind, 0.3, (1000, 1), np.random.default_rng(0))
    nobody = np.zeros(1000, bool)
    for _ in range(50):
        before = noise(nobody).copy()
    after = noise(nobody)
    assert after.std() == pytest.approx(0.3, rel=0.1)
    correlation = np.corrcoef(before[:, 0], after[:, 0])[0, 1]
    assert correlation == pytest.approx(0.85 if kind == "ou" else 0.0, abs=0.12)


def test_actions_keep_to_the_bounds():
    actor = ddpg.Actor(SPACE, ACTIONS, (8,))
    action = actor(1000 * torch.randn(100, 3)).detach().numpy()
    assert all(ACTIONS.contains(row) for row in action)
    assert action[:, 1].min() < 0.05 and action[:, 1].max() > 0.95


class Aim(gym.Env):
    """One step: the reward is −(a − s)², so that the best action is the observation."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-3, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.state, {}

    def step(self, action):
        return self.state.copy(), -float((action[0] - self.state[0]) ** 2), True, False, {}


def test_learns_to_aim():
    env_id = register(Aim)
    config = ddpg.Config(env_id=env_id, total_steps=2500, learning_starts=500, hidden=(32,), validate_every=0, tau=0.05)
    trained = ddpg.train(config, run=Run(seed=0, progress=False))
    assert evaluate(env_id, trained.policy, episodes=50)["mean"] > -0.02  # a random actor gets about -2


def test_discrete_actions_are_refused_with_what_fits():
    with pytest.raises(RunError, match="DQN and A2C choose among numbered actions"):
        ddpg.train(ddpg.Config(env_id="CartPole-v1"), run=Run(progress=False))
    with pytest.raises(RunError, match="noise must be gaussian or ou"):
        ddpg.Config(noise="pink")
