"""Frames stored once come back as the stacks they were; sticky actions and true scores; the picture keeps in step."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from zoolib.pretrained import load_weights
from zoolib.rl import atari, dqn, video
from zoolib.rl.envs import Stepper, make_envs
from zoolib.rl.evaluate import episode_returns
from zoolib.rl.replay import Replay
from zoolib.run import Run


@pytest.mark.parametrize("n_step", [1, 3])
def test_frames_stored_once_come_back_as_whole_stacks(n_step):
    envs = make_envs("ALE/Pong-v5", 3, max_num_frames_per_episode=160)  # short episodes: many ends and starts
    space = envs.single_observation_space
    options = {"n_step": n_step, "gamma": 0.9}
    thin = atari.FrameReplay(90, space, **options)
    whole = Replay(90, space.shape, torch.uint8, **options)
    stepper, rng = Stepper(envs, 1), np.random.default_rng(0)
    for _ in range(150):
        batch = stepper.step(rng.integers(0, 6, 3))
        for replay in (thin, whole):
            replay.add(batch, stepper.copies, stepper.ended)
    envs.close()
    assert len(thin) == len(whole) == 90
    torch.manual_seed(0)
    one = thin.sample(200)
    torch.manual_seed(0)
    two = whole.sample(200)
    for name in whole.data:
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def test_200_000_transitions_take_at_most_1_6_gb():
    space = make_envs("ALE/Pong-v5", 1).single_observation_space
    small = atari.FrameReplay(1000, space)
    frame = small.frames[0].nbytes
    rest = sum(ring.nbytes for ring in small.data.values()) / 1000
    assert (200_000 + 20_000 + 1025) * frame + 200_000 * rest <= 1.6e9


def test_actions_stick_and_rewards_are_the_true_score():
    envs = make_envs("ALE/Pong-v5", 1)
    assert not atari.VECTOR_OPTIONS["reward_clipping"]
    assert (
        atari.VECTOR_OPTIONS["repeat_action_probability"] == gym.spec("ALE/Pong-v5").kwargs["repeat_action_probability"]
    )
    envs.close()

    def fire_or_right(obs):  # by what is seen; without fire no ball comes, and a game takes ten thousand steps
        return 1 + 2 * (obs.reshape(len(obs), -1).sum(1) % 2).astype(int)

    # one rule under eight seeds: only what sticks (and the start) can differ
    assert len(set(episode_returns("ALE/Breakout-v5", fire_or_right, episodes=8, seed=0))) > 1


def test_the_picture_and_the_game_stay_in_step(tmp_path):
    console = atari.Console("ALE/Pong-v5")
    console.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(300):
        obs, *_ = console.step(int(rng.integers(6)))
    picture = console.render()
    assert picture.shape == (210, 160, 3)
    grey = torch.tensor(picture.mean(axis=2))[None, None]
    small = torch.nn.functional.interpolate(grey, size=(84, 84), mode="area")[0, 0]
    assert np.corrcoef(small.numpy().ravel(), obs[-1].ravel())[0, 1] > 0.95
    console.close()


def test_a_few_steps_of_pong_train_evaluate_and_play(tmp_path, monkeypatch):
    config = dqn.Config(
        env_id="ALE/Pong-v5", dueling=True, double=True, n_step=3, hidden=(16,), total_steps=96, num_envs=4,
        learning_starts=32, train_every=16, updates=1, batch_size=8, replay_size=64, validate_every=0,
        clip_rewards=True, bfloat16=True,
    )  # fmt: skip
    trained = dqn.train(config, run=Run(tmp_path / "run", progress=False))
    assert trained.run.figures["steps"] == 96
    policy, loaded = dqn.load(*load_weights(tmp_path / "run/weights.safetensors"))
    assert loaded == config
    monkeypatch.setattr("zoolib.rl.envs.LONGEST_EPISODE", 20)
    video.play("ALE/Pong-v5", policy, video=tmp_path / "pong.mp4")
    assert (tmp_path / "pong.mp4").stat().st_size > 1000


def test_saliency_lies_where_the_value_looks():
    obs = torch.zeros(4, 84, 84, dtype=torch.uint8)
    obs[:, 40:44, 20:24] = 255
    look = atari.saliency(lambda x: x[:, :, 36:48, 18:30].float().mean((1, 2, 3))[:, None], obs)
    assert look.shape == (84, 84)
    y, x = divmod(int(look.argmax()), 84)
    assert 34 <= y <= 50 and 16 <= x <= 32
    assert look[:20].abs().max() == 0
