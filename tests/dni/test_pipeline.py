"""Stages in processes of their own: the same bits as in one process, and a death that is told and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from tests.rl.test_resume import Interrupted
from zoolib.cli import main
from zoolib.dni import pipeline, training
from zoolib.dni.training import Config
from zoolib.run import Run, RunError

# Batches of 5,000 make an epoch of eleven steps.
SMALL = dict(width=16, batch_size=5_000, epochs=1, validate_every=0)


def trained(config, **options):
    return training.train(config, run=Run(seed=3, progress=False, threads=1, **options)).network.state_dict()


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize("method, delay", [("cdni", 1), ("dni", 3), ("dgl", 1), ("backprop", 1)])
def test_two_processes_give_the_bits_of_one(method, delay):
    options = SMALL | {"method": method, "splits": 1, "delay": delay}
    assert_same(trained(Config(**options)), trained(Config(**options, workers=2)))


def test_three_processes_give_the_bits_of_one():
    options = SMALL | {"splits": 2, "delay": 1}
    assert_same(trained(Config(**options)), trained(Config(**options, workers=3)))


def test_backprop_in_parts_of_a_batch_learns_as_well():
    """Not to the bit: batch normalisation sees the parts and not the whole."""
    options = SMALL | {"method": "backprop", "splits": 1, "batch_size": 200}
    whole = training.train(Config(**options), run=Run(progress=False, threads=1))
    parts = training.train(Config(**options, workers=2, micro_batches=4), run=Run(progress=False, threads=1))
    scores = [t.run.figures["test_accuracy"] for t in (whole, parts)]
    assert min(scores) > 0.8 and abs(scores[0] - scores[1]) < 0.08


@pytest.mark.parametrize("method, first", [("backprop", "backward"), ("cdni", "correct")])
def test_the_time_line_shows_what_had_to_wait_for_what(method, first, tmp_path):
    """Every batch goes up before it is worked on above; what came down is used after it has left the stage above."""
    config = Config(**SMALL, method=method, splits=1, workers=2)
    result = training.train(config, run=Run(tmp_path / "d", seed=3, progress=False, threads=1))
    below, above = result.timeline
    lower = {(what, step): (start, end) for what, step, start, end in below if what != "wait"}
    # The gradient leaves with the first "backward" of a step; with backprop the update of the weights is another.
    upper = {(what, step): (start, end) for what, step, start, end in reversed(above) if what != "wait"}
    kinds = {what for what, _ in lower}
    assert kinds == {"forward", "backward"} | ({"correct"} if method == "cdni" else set())
    assert {step for _, step in upper} <= set(range(11)) and len(upper) >= 20
    for (what, step), (start, end) in lower.items():
        assert 0 <= start <= end
        if what == "forward" and ("forward", step) in upper:
            assert start <= upper["forward", step][0]
        if what == first and ("backward", step) in upper:
            assert end >= upper["backward", step][0]
    saved = json.loads((tmp_path / "d" / "timeline.json").read_text())
    assert saved == [[list(event) for event in events] for events in result.timeline]


def test_a_stage_without_a_gpu_of_its_own_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr("zoolib.run.pick_device", lambda name, tiny: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RunError, match="each stage needs a CUDA device of its own, and this machine has 1; leave out"):
        training.train(Config(**SMALL, splits=1, workers=2), run=Run(progress=False))
    assert pipeline.own_gpu(0) == torch.device("cuda", 0)


@pytest.mark.parametrize("method", ["cdni", "backprop"])
def test_an_interrupted_pipeline_goes_on_bit_for_bit(method, tmp_path, monkeypatch):
    monkeypatch.setattr("zoolib.dni.pipeline.SEGMENT", 3)
    config = Config(**SMALL, method=method, splits=1, workers=2)
    whole = trained(config)
    training.train(config, run=Interrupted(tmp_path / "b", seed=3, progress=False, threads=1))
    again = training.train(config, run=Run(tmp_path / "b", seed=3, progress=False, threads=1, resume=True))
    assert again.run.step == 11
    assert_same(whole, again.network.state_dict())


def start(tmp_path, **environment):
    """A long run in a process of its own, once it has a checkpoint; and the process of its second stage."""
    command = "train dni --splits 1 --workers 2 --epochs 500 --checkpoint-seconds 0.5 --quiet --out".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "zoolib", *command, str(tmp_path / "d")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "d").glob("checkpoint-*.pt")):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.1)
    (child,) = psutil.Process(process.pid).children()
    return process, child


def gone(process: psutil.Process, seconds=60) -> bool:
    deadline = time.monotonic() + seconds
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_stage_that_dies_ends_the_run_with_its_name_and_the_run_goes_on(tmp_path, capsys):
    process, child = start(tmp_path)
    child.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    line = "stage 2 of 2 died (killed by signal 9); go on from the last checkpoint with --resume"
    assert said.strip().splitlines() == [f"zoolib: {line}"]
    config = json.loads((tmp_path / "d" / "config.json").read_text())["config"]
    assert config["workers"] == 2

    class Briefly(Run):
        def steps(self, total, by=1, **options):
            self.resumed_at = self.step
            self.stop("interrupted")
            return super().steps(total, by, **options)

    config["synthesiser_hidden"] = tuple(config["synthesiser_hidden"])
    run = Briefly(tmp_path / "d", progress=False, resume=True)
    training.train(Config(**config), run=run)
    assert run.resumed_at > 0


def test_no_stage_outlives_the_first_one(tmp_path):
    process, child = start(tmp_path)
    process.kill()
    process.communicate()
    assert gone(child)


def test_ctrl_c_ends_all_stages_and_keeps_the_run(tmp_path):
    process, child = start(tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with: zoolib train dni" in said and "Traceback" not in said
    assert gone(child)


def test_torchrun_starts_the_stages_too(tmp_path):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "zoolib", "train", "dni"]
    flags = "--splits 1 --workers 2 --epochs 1 --batch-size 5000 --width 16 --validate-every 0 --quiet --seed 3 --out"
    done = subprocess.run(
        [sys.executable, *command, *flags.split(), str(tmp_path / "t")], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    (figures,) = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    here = training.train(Config(**SMALL, splits=1, workers=2), run=Run(seed=3, progress=False, threads=1))
    assert figures["test_accuracy"] == here.run.figures["test_accuracy"]


MISTAKES = {
    ("--workers", "3", "--splits", "1"): "workers must be 1 or, with 1 splits, 2; not 3",
    ("--workers", "3", "--micro-batches", "2"): "micro_batches are for backprop with workers",
    ("--micro-batches", "3"): "micro_batches must divide batch_size 256, not 3",
    ("--workers", "3", "--synthetic-inputs"): "synthetic inputs are trained in one process; leave out workers",
}


@pytest.mark.parametrize("flags", MISTAKES, ids=" ".join)
def test_a_mistake_gets_one_line(flags, capsys):
    assert main(["train", "dni", *flags]) == 2
    assert MISTAKES[flags] in capsys.readouterr().err


def test_a_loss_of_ones_own_stays_in_one_process():
    with pytest.raises(RunError, match="a loss of your own trains in one process; leave out workers"):
        training.train(Config(splits=1, workers=2), loss=lambda a, b: (a - b).abs().sum(1))
