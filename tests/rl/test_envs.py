"""Real transitions only, in every autoreset mode; seeds that never meet; clear refusals."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from zoolib.rl.envs import HELD_OUT, TRAINING, VALIDATION, Stepper, env_seed, make_envs, require_discrete
from zoolib.rl.evaluate import episode_returns
from zoolib.run import RunError


class Clock(gym.Env):
    """Observes the time since the start; terminates after `length` steps, is cut off after `limit`."""

    observation_space = spaces.Box(0, 99, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length=3, limit=99):
        self.length, self.limit = length, limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.t += 1
        return np.array([self.t], np.float32), 1.0, self.t == self.length, self.t >= self.limit, {}


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_autoreset_mode_gives_the_same_experience(mode):
    envs = SyncVectorEnv([lambda: Clock(3), lambda: Clock(9, limit=4)], autoreset_mode=mode)
    stepper = Stepper(envs, 0)
    seen, ended = {0: [], 1: []}, []
    for _ in range(60):
        batch = stepper.step(np.array([0, 1]))
        for obs, action, next_obs, terminated in zip(
            batch.obs[:, 0], batch.action, batch.next_obs[:, 0], batch.terminated, strict=True
        ):
            seen[action].append((obs, next_obs, bool(terminated)))
        ended += stepper.finished.items()
    # copy 0 terminates at 3; copy 1 is cut off at 4, and its last transition still bootstraps from observation 4
    assert set(seen[0]) == {(0, 1, False), (1, 2, False), (2, 3, True)}
    assert set(seen[1]) == {(0, 1, False), (1, 2, False), (2, 3, False), (3, 4, False)}
    assert set(ended) == {(0, 3.0), (1, 4.0)}
    steps_lost_to_resets = 60 - len(seen[0])
    assert (steps_lost_to_resets > 0) == (mode == AutoresetMode.NEXT_STEP)


def test_the_vectorised_cartpole_gives_unbroken_transitions():
    stepper = Stepper(make_envs("CartPole-v1", 4), seed=0)
    for _ in range(300):
        batch = stepper.step(stepper.envs.action_space.sample())
        # one step moves the cart by 0.02 times its speed: a transition across a reset would not
        assert np.allclose(batch.next_obs[:, 0] - batch.obs[:, 0], 0.02 * batch.obs[:, 1], atol=1e-5)
        assert (batch.reward == 1).all()


def test_every_copy_counts_one_episode():
    gym.register("ZooClock-v0", lambda: Clock(3), max_episode_steps=50)
    try:
        returns = episode_returns("ZooClock-v0", lambda obs: np.zeros(len(obs), int), episodes=7, seed=0, max_envs=3)
    finally:
        del gym.registry["ZooClock-v0"]
    assert returns.tolist() == [3.0] * 7


def test_evaluation_is_deterministic_and_differs_by_seed():
    def policy(obs):
        return (obs[:, 2] > 0).astype(int)

    first, again, other = (
        episode_returns("CartPole-v1", policy, episodes=20, seed=s).tolist() for s in (900, 900, 901)
    )
    assert first == again != other


def test_the_three_streams_of_seeds_never_meet():
    seeds = [{env_seed(stream, s) for s in range(2_000)} for stream in (TRAINING, VALIDATION, HELD_OUT)]
    assert len(set.union(*seeds)) == 6_000


def test_an_unknown_environment_comes_with_the_nearest_names():
    with pytest.raises(RunError, match="no environment is called 'CartPol-v1'; did you mean CartPole-v1"):
        make_envs("CartPol-v1", 1)


def test_a_continuous_action_space_comes_with_the_algorithm_that_fits():
    with pytest.raises(RunError, match=r"Pendulum-v1 has the action space Box.*DDPG"):
        require_discrete(make_envs("Pendulum-v1", 1), "Pendulum-v1", "DQN")


def test_observations_that_are_no_array_are_flattened():
    envs = make_envs("FrozenLake-v1", 3)
    obs, _ = envs.reset(seed=0)
    assert obs.shape == (3, 16) and (obs.sum(axis=1) == 1).all()


def test_discounted_returns_and_first_states_are_those_of_the_first_episodes():
    from zoolib.rl.evaluate import play_episodes

    played = play_episodes("CartPole-v1", lambda obs: np.zeros(len(obs), int), episodes=7, seed=3, gamma=0.9)
    assert np.allclose(played.discounted, (1 - 0.9**played.returns) / (1 - 0.9))  # every step's reward is 1
    assert played.first_obs.shape == (7, 4) and np.abs(played.first_obs).max() <= 0.05
