"""Seconds to threshold on CartPole-v1: zoolib's DQN and Stable-Baselines3's with its zoo's settings, in turns.

Then the variants, each on fewer seeds.  Stable-Baselines3 has none of them, so that what a reader would otherwise
use is the same plain DQN; it is not run again.
"""

from functools import partial

from benchmarks.threshold import Task, in_turns, row, stable_baselines3, zoolib
from zoolib.rl import dqn

TASK = Task("CartPole-v1", threshold=475, steps=50_000, every=1_000, episodes=20)
SEEDS, VARIANT_SEEDS = range(5), range(3)
VARIANTS = {
    "double": {"double": True},
    "dueling": {"dueling": True},
    "prioritized": {"prioritized": True},
    "n_step_3": {"n_step": 3},
}


def make(seed: int):
    from stable_baselines3 import DQN

    return DQN(  # RL Baselines3 Zoo, hyperparams/dqn.yml, CartPole-v1
        "MlpPolicy",
        TASK.env_id,
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1_000,
        gamma=0.99,
        target_update_interval=10,
        train_freq=256,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
        device="cpu",
    )


def main(folder) -> dict:
    contestants = {"zoolib": partial(zoolib, TASK, dqn), "stable_baselines3": partial(stable_baselines3, TASK, make)}
    contestants |= {name: partial(zoolib, TASK, dqn, **changes) for name, changes in VARIANTS.items()}
    results = in_turns(contestants, {name: VARIANT_SEEDS if name in VARIANTS else SEEDS for name in contestants})
    return row(TASK, results) | {"variants": {name: row(TASK, results, name) for name in VARIANTS}}
