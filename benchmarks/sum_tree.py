"""Drawing 256 of 1,000,000 transitions by priority: the sum tree beside two draws that walk through all of them."""

import statistics
import time

import numpy as np
import torch

from zoolib.rl.prioritized import Priorities

SIZE, DRAWN, GOAL = 1_000_000, 256, 300  # microseconds
BLOCKS, BLOCK = 20, 10


def main(folder) -> dict:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    priorities = Priorities(SIZE)
    errors = rng.exponential(size=SIZE)
    priorities.update(np.arange(SIZE), errors)
    leaves = priorities.tree[np.arange(SIZE)]
    index = rng.integers(SIZE, size=DRAWN)

    def cumulative() -> np.ndarray:
        sums = np.cumsum(leaves)
        return np.searchsorted(sums, rng.random(DRAWN) * sums[-1], side="right")

    ways = {
        "draw": lambda: priorities.draw(DRAWN, SIZE),
        "find": lambda: priorities.tree.find(rng.random(DRAWN) * priorities.tree.total),
        "update": lambda: priorities.update(index, errors[index]),
        "cumsum_and_searchsorted": cumulative,
        "choice": lambda: rng.choice(SIZE, DRAWN, p=leaves / leaves.sum()),
    }
    seconds = {name: [] for name in ways}
    for _ in range(BLOCKS):  # in turns, so that a busy moment of the machine meets all
        for name, way in ways.items():
            for _ in range(BLOCK):
                start = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) * 1e6 for name, values in seconds.items()}
    return {
        "what": f"microseconds to draw {DRAWN} of {SIZE} by priority, median of {BLOCKS * BLOCK}; the goal is {GOAL}",
        **{name: round(value, 1) for name, value in medians.items()},
        "times_shorter_than_cumsum": round(medians["cumsum_and_searchsorted"] / medians["draw"], 1),
        "times_shorter_than_choice": round(medians["choice"] / medians["draw"], 1),
    }
