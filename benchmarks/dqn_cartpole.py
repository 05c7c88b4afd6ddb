"""Seconds to threshold on CartPole-v1: zoolib's DQN and Stable-Baselines3's with its zoo's settings, in turns.

The same for both: one thread; every 1,000 environment steps the greedy policy plays the same 20 validation
episodes, and that time is not counted; the threshold is the first of two validations in a row at or above 475 (a
policy that reaches it once and loses it again has not learned).  A run that never gets there within 50,000 steps
counts with its whole time, and is counted as failed.
"""

import statistics
import time

import torch

from zoolib.rl import dqn
from zoolib.rl.envs import VALIDATION
from zoolib.rl.evaluate import Best, episode_returns
from zoolib.run import Run

THRESHOLD, EVERY, EPISODES, STEPS, SEEDS = 475, 1_000, 20, 50_000, range(5)


class Reached(Exception):
    pass


class Judge:
    """Validates on the schedule with the clock stopped."""

    def __init__(self, seed):
        self.seed, self.scores, self.seconds = seed, [], []
        self.clock = time.perf_counter()

    def __call__(self, policy) -> bool:
        now = time.perf_counter()
        self.seconds.append(now - self.clock)
        returns = episode_returns("CartPole-v1", policy, episodes=EPISODES, seed=self.seed, stream=VALIDATION)
        self.scores.append(returns.mean())
        self.clock += time.perf_counter() - now
        return len(self.scores) > 1 and min(self.scores[-2:]) >= THRESHOLD

    def result(self) -> dict:
        reached = len(self.scores) > 1 and min(self.scores[-2:]) >= THRESHOLD
        at = -2 if reached else -1
        steps = (len(self.scores) + 1 + at) * EVERY
        return {"seconds": self.seconds[at], "steps": steps, "reached": reached}


def zoolib(seed: int) -> dict:
    changes = dqn.preset("CartPole-v1", "quick").config
    config = dqn.Config(**(vars(changes) | {"total_steps": STEPS, "validate_every": EVERY, "stop_at": None}))
    run = Run(seed=seed, progress=False)
    judge, original = Judge(seed), Best._validate

    def validate(best, run, config):
        best.validated_at = run.step
        if judge(best.policy):
            run.stop("reached")

    Best._validate = validate
    try:
        dqn.train(config, run=run)
    finally:
        Best._validate = original
    return judge.result()


def stable_baselines3(seed: int) -> dict:
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    judge = Judge(seed)

    class Schedule(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % EVERY:
                return True
            return not judge(lambda obs: self.model.predict(obs, deterministic=True)[0])

    model = DQN(  # RL Baselines3 Zoo, hyperparams/dqn.yml, CartPole-v1
        "MlpPolicy",
        "CartPole-v1",
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
    judge.clock = time.perf_counter()
    model.learn(STEPS, callback=Schedule())
    return judge.result()


def main(folder) -> dict:
    torch.set_num_threads(1)
    results = {"zoolib": [], "stable_baselines3": []}
    for seed in SEEDS:
        for name, train in (("zoolib", zoolib), ("stable_baselines3", stable_baselines3)):
            results[name].append(train(seed))
            print(f"  {name}, seed {seed}: {results[name][-1]}", flush=True)
    medians = {name: statistics.median(r["seconds"] for r in runs) for name, runs in results.items()}
    return {
        "what": f"seconds to {THRESHOLD} on CartPole-v1, median of {len(SEEDS)} seeds",
        "zoolib": round(medians["zoolib"], 1),
        "stable_baselines3": round(medians["stable_baselines3"], 1),
        "times_shorter": round(medians["stable_baselines3"] / medians["zoolib"], 2),
        "never_reached": {name: sum(not r["reached"] for r in runs) for name, runs in results.items()},
        "steps": {name: [r["steps"] for r in runs] for name, runs in results.items()},
    }
