"""Seconds to threshold on Pendulum-v1: zoolib's DDPG and Stable-Baselines3's with its zoo's settings, in turns."""

from functools import partial

import numpy as np

from benchmarks.threshold import Task, in_turns, row, stable_baselines3, zoolib
from zoolib.rl import ddpg

TASK = Task("Pendulum-v1", threshold=-160, steps=20_000, every=1_000, episodes=100)
SEEDS = range(3)


def make(seed: int):
    from stable_baselines3 import DDPG
    from stable_baselines3.common.noise import NormalActionNoise

    return DDPG(  # RL Baselines3 Zoo, hyperparams/ddpg.yml, Pendulum-v1
        "MlpPolicy",
        TASK.env_id,
        learning_rate=1e-3,
        gamma=0.98,
        buffer_size=200_000,
        learning_starts=10_000,
        action_noise=NormalActionNoise(np.zeros(1), 0.1 * np.ones(1)),
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [400, 300]},
        seed=seed,
        device="cpu",
    )


def main(folder) -> dict:
    contestants = {"zoolib": partial(zoolib, TASK, ddpg), "stable_baselines3": partial(stable_baselines3, TASK, make)}
    return row(TASK, in_turns(contestants, SEEDS))
