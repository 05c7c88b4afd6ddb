"""Seconds to a threshold: zoolib and Stable-Baselines3, in turns and under one rule.

The same for all: one thread; on one schedule the policy, without exploration, plays the same validation episodes,
and that time is not counted; the threshold is reached by the first of two validations in a row at or above it (a
policy that reaches it once and loses it again has not learned).  A run that never gets there counts with its whole
time, and is counted as failed.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch

from zoolib.rl.envs import VALIDATION
from zoolib.rl.evaluate import Best, episode_returns
from zoolib.run import Run


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be learned, and how it is judged."""

    env_id: str
    threshold: float
    steps: int
    """Environment steps after which a run has failed."""
    every: int
    """Steps between two validations."""
    episodes: int
    """Episodes in one validation."""


class Judge:
    """Validates on the schedule with the clock stopped."""

    def __init__(self, task: Task, seed: int):
        self.task, self.seed = task, seed
        self.scores, self.steps, self.seconds = [], [], []
        self.clock = time.perf_counter()

    @property
    def reached(self) -> bool:
        return len(self.scores) > 1 and min(self.scores[-2:]) >= self.task.threshold

    def __call__(self, policy: Callable, step: int) -> bool:
        """Validate after `step` steps; whether the threshold is reached, after which nothing more is noted."""
        if self.reached:  # training may ask for a last validation as it ends
            return True
        now = time.perf_counter()
        task = self.task
        returns = episode_returns(task.env_id, policy, episodes=task.episodes, seed=self.seed, stream=VALIDATION)
        self.seconds.append(now - self.clock)
        self.steps.append(step)
        self.scores.append(float(returns.mean()))
        self.clock += time.perf_counter() - now
        return self.reached

    def result(self) -> dict:
        at = -2 if self.reached else -1
        seconds, steps = round(self.seconds[at], 2), self.steps[at]
        return {"seconds": seconds, "steps": steps, "reached": self.reached, "best": round(max(self.scores), 1)}


def zoolib(task: Task, algorithm, seed: int, **changes) -> dict:
    """One run of a module of zoolib.rl with its quick preset, under `changes` of its Config."""
    schedule = {"total_steps": task.steps, "validate_every": task.every, "stop_at": None}
    config = dataclasses.replace(algorithm.preset(task.env_id, "quick").config, **schedule, **changes)
    run = Run(seed=seed, progress=False, threads=1)
    judge = Judge(task, seed)

    def validate(best, run, config):
        best.validated_at = run.step
        if judge(best.policy, run.step):
            run.stop("reached")

    with mock.patch.object(Best, "_validate", validate):
        algorithm.train(config, run=run)
    return judge.result()


def stable_baselines3(task: Task, make: Callable, seed: int) -> dict:
    """One run of the model that make(seed) gives."""
    from stable_baselines3.common.callbacks import BaseCallback

    model = make(seed)
    judge = Judge(task, seed)

    class Schedule(BaseCallback):
        due = task.every

        def _on_step(self) -> bool:
            if self.num_timesteps < self.due:
                return True
            self.due = self.num_timesteps + task.every
            return not judge(lambda obs: model.predict(obs, deterministic=True)[0], self.num_timesteps)

    model.learn(task.steps, callback=Schedule())
    return judge.result()


def in_turns(contestants: dict[str, Callable[[int], dict]], seeds: dict[str, range] | range) -> dict[str, list[dict]]:
    """What each contestant's runs gave.  A busy moment of the machine meets all: they take turns, seed by seed.

    seeds: for all, or for each by name.
    """
    torch.set_num_threads(1)
    seeds = seeds if isinstance(seeds, dict) else dict.fromkeys(contestants, seeds)
    results = {name: [] for name in contestants}
    for seed in sorted(set().union(*seeds.values())):
        for name, train in contestants.items():
            if seed in seeds[name]:
                results[name].append(train(seed))
                print(f"  {name}, seed {seed}: {results[name][-1]}", flush=True)
    return results


def row(task: Task, results: dict[str, list[dict]], name: str = "zoolib", other: str = "stable_baselines3") -> dict:
    """`name` beside `other`, on the seeds that both have run."""
    both = {who: results[who][: min(len(results[name]), len(results[other]))] for who in (name, other)}
    medians = {who: statistics.median(run["seconds"] for run in runs) for who, runs in both.items()}
    return {
        "what": f"seconds to {task.threshold} on {task.env_id}, median of {len(both[name])} seeds, {task.steps} steps "
        "at most",
        **{who: round(seconds, 1) for who, seconds in medians.items()},
        "times_shorter": round(medians[other] / medians[name], 2),
        "never_reached": {who: sum(not run["reached"] for run in runs) for who, runs in both.items()},
        "steps": {who: [run["steps"] for run in runs] for who, runs in both.items()},
    }
