"""GAE against the sum it stands for, the gradient by enumeration, probe environments, the classic bug pinned."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rl.probes import Probe, register
from zoolib.rl import a2c
from zoolib.rl.evaluate import evaluate
from zoolib.run import Run, RunError


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), st.integers(1, 3), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10_000))
def test_gae_is_the_weighted_sum_of_td_errors(length, n, gamma, lam, seed):
    rng = torch.Generator().manual_seed(seed)
    reward, value, next_value = (torch.randn(length, n, generator=rng, dtype=torch.float64) for _ in range(3))
    terminated = torch.rand(length, n, generator=rng) < 0.2
    ended = terminated | (torch.rand(length, n, generator=rng) < 0.2)
    fast = a2c.gae(reward, value, next_value, terminated, ended, gamma, lam)
    for i in range(n):
        for t in range(length):
            slow, weight = 0.0, 1.0
            for k in range(t, length):
                bootstrap = 0.0 if terminated[k, i] else gamma * next_value[k, i].item()
                slow += weight * (reward[k, i].item() + bootstrap - value[k, i].item())
                weight *= gamma * lam
                if ended[k, i]:
                    break
            assert fast[t, i].item() == pytest.approx(slow, abs=1e-9)


def test_lambda_1_is_the_n_step_return_minus_the_value():
    reward = torch.tensor([[1.0], [2.0], [3.0]])
    value = torch.tensor([[10.0], [20.0], [30.0]])
    next_value = torch.tensor([[20.0], [30.0], [40.0]])
    no = torch.zeros(3, 1, dtype=torch.bool)
    advantage = a2c.gae(reward, value, next_value, no, no, 0.5, 1.0)
    assert advantage[0].item() == 1 + 0.5 * 2 + 0.25 * 3 + 0.125 * 40 - 10


def bandit_gradients(loss):
    """The expected gradient of `loss` over the actions of a three-armed bandit, and that of the expected reward."""
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    truth = torch.autograd.grad((logits.softmax(0) * reward).sum(), logits)[0]
    policy = torch.distributions.Categorical(logits=logits)
    probability = logits.softmax(0).detach()
    estimate = torch.zeros(3, dtype=torch.float64)
    for action in range(3):
        value = loss(policy, torch.tensor([action]), reward[action : action + 1])
        if value.requires_grad:
            estimate -= probability[action] * torch.autograd.grad(value.sum(), logits, retain_graph=True)[0]
    return estimate, truth


def test_the_loss_follows_the_gradient_of_the_expected_reward():
    estimate, truth = bandit_gradients(lambda policy, action, adv: a2c.policy_loss(policy.log_prob(action), adv))
    assert torch.allclose(estimate, truth)


def test_the_classic_bug_multiplies_by_the_actions_index():
    """A published A2C multiplied the policy by the action's number; nothing crashed and nothing was learned."""
    estimate, truth = bandit_gradients(
        lambda policy, action, adv: -torch.log(policy.probs)[action * 0] * action * adv  # the index as a factor
    )
    assert not torch.allclose(estimate, truth)
    # and the library's rollout loss uses the log-probability of the action taken: its gradient raises that action
    network = a2c.ActorCritic(spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(3), (8,))
    obs = torch.ones(1, 1)
    for action in range(3):
        before = network(obs)[0].probs[0, action].item()
        gradient = torch.autograd.grad(
            a2c.policy_loss(network(obs)[0].log_prob(torch.tensor([action])), torch.ones(1)).sum(),
            list(network.actor.parameters()),
        )
        with torch.no_grad():
            for parameter, g in zip(network.actor.parameters(), gradient, strict=True):
                parameter -= 0.1 * g
        assert network(obs)[0].probs[0, action].item() > before


def test_learns_what_to_do_on_a_delayed_reward():
    env_id = register(Probe)
    config = a2c.Config(env_id=env_id, total_steps=20_000, num_envs=8, learning_rate=5e-3, hidden=(32,), stop_at=1.0,
                        validate_every=1000)  # fmt: skip
    trained = a2c.train(config, run=Run(seed=0, progress=False))
    assert evaluate(env_id, trained.policy, episodes=50)["mean"] == 1.0


def test_continuous_actions_stay_within_the_bounds():
    box = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))
    network = a2c.ActorCritic(spaces.Box(-1, 1, (3,), np.float32), box, (8,))
    action = network.to_env(100 * torch.randn(50, 2))
    assert all(box.contains(row) for row in action)
    assert np.allclose(network.to_env(torch.zeros(1, 2)), [[0.0, 0.5]])


def test_an_action_space_that_does_not_fit_is_named():
    with pytest.raises(RunError, match="A2C scales its actions to finite bounds"):
        from gymnasium.envs.classic_control import PendulumEnv

        class Unbounded(PendulumEnv):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)

        a2c.train(a2c.Config(env_id=register(Unbounded)), run=Run(progress=False))


def test_the_same_seed_gives_the_same_bits(tmp_path):
    config = a2c.Config(total_steps=6000, validate_every=0)
    whole = a2c.train(config, run=Run(tmp_path / "a", progress=False))
    again = a2c.train(config, run=Run(tmp_path / "b", progress=False))
    for one, two in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, two)
