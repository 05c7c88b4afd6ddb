"""The target by hand, the loss's gradient, probe environments with known values, resuming, the command's promise."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from zoolib.rl import dqn
from zoolib.rl.envs import LONGEST_EPISODE, UNLIMITED, VALIDATION, longest_episode
from zoolib.rl.evaluate import episode_returns
from zoolib.rl.networks import QNetwork
from zoolib.rl.replay import Batch, Replay
from zoolib.run import Run, RunError


def test_target_by_hand():
    reward = torch.tensor([1.0, 1.0, -2.0])
    next_q = torch.tensor([[2.0, 5.0], [2.0, 5.0], [-1.0, -3.0]])
    terminated = torch.tensor([False, True, False])
    y = dqn.td_target(reward, next_q, terminated, 0.9)
    assert torch.allclose(y, torch.tensor([1 + 0.9 * 5, 1.0, -2 + 0.9 * -1]))


def test_loss_is_per_sample_and_no_gradient_reaches_the_target():
    torch.manual_seed(0)
    space = spaces.Box(-1, 1, (3,), np.float32)
    q, target = QNetwork(space, 2, (8,)), QNetwork(space, 2, (8,))
    batch = Batch(
        torch.randn(5, 3), torch.tensor([0, 1, 0, 1, 1]), torch.randn(5), torch.randn(5, 3), torch.rand(5) < 0.5
    )
    loss = dqn.td_loss(q, target, batch, 0.9)
    assert loss.shape == (5,)
    loss.sum().backward()
    assert all(p.grad is None for p in target.parameters())
    # against the definition, sample by sample, in plain Python
    for i in range(5):
        bootstrap = 0.0 if batch.terminated[i] else 0.9 * target(batch.next_obs[i : i + 1]).max().item()
        error = abs(q(batch.obs[i : i + 1])[0, batch.action[i]].item() - float(batch.reward[i]) - bootstrap)
        expected = error**2 / 2 if error < 1 else error - 0.5
        assert loss[i].item() == pytest.approx(expected, abs=1e-5)


def test_the_huber_gradient_is_the_clipped_error():
    q = nn.Linear(1, 1, bias=False)
    nn.init.constant_(q.weight, 5.0)
    batch = Batch(torch.ones(1, 1), torch.tensor([0]), torch.zeros(1), torch.ones(1, 1), torch.tensor([True]))
    dqn.td_loss(q, q, batch, 0.9).sum().backward()
    assert q.weight.grad.item() == 1.0  # the error is 5


def test_epsilon_falls_linearly_and_stays():
    config = dqn.Config(epsilon_start=1.0, epsilon_end=0.1, epsilon_steps=1000)
    assert [round(dqn.epsilon(s, config), 3) for s in (0, 500, 1000, 5000)] == [1.0, 0.55, 0.1, 0.1]


class Probe(gym.Env):
    """Two steps; the first observation says which action is right, the reward comes after the second step."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.t = int(self.np_random.integers(2)), 0
        return np.array([2 * self.cue - 1, 0], np.float32), {}

    def step(self, action):
        self.t += 1
        if self.t == 1:
            self.right = action == self.cue
        return np.array([2 * self.right - 1, 1], np.float32), float(self.t == 2 and self.right), self.t == 2, False, {}


class Forever(gym.Env):
    """Reward 1 for ever, cut off by a time limit: the value is 1 / (1 − γ), whatever the limit."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), 1.0, False, False, {}


@pytest.fixture
def probes():
    gym.register("ZooProbe-v0", Probe)
    gym.register("ZooForever-v0", Forever, max_episode_steps=5)
    yield
    del gym.registry["ZooProbe-v0"], gym.registry["ZooForever-v0"]


def test_it_learns_a_delayed_reward_and_its_values(probes):
    config = dqn.Config(
        "ZooProbe-v0", total_steps=3_000, gamma=0.5, hidden=(32,), learning_starts=200, validate_every=0
    )
    trained = dqn.train(config, run=Run(progress=False))
    obs = torch.tensor([[-1.0, 0], [1, 0], [1, 1], [-1, 1]])
    with torch.no_grad():
        q = trained.network(obs)
    expected = torch.tensor([[0.5, 0], [0, 0.5], [1, 1], [0, 0]])
    assert (q - expected).abs().max() < 0.1
    assert trained.policy(obs[:2].numpy()).tolist() == [0, 1]


def test_a_time_limit_is_no_end(probes):
    config = dqn.Config(
        "ZooForever-v0", total_steps=6_000, gamma=0.8, hidden=(16,), learning_starts=100, validate_every=0
    )
    trained = dqn.train(config, run=Run(progress=False))
    value = trained.network(torch.ones(1, 1)).max().item()
    assert value == pytest.approx(1 / (1 - 0.8), abs=0.5)  # treated as an end, it would be 3.4 or less


def test_the_readers_loss_is_what_trains(probes):
    def constant(q_network, target_network, batch, gamma):
        return (q_network(batch.obs) - 7).square().sum(dim=1)

    config = dqn.Config("ZooForever-v0", total_steps=3_000, hidden=(16,), learning_starts=100, validate_every=0)
    trained = dqn.train(config, loss=constant, run=Run(progress=False))
    assert trained.network(torch.ones(1, 1)).detach().numpy() == pytest.approx(np.full((1, 2), 7), abs=0.3)


SHORT = {"total_steps": 1_600, "learning_starts": 200, "validate_every": 400, "validation_episodes": 3}


def test_a_seed_gives_the_same_bits_with_one_thread_and_two():
    weights = []
    for threads in (1, 2, 1):
        trained = dqn.train(dqn.Config(**SHORT), run=Run(seed=5, threads=threads, progress=False))
        weights.append(torch.cat([p.flatten() for p in trained.network.parameters()]))
    assert torch.equal(weights[0], weights[2])
    assert torch.equal(weights[0], weights[1])


def test_the_best_validated_weights_are_the_ones_kept(tmp_path):
    trained = dqn.train(dqn.Config(**SHORT), run=Run(tmp_path, seed=1, progress=False))
    best = trained.run.metrics["validation_return"].max()
    again = episode_returns("CartPole-v1", trained.policy, episodes=3, seed=1, stream=VALIDATION).mean()
    assert again == trained.run.figures["validation_return"] == pytest.approx(best)  # metrics are float32


def test_a_finished_run_can_be_resumed_to_no_effect(tmp_path):
    first = dqn.train(dqn.Config(**SHORT), run=Run(tmp_path, seed=1, progress=False))
    again = dqn.train(dqn.Config(**SHORT), run=Run(tmp_path, seed=1, resume=True, progress=False))
    assert again.run.step == first.run.step == 1_600
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True))


def test_images_train(tmp_path):
    class Screen(Probe):
        observation_space = spaces.Box(0, 255, (40, 40, 3), np.uint8)

        def _draw(self, vector):
            return np.full((40, 40, 3), 127 + 100 * int(vector[0]), np.uint8)

        def reset(self, **kwargs):
            obs, info = super().reset(**kwargs)
            return self._draw(obs), info

        def step(self, action):
            obs, *rest = super().step(action)
            return self._draw(obs), *rest

    gym.register("ZooScreen-v0", Screen)
    try:
        config = dqn.Config(
            "ZooScreen-v0",
            total_steps=600,
            learning_starts=100,
            updates=8,
            hidden=(16,),
            replay_size=500,
            validate_every=0,
        )
        trained = dqn.train(config, run=Run(progress=False, device="cpu"))
    finally:
        del gym.registry["ZooScreen-v0"]
    assert trained.network(torch.zeros(2, 40, 40, 3, dtype=torch.uint8)).shape == (2, 2)


@pytest.mark.parametrize(("field", "value"), [("gamma", 1.5), ("batch_size", 0), ("replay_size", 3)])
def test_a_config_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(RunError, match=f"{field} must .*{value}"):
        dqn.Config(**{field: value})


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "Blackjack-v1", "CliffWalking-v1", "ZooDouble-v0"])
def test_any_observation_trains(env_id, monkeypatch):
    """Numbers, tuples, 64-bit floats; and an environment without a time limit does not hang its evaluation."""

    class Double(Probe):
        observation_space = spaces.Box(-1, 1, (2,), np.float64)

    monkeypatch.setitem(gym.registry, "ZooDouble-v0", gym.envs.registration.EnvSpec("ZooDouble-v0", Double))
    monkeypatch.setattr("zoolib.rl.envs.UNLIMITED", 300)
    config = dqn.Config(
        env_id, total_steps=400, learning_starts=100, updates=2, hidden=(8,), validate_every=200, validation_episodes=2
    )
    trained = dqn.train(config, run=Run(progress=False))
    assert np.isfinite(trained.run.figures["validation_return"])


def test_an_evaluation_gives_up_where_an_environment_states_no_limit():
    assert longest_episode("CliffWalking-v1") == UNLIMITED
    assert longest_episode("CartPole-v1") == longest_episode("ALE/Pong-v5") == LONGEST_EPISODE
    assert "no time limit" in dqn.preset("CliffWalking-v1", "quick").words
    assert "no time limit" not in dqn.preset("CartPole-v1", "quick").words


def test_a_cpu_without_bfloat16_computes_in_float32(monkeypatch):
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    network, plain = QNetwork(space, 3, (16,), bfloat16=True), QNetwork(space, 3, (16,))
    plain.load_state_dict(network.state_dict())
    obs = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    monkeypatch.setattr("zoolib.rl.networks.has_bfloat16", lambda device: False)
    assert torch.equal(network(obs), plain(obs))
    monkeypatch.setattr("zoolib.rl.networks.has_bfloat16", lambda device: True)
    assert not torch.equal(network(obs), plain(obs))


def test_a_memory_that_does_not_fit_says_how_large_it_would_be():
    with pytest.raises(RunError, match=r"would take [\d.]+ GB; lower replay_size"):
        Replay(10**9, (10_000, 10_000))


def test_a_loss_of_the_wrong_shape_is_refused():
    def broadcast(q_network, target_network, batch, gamma):
        q = q_network(batch.obs).gather(1, batch.action[:, None])  # [B, 1]: the squeeze is missing
        return (q - batch.reward) ** 2

    with pytest.raises(RunError, match=r"\[512\]; it has shape \[512, 512\]"):
        dqn.train(dqn.Config(**SHORT), loss=broadcast, run=Run(progress=False))


def test_an_interrupted_run_resumes_from_its_last_weights_not_its_best(tmp_path, monkeypatch):
    """The checkpoint goes with the optimiser and the replay memory; the best weights are what evaluate loads."""

    def interrupt_late(q_network, target_network, batch, gamma):
        interrupt_late.calls += 1
        if interrupt_late.calls == 150:
            interrupt_late.run.stop("interrupted")
            interrupt_late.last = q_network
        return dqn.td_loss(q_network, target_network, batch, gamma)

    interrupt_late.calls, interrupt_late.run = 0, Run(tmp_path, seed=1, progress=False)
    trained = dqn.train(dqn.Config(**SHORT | {"total_steps": 4_000}), loss=interrupt_late, run=interrupt_late.run)
    from zoolib.run import checkpoints

    state = torch.load(checkpoints(tmp_path)[-1], weights_only=True)["tracked"]
    best = state["best"]["weights"]
    key = next(iter(best))
    assert torch.equal(trained.network.state_dict()[key], best[key])
    assert not torch.equal(state["network"][key], best[key])
