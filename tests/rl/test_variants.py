"""Double, dueling and n-step, each against its definition; every combination learns a probe environment."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rl.probes import Probe, register
from zoolib.rl import dqn
from zoolib.rl.evaluate import evaluate
from zoolib.rl.networks import QNetwork, dueling_q
from zoolib.rl.replay import Batch, NStep
from zoolib.run import Run, RunError


def test_double_target_by_hand():
    """θ prefers action 0, θ⁻ values it at 2; the plain target would take θ⁻'s own best, 5."""
    y = dqn.td_target(
        torch.tensor([1.0]), torch.tensor([[2.0, 5.0]]), torch.tensor([False]), 0.9, torch.tensor([[3.0, 1.0]])
    )
    assert y.item() == pytest.approx(1 + 0.9 * 2)


@given(st.integers(1, 5), st.integers(0, 1000))
def test_a_double_target_is_never_above_the_plain_one(actions, seed):
    rng = torch.Generator().manual_seed(seed)
    reward, next_q, online = torch.randn(4, generator=rng), *torch.randn(2, 4, actions, generator=rng)
    terminated = torch.rand(4, generator=rng) < 0.3
    assert (
        dqn.td_target(reward, next_q, terminated, 0.9, online) <= dqn.td_target(reward, next_q, terminated, 0.9)
    ).all()


def test_dueling_takes_the_mean_away():
    q = dueling_q(torch.tensor([[10.0]]), torch.tensor([[1.0, 2.0, 6.0]]))
    assert torch.equal(q, torch.tensor([[8.0, 9.0, 13.0]]))
    assert torch.equal(dueling_q(torch.tensor([[10.0]]), torch.tensor([[101.0, 102.0, 106.0]])), q)


def test_a_dueling_network_is_its_streams_combined():
    torch.manual_seed(0)
    network = QNetwork(spaces.Box(-1, 1, (3,), np.float32), 4, (16, 8), dueling_q)
    obs = torch.randn(5, 3)
    value, advantage = network.streams(obs)
    assert value.shape == (5, 1) and advantage.shape == (5, 4)
    assert torch.allclose(network(obs).mean(1, keepdim=True), value, atol=1e-6)


@settings(deadline=None)
@given(st.integers(2, 5), st.floats(0, 1), st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 99))
def test_n_step_transitions_against_the_definition(n, gamma, ended, seed):
    rng = np.random.default_rng(seed)
    length = len(ended)
    reward, terminated = rng.standard_normal(length), np.array(ended) & (rng.random(length) < 0.5)
    assemble, made = NStep(n, gamma), []
    for t in range(length):
        one = slice(t, t + 1)
        obs = np.array([[t]])
        out = assemble(Batch(obs, np.array([t]), reward[one], obs + 1, terminated[one]), [7], np.array(ended)[one])
        if out is not None:
            made += list(zip(out.obs[:, 0], out.reward, out.next_obs[:, 0], out.terminated, out.steps, strict=True))
    slow = []
    for t in range(length):
        last = next((k for k in range(t, length) if ended[k] or k == t + n - 1), None)
        if last is not None:
            total = sum(gamma ** (k - t) * reward[k] for k in range(t, last + 1))
            slow.append((t, total, last + 1, terminated[last], last + 1 - t))
    assert len(made) == len(slow)
    for one, two in zip(sorted(made), sorted(slow), strict=True):
        assert one == pytest.approx(two)


@pytest.mark.parametrize("double, dueling, prioritized, n_step", list(itertools.product(*[(False, True)] * 3, (1, 3))))
def test_every_combination_learns_the_probe(double, dueling, prioritized, n_step):
    env_id = register(Probe)
    config = dqn.Config(
        env_id=env_id, double=double, dueling=dueling, prioritized=prioritized, n_step=n_step, hidden=(32, 32),
        total_steps=4000, num_envs=4, learning_starts=200, train_every=32, updates=4, batch_size=64,
        target_every=10, epsilon_steps=1500, validate_every=500, stop_at=1.0,
    )  # fmt: skip
    trained = dqn.train(config, run=Run(seed=0, progress=False))
    assert evaluate(env_id, trained.policy, episodes=50)["mean"] == 1.0


def test_switches_that_a_hook_replaces_are_refused():
    with pytest.raises(RunError, match="double is a switch of the loss"):
        dqn.train(dqn.Config(double=True), loss=dqn.td_loss, run=Run(progress=False))
    with pytest.raises(RunError, match="set dueling=True"):
        dqn.train(dqn.Config(), combine=dueling_q, run=Run(progress=False))
