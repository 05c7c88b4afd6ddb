"""Seconds to threshold on CartPole-v1: zoolib's A2C and Stable-Baselines3's with its zoo's settings, in turns."""

from functools import partial

from benchmarks.threshold import Task, in_turns, row, stable_baselines3, zoolib
from zoolib.rl import a2c

TASK = Task("CartPole-v1", threshold=475, steps=500_000, every=5_000, episodes=20)
SEEDS = range(5)


def make(seed: int):
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env

    # RL Baselines3 Zoo, hyperparams/a2c.yml, CartPole-v1; the rest are the library's own: lr 7e-4, 5 steps, RMSprop
    return A2C("MlpPolicy", make_vec_env(TASK.env_id, 8, seed=seed), ent_coef=0.0, seed=seed, device="cpu")


def main(folder) -> dict:
    contestants = {"zoolib": partial(zoolib, TASK, a2c), "stable_baselines3": partial(stable_baselines3, TASK, make)}
    return row(TASK, in_turns(contestants, SEEDS))
