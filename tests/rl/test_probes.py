"""Every algorithm climbs the ladder of probe environments; algorithms broken on purpose fall where they should."""

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gymnasium.utils.env_checker import check_env

from zoolib.rl import a2c, ddpg, dqn, probes
from zoolib.rl.envs import Stepper
from zoolib.rl.evaluate import best_value
from zoolib.run import Run

GAMMA = 0.8


def by_dqn(env_id, loss=None, **changes):
    tiny = dict(total_steps=800, num_envs=8, hidden=(32,), learning_rate=5e-3, batch_size=64, learning_starts=100)
    tiny |= dict(train_every=8, updates=2, target_every=10, epsilon_steps=600, validate_every=0)
    config = dqn.Config(env_id, gamma=GAMMA, **tiny | changes)
    trained = dqn.train(config, loss=loss, run=Run(progress=False))
    return trained.policy, best_value(trained.network)


def by_a2c(env_id, **changes):
    tiny = dict(total_steps=2_560, num_envs=16, n_steps=2, hidden=(32,), learning_rate=1e-2, validate_every=0)
    trained = a2c.train(a2c.Config(env_id, gamma=GAMMA, **tiny | changes), run=Run(progress=False))
    return trained.policy, lambda obs: trained.network(torch.as_tensor(obs))[1].detach().numpy()


def by_ddpg(env_id, **hooks):
    tiny = dict(total_steps=640, num_envs=8, hidden=(64,), learning_rate=2e-3, tau=0.05, batch_size=64)
    config = ddpg.Config(env_id, gamma=GAMMA, learning_starts=256, noise_scale=0.5, validate_every=0, **tiny)
    trained = ddpg.train(config, run=Run(progress=False), **hooks)
    actor, critic = trained.network["actor"], trained.network["critic"]

    @torch.no_grad()
    def value(obs):
        return critic(torch.as_tensor(obs), actor(torch.as_tensor(obs))).numpy()

    return trained.policy, value


def failed(train, continuous=False, **options):
    """Names of the rungs that the algorithm does not climb, from the lowest up; what is not asked for is not run."""
    for rung in probes.rungs(GAMMA, continuous):
        policy, value = train(rung.env_id, **options)
        right = np.abs(value(rung.obs) - rung.value).max() <= 0.1 * max(1, np.abs(rung.value).max())
        if rung.action is not None:
            right &= np.abs(policy(rung.obs) - rung.action).max() <= 0.2
        if not right:
            yield rung.name


# ------------------------------------------------------------ the probes


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("gamma", [0.5, 0.8])
def test_the_answers_are_true(continuous, gamma):
    """Played with the best action, without a limit, each observation is worth what its rung claims."""
    for rung in probes.rungs(gamma, continuous):
        env = gym.make(rung.env_id).unwrapped
        for i, obs in enumerate(rung.obs):
            env.reset(seed=i)
            env.seen, total = float(obs[0]), 0.0
            action = env.action_space.sample() if rung.action is None else rung.action[i]
            for t in range(100):
                _, reward, terminated, _, _ = env.step(action)
                total += gamma**t * reward
                if terminated:
                    break
            assert total == pytest.approx(rung.value[i], abs=1e-6), rung.name


@pytest.mark.parametrize("continuous", [False, True])
def test_no_other_action_is_as_good(continuous):
    for rung in probes.rungs(GAMMA, continuous):
        if rung.action is not None:
            env = gym.make(rung.env_id).unwrapped
            for obs, value, action in zip(rung.obs, rung.value, rung.action, strict=True):
                env.reset(seed=0)
                env.seen = float(obs[0])
                other = action - 0.4 * np.sign(action) if continuous else 1 - action
                assert env.step(other)[1] < value - 0.1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rung", probes.rungs() + probes.rungs(continuous=True), ids=lambda rung: rung.env_id)
def test_probes_keep_to_gymnasiums_interface(rung):
    check_env(gym.make(rung.env_id).unwrapped, skip_render_check=True)
    env = gym.make(rung.env_id)
    seen = {float(env.reset(seed=i)[0][0]) for i in range(20)}
    assert seen <= set(rung.obs[:, 0].tolist())
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(1 if rung.name not in ("Delay", "Clock") else 2)]
    assert ends[-1] == ((False, False) if rung.name == "Clock" else (True, False))


def test_only_clock_has_a_limit_and_it_truncates():
    env = gym.make("ProbeClock-v0")
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(probes.LIMIT)]
    assert ends == [(False, False)] * (probes.LIMIT - 1) + [(False, True)]


# -------------------------------------------------------- sound algorithms

SWITCHES = [
    {},
    {"double": True},
    {"dueling": True},
    {"prioritized": True},
    {"n_step": 3},
    {"double": True, "dueling": True, "prioritized": True, "n_step": 3},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda switches: "+".join(switches) or "plain")
def test_dqn_climbs(switches):
    assert list(failed(by_dqn, **switches)) == []


def test_a2c_climbs():
    assert list(failed(by_a2c)) == []


def test_a2c_climbs_with_continuous_actions():
    options = dict(num_envs=32, total_steps=12_800, learning_rate=2e-2, entropy_weight=0.0)
    assert list(failed(by_a2c, continuous=True, **options)) == []


def test_ddpg_climbs():
    assert list(failed(by_ddpg, continuous=True)) == []


# ------------------------------------------------------- broken algorithms


def forgets_the_end(q_network, target_network, batch, gamma):
    never = torch.zeros_like(batch.terminated)
    return dqn.td_loss(q_network, target_network, batch._replace(terminated=never), gamma)


def forgets_gamma(q_network, target_network, batch, gamma):
    return dqn.td_loss(q_network, target_network, batch, 1.0)


def off_by_one(q_network, target_network, batch, gamma):
    return dqn.td_loss(q_network, target_network, batch._replace(obs=batch.next_obs), gamma)


def credits_the_best(q_network, target_network, batch, gamma):
    with torch.no_grad():
        y = dqn.td_target(batch.reward, target_network(batch.next_obs), batch.terminated, gamma)
    return F.smooth_l1_loss(q_network(batch.obs).max(dim=1).values, y, reduction="none")


@pytest.mark.parametrize(
    ("lowest", "broken"),
    [
        ("Constant", {"loss": forgets_the_end}),
        ("Lookup", {"loss": off_by_one}),
        ("Delay", {"loss": forgets_gamma}),
        ("Delay", {"target_every": 10**9}),
        ("Arms", {"loss": credits_the_best}),
    ],
)
def test_a_broken_dqn_falls_where_it_should(lowest, broken):
    assert next(failed(by_dqn, **broken), None) == lowest


class OneFlag(Stepper):
    def step(self, action):
        return super().step(action)._replace(terminated=self.ended)


class LearnsRestarts(Stepper):
    def step(self, action):
        self.done = np.zeros_like(self.done)
        return super().step(action)


@pytest.mark.parametrize(("algorithm", "train"), [(dqn, by_dqn), (a2c, by_a2c)])
@pytest.mark.parametrize(("lowest", "stepper"), [("Clock", OneFlag), ("Constant", LearnsRestarts)])
def test_a_loop_that_misreads_ends_falls_where_it_should(algorithm, train, lowest, stepper, monkeypatch):
    monkeypatch.setattr(algorithm, "Stepper", stepper)
    assert next(failed(train), None) == lowest


class IndexBug(torch.distributions.Categorical):
    """Multiplies by the action's number where its log-probability should be picked; it has been published."""

    def log_prob(self, action):
        return (action[:, None] * self.logits).mean(dim=1)


def test_the_index_bug_of_a2c_falls_at_the_first_choice(monkeypatch):
    monkeypatch.setattr(torch.distributions, "Categorical", IndexBug)
    assert next(failed(by_a2c), None) == "Arms"


def test_an_actor_that_goes_downhill_falls_at_the_first_choice():
    def uphill(networks, batch):
        return -ddpg.actor_loss(networks, batch)

    assert next(failed(by_ddpg, continuous=True, actor_loss=uphill), None) == "Arms"
