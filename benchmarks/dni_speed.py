"""Two workers of one thread each: what decoupling gains, beside all that one would do without it.

Every way trains the same network on the same images; the sweep over widths and batch sizes was fixed before anything
was measured.  A way's processes stay alive and are asked in turns for a block of steps, so that a busy moment of the
machine meets all of them.  Time to 97 % is steps to 97 % (`steps_to_target`, which needs no quiet machine) times the
seconds of a step.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from zoolib import data
from zoolib.dni import pipeline, processes, training
from zoolib.run import Run

LAYERS, WIDTHS, BATCHES, EPOCHS = 6, (256, 512, 1024), (64, 256), 5
TARGET, SEEDS, REPEATS, BLOCK_SECONDS = 0.97, 2, 11, 0.8
CDNI = {"method": "cdni", "synthesiser_rank": 64}
WAYS = {  # name: what differs from backprop in one process, threads
    "one worker": ({}, 1),
    "locked": ({"workers": 2}, 1),
    "cDNI": (CDNI | {"workers": 2}, 1),
    "two threads": ({}, 2),
    "DGL": ({"method": "dgl", "workers": 2}, 1),
    "micro-batches": ({"workers": 2, "micro_batches": 4}, 1),
    "data parallel": ({}, 1),
    "cDNI, one worker": (CDNI | {"delay": 1}, 1),
}
# Ways that take the same steps to the same weights; the tests say so to the bit.
SAME_STEPS = {"locked": "one worker", "two threads": "one worker", "cDNI": "cDNI, one worker"}


def config_of(way: str, width: int, batch: int) -> training.Config:
    """What a way trains."""
    base = {"method": "backprop", "layers": LAYERS, "width": width, "batch_size": batch, "splits": 1, "epochs": EPOCHS}
    return training.Config(**base | WAYS[way][0], validate_every=0)


# ------------------------------------------------- in a process of its own


class Alone:
    """The sequential trainer's step, without what surrounds it."""

    def __init__(self, config: training.Config, seed: int):
        self.config, self.seed, self.late = config, seed, training.Late()
        self.images = data.load(config.dataset)
        (self.x, self.y), _ = training.split(self.images, torch.device("cpu"))
        torch.manual_seed(seed)
        self.network = training.Network(config, tuple(self.x.shape[1:]), len(self.images.classes))
        self.optimizer = training.make_optimizer(self.network, config)
        self.each = len(self.y) // config.batch_size

    def batches(self, first: int, count: int):
        """Rows of each step; the learning rate falls as in the trainer."""
        for step in range(first, first + count):
            training.set_learning_rate(self.optimizer, self.config, 1 - step / (self.each * self.config.epochs))
            yield data.rows_of(step, len(self.y), self.config.batch_size, self.seed)

    def run(self, first: int, count: int) -> None:
        for rows in self.batches(first, count):
            batch = data.as_input(self.x[rows]), self.y[rows]
            training.update(self.network, self.optimizer, *batch, self.late, self.config, training.gradient_loss)

    def accuracy(self) -> float:
        return training.accuracy(self.network, self.images.test_images, self.images.test_labels)


class Half(Alone):
    """One of two processes that each take half of every batch and add up their gradients (DistributedDataParallel).

    The first one tells the other which steps to take.
    """

    def __init__(self, config: training.Config, seed: int, rank: int):
        super().__init__(config, seed)
        self.rank, self.model = rank, torch.nn.parallel.DistributedDataParallel(self.network)

    def run(self, first: int, count: int) -> None:
        if self.rank == 0:
            dist.broadcast(torch.tensor([first, count]), 0)
        for rows in self.batches(first, count):
            rows = rows.chunk(2)[self.rank]
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(data.as_input(self.x[rows])), self.y[rows]).backward()
            self.optimizer.step()


class Staged:
    """The pipeline, as its first stage sees it."""

    def __init__(self, config: training.Config, seed: int):
        self.stage = pipeline.prepared(config, 0, seed, torch.device("cpu"))
        self.pipeline, self.each = pipeline.Pipeline(self.stage), self.stage.steps_an_epoch
        self.run = self.pipeline.run

    def accuracy(self) -> float:
        self.pipeline.gather()
        images = self.stage.images
        return training.accuracy(self.stage.network, images.test_images, images.test_labels)


@contextlib.contextmanager
def opened(way: str, width: int, batch: int, seed: int):
    """What takes the steps of a way, its other process started."""
    config = config_of(way, width, batch)
    if way == "data parallel":
        with tempfile.TemporaryDirectory() as folder:
            place = str(Path(folder) / "meeting")
            command = [sys.executable, "-m", "benchmarks.dni_speed", "half", place, str(width), str(batch), str(seed)]
            other = subprocess.Popen(command)
            processes.join(place, 0, 2)
            try:
                yield Half(config, seed, 0)
            finally:
                dist.broadcast(torch.tensor([0, -1]), 0)
                other.wait(20)
                dist.destroy_process_group()
    elif config.workers == 1:
        yield Alone(config, seed)
    else:
        with processes.processes(config, Run(seed=seed)):
            staged = Staged(config, seed)
            yield staged
            staged.pipeline.order(pipeline.STOP)


def half(place: str, width: int, batch: int, seed: int) -> None:
    """The other half: take the steps that the first one orders, until it orders -1."""
    torch.set_num_threads(1)
    processes.join(place, 1, 2)
    mine = Half(config_of("data parallel", width, batch), seed, 1)
    while True:
        order = torch.zeros(2, dtype=torch.int64)
        dist.broadcast(order, 0)
        first, count = order.tolist()
        if count < 0:
            return
        mine.run(first, count)


def timed(way: str, width: int, batch: int) -> None:
    """A process that takes as many steps as each line of its input says, and answers with the seconds."""
    torch.set_num_threads(WAYS[way][1])
    with opened(way, width, batch, seed=0) as trainer:
        at = 0
        for line in sys.stdin:
            count = int(line)
            start = time.perf_counter()
            trainer.run(at, count)
            print(time.perf_counter() - start, flush=True)
            at = (at + count) % trainer.each


def to_target(way: str, width: int, batch: int, seed: int) -> None:
    """A process that trains until the test images are known to 97 %, and says the steps; null if they never are."""
    torch.set_num_threads(1)
    with opened(way, width, batch, seed) as trainer:
        by, at, reached = 6_400 // batch, 0, None
        while reached is None and at + by <= trainer.each * EPOCHS:
            trainer.run(at, by)
            at += by
            if trainer.accuracy() >= TARGET:
                reached = at
        print(json.dumps(reached), flush=True)


# --------------------------------------------------------------- the sweep


def child(kind: str, *words) -> subprocess.Popen:
    """A process of this file."""
    command = [sys.executable, "-m", "benchmarks.dni_speed", kind, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def ask(process: subprocess.Popen, steps: int) -> float:
    """Seconds that a way takes for so many steps."""
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    said = process.stdout.readline()
    if not said:
        raise RuntimeError(f"a process of the benchmark died: {process.args}")
    return float(said)


def throughput(width: int, batch: int) -> dict[str, list[float]]:
    """Samples a second of each way, once a repeat; the ways take turns."""
    processes = {}
    try:
        processes |= {way: child("timed", way, width, batch) for way in WAYS}
        for process in processes.values():
            ask(process, 10)
        steps = {way: max(5, round(20 * BLOCK_SECONDS / ask(process, 20))) for way, process in processes.items()}
        rates = {way: [] for way in WAYS}
        for _ in range(REPEATS):
            for way, process in processes.items():
                rates[way].append(round(steps[way] * batch / ask(process, steps[way]), 1))
        return rates
    finally:
        for process in processes.values():
            with contextlib.suppress(OSError):
                process.stdin.close()
        for process in processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.stdout.close()


def steps_to_target(way: str, width: int, batch: int) -> list[int | None]:
    """Steps of each seed until the test images are known to 97 %."""
    found = []
    for seed in range(SEEDS):
        process = child("to_target", way, width, batch, seed)
        said, _ = process.communicate()
        found.append(json.loads(said.splitlines()[-1]))
    return found


def sweep_throughput() -> list[dict]:
    """Samples a second for each width, batch size and way."""
    rows = []
    for width, batch in itertools.product(WIDTHS, BATCHES):
        for way, measured in throughput(width, batch).items():
            rows.append({"way": way, "width": width, "batch": batch, "samples_per_second": measured})
            print("  ", json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def sweep_steps() -> list[dict]:
    """Steps to the target for each way, at the larger batch size and all widths but the last (an hour)."""
    rows = []
    for width, batch, way in itertools.product(WIDTHS[:-1], BATCHES[-1:], WAYS):
        if way not in SAME_STEPS:
            row = {"way": way, "width": width, "batch": batch, "steps": steps_to_target(way, width, batch)}
            rows += [row] + [row | {"way": same} for same, as_ in SAME_STEPS.items() if as_ == way]
            print("  ", json.dumps(row), file=sys.stderr, flush=True)
    return rows


def main(folder) -> dict:
    """The widest network with the larger batch, throughput only; the whole sweep is a record."""
    rates = {way: statistics.median(values) for way, values in throughput(WIDTHS[-1], BATCHES[-1]).items()}
    return {
        "what": f"samples/s, {LAYERS} layers of {WIDTHS[-1]}, batches of {BATCHES[-1]}, medians of {REPEATS} turns",
        "samples_per_second": rates,
        "cdni_over_locked": round(rates["cDNI"] / rates["locked"], 2),
        "cdni_over_one_worker": round(rates["cDNI"] / rates["one worker"], 2),
        "cdni_over_two_threads": round(rates["cDNI"] / rates["two threads"], 2),
    }


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    if kind == "timed":
        timed(words[0], *map(int, words[1:]))
    elif kind == "to_target":
        to_target(words[0], *map(int, words[1:]))
    elif kind in ("throughput", "steps"):
        print(json.dumps({"throughput": sweep_throughput, "steps": sweep_steps}[kind]()))
    else:
        half(words[0], *map(int, words[1:]))
