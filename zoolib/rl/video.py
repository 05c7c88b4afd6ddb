"""Record a policy's episode as an mp4."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation, HumanRendering, RecordVideo

from zoolib.rl.envs import HELD_OUT, check_env_id, env_seed, in_a_line, longest_episode
from zoolib.run import RunError


def play(
    env_id: str,
    policy: Callable[[np.ndarray], np.ndarray],
    *,
    episodes: int = 1,
    seed: int = 0,
    video: str | Path | None = None,
) -> list[float]:
    """Play episodes and return their returns; draws in a window, or with `video` into an mp4 file.

    policy: observations [N, ...] to actions [N], here with N = 1.  A video holds one file per episode, the first
    at `video` itself and the others numbered.  Raises RunError where the environment cannot be drawn.
    """
    check_env_id(env_id)
    try:
        env = _make(env_id, "rgb_array" if video is not None else "human")
        env.reset()
        env.render()
    except Exception as error:  # an environment may raise whatever it likes
        raise RunError(f"{env_id} cannot be drawn: {in_a_line(error)}") from None
    if not isinstance(env.observation_space, spaces.Box):
        env = FlattenObservation(env)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RecordVideo warns that its folder exists; this one is ours
        if video is not None:
            env = RecordVideo(env, folder, episode_trigger=lambda _: True)
        returns = []
        for episode in range(episodes):
            obs, _ = env.reset(seed=env_seed(HELD_OUT, seed * 10_000 + episode))
            returns.append(0.0)
            done, steps = False, 0
            while not done and steps < longest_episode(env_id):
                steps += 1
                obs, reward, terminated, truncated, _ = env.step(policy(obs[None])[0])
                returns[-1] += float(reward)
                done = terminated or truncated
        env.close()
        if video is not None:
            video = Path(video)
            video.parent.mkdir(parents=True, exist_ok=True)
            for i in range(episodes):
                target = video if i == 0 else video.with_name(f"{video.stem}-{i + 1}{video.suffix}")
                target.write_bytes(Path(folder, f"rl-video-episode-{i}.mp4").read_bytes())
    return returns


def _make(env_id: str, render_mode: str) -> gym.Env:
    if not env_id.startswith("ALE/"):
        return gym.make(env_id, render_mode=render_mode)
    from zoolib.rl.atari import Console

    console = Console(env_id)
    return HumanRendering(console) if render_mode == "human" else console
