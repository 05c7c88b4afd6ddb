"""One training run: what it keeps, what it refuses, and how it comes back from being killed."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from zoolib.run import NonFiniteLoss, Run, RunError, checkpoints, pick_device


def train(run, total=100, config=None, stop_after=None, poison_at=None):
    """A loop with a network, an optimiser and a counter, whose noise comes from all three random states."""
    run.begin("toy", config or {"width": 3}, tiny=True)
    network = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    count = {"seen": 0}
    with run.track(network=network, optimizer=optimizer, count=count):
        for step in run.steps(total):
            x = torch.randn(8, 3) + float(run.rng.normal())
            loss = (network(x) - 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            count["seen"] += 1
            run.log(loss=loss * float("nan") if step == poison_at else loss)
            if stop_after is not None and step + 1 == stop_after:
                os.kill(os.getpid(), signal.SIGINT)
    return network, count


def test_same_seed_gives_the_same_bits_and_another_seed_does_not():
    first, second, other = (train(Run(seed=s, progress=False))[0].weight for s in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_resume_goes_on_exactly_where_an_interrupted_run_stood(tmp_path):
    whole, _ = train(Run(seed=1, progress=False))
    part = Run(tmp_path / "a", seed=1, progress=False)
    _, count = train(part, stop_after=40)
    assert part.stopped == "interrupted" and count["seen"] == 40
    resumed, count = train(Run(tmp_path / "a", seed=1, resume=True, progress=False))
    assert count["seen"] == 100
    assert torch.equal(whole.weight, resumed.weight)  # networks, optimiser and all random states
    table = (tmp_path / "a" / "metrics.csv").read_text().splitlines()
    steps = [int(line.split(",")[0]) for line in table[1:]]
    assert steps == sorted(set(steps)) and steps[-1] == 100


def test_resume_without_a_checkpoint_starts_from_the_beginning(tmp_path):
    _, count = train(Run(tmp_path / "a", resume=True, progress=False), total=10)
    assert count["seen"] == 10


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from test_run import train
from zoolib.run import Run
train(Run({out!r}, seed=5, checkpoint_seconds=0, progress=False), total=100_000)
"""


@pytest.mark.parametrize("delay", [0.0, 0.03])
def test_a_run_killed_at_any_moment_resumes(tmp_path, delay):
    out = tmp_path / "a"
    code = KILLED.format(tests=os.path.dirname(__file__), out=str(out))
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while len(checkpoints(out)) < 2 and child.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    child.kill()
    assert child.wait() == -signal.SIGKILL, child.stderr.read().decode()
    child.stderr.close()
    step = int(checkpoints(out)[-1].name.split("-")[1])
    assert 0 < step < 100_000
    run = Run(out, seed=5, resume=True, progress=False)
    run.begin("toy", {"width": 3}, tiny=True)
    network, count = nn.Linear(3, 1), {"seen": 0}
    with run.track(network=network, optimizer=torch.optim.Adam(network.parameters()), count=count):
        pass
    assert run.step == count["seen"] >= step
    reference, _ = train(Run(seed=5, progress=False), total=run.step)
    assert torch.equal(network.weight, reference.weight)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, capsys, damage):
    train(Run(tmp_path, checkpoint_seconds=0, progress=False), total=20)
    earlier, latest = checkpoints(tmp_path)
    data = bytearray(latest.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    latest.write_bytes(data)
    run = Run(tmp_path, resume=True, progress=False)
    _, count = train(run, total=20)
    assert latest.name in capsys.readouterr().err
    assert count["seen"] == 20
    assert latest.with_suffix(".damaged").exists()  # and no longer in the way of good ones


def test_with_no_good_checkpoint_left_it_says_that_it_starts_over(tmp_path, capsys):
    train(Run(tmp_path, progress=False), total=20)
    for path in checkpoints(tmp_path):
        path.write_bytes(b"")
    _, count = train(Run(tmp_path, resume=True, progress=False), total=20)
    assert count["seen"] == 20
    assert "no good checkpoint left: starting from the beginning" in capsys.readouterr().err


def test_the_table_comes_from_the_checkpoint_whatever_happened_to_the_file(tmp_path):
    part = Run(tmp_path, seed=1, progress=False)
    train(part, stop_after=40)
    (tmp_path / "metrics.csv").write_text("ste")
    (tmp_path / ".checkpoint.pt.1.tmp").write_text("half a file")
    run = Run(tmp_path, seed=1, resume=True, progress=False)
    train(run)
    assert run.metrics["step"].tolist() == list(range(1, 101))
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_run_is_for_one_training_and_leaves_the_random_states_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    run = Run(seed=1, progress=False)
    train(run, total=5)
    assert torch.equal(torch.rand(1), expected)
    with pytest.raises(RunError, match="has begun before; make a new Run"):
        train(run, total=5)


def test_hooks_differ_by_what_they_hold():
    from functools import partial

    from zoolib.run import source_digest

    def scaled(by):
        return lambda x: by * x

    assert source_digest(scaled(2)) != source_digest(scaled(3))
    assert source_digest(scaled(2)) == source_digest(scaled(2))
    assert source_digest(partial(max, 1)) != source_digest(partial(max, 2))
    one, other = (eval(f"lambda x: {name}(x)") for name in ("abs", "sum"))
    assert source_digest(one) != source_digest(other)


def test_checkpoints_execute_nothing(tmp_path):
    train(Run(tmp_path, progress=False), total=5)
    state = torch.load(checkpoints(tmp_path)[-1], weights_only=True)
    assert state["step"] == 5


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_last_good_checkpoint(tmp_path):
    with pytest.raises(
        NonFiniteLoss, match=r"loss became nan within the first 61 steps; the last good checkpoint is .*-0{10}60-"
    ):
        train(Run(tmp_path, checkpoint_seconds=0, progress=False), poison_at=60)
    assert [int(p.name.split("-")[1]) for p in checkpoints(tmp_path)] == [59, 60]


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    run = Run(tmp_path, checkpoint_seconds=0, progress=False).begin("toy", {}, tiny=True)
    network = nn.Linear(1, 1)
    with (
        pytest.raises(NonFiniteLoss, match="network's weight is no longer finite after 3 steps"),
        run.track(network=network),
    ):
        for step in run.steps(10):
            if step == 2:
                nn.init.constant_(network.weight, float("inf"))


def test_an_out_that_holds_a_run_is_refused_and_left_alone(tmp_path):
    train(Run(tmp_path, progress=False), total=5)
    before = sorted((p.name, p.read_bytes()) for p in tmp_path.iterdir())
    with pytest.raises(RunError, match="already holds a run; add --resume"):
        train(Run(tmp_path, progress=False), total=5)
    assert before == sorted((p.name, p.read_bytes()) for p in tmp_path.iterdir())


def test_resume_says_which_fields_differ(tmp_path):
    train(Run(tmp_path, seed=1, progress=False), total=5)
    with pytest.raises(RunError, match=r"seed \(was 1, now 2\), width \(was 3, now 4\)"):
        train(Run(tmp_path, seed=2, resume=True, progress=False), config={"width": 4})


def test_resume_refuses_a_hook_whose_source_changed(tmp_path):
    def begin(hook, **kwargs):
        run = Run(tmp_path, progress=False, **kwargs).begin("toy", {}, hooks={"loss": hook})
        with run.track():
            pass

    def loss(x):
        return x

    begin(loss)
    begin(loss, resume=True)

    def loss(x):
        return 2 * x

    with pytest.raises(RunError, match="the source of loss has changed"):
        begin(loss, resume=True)


def test_an_absent_device_is_named_with_those_there_are():
    with pytest.raises(RunError, match="no device 'tpu' on this machine; it has cpu"):
        pick_device("tpu")
    assert pick_device("auto", tiny=True) == torch.device("cpu")


def test_metrics_are_means_over_the_logging_interval(tmp_path):
    run = Run(tmp_path, log_points=2, progress=False).begin("toy", {}, tiny=True)
    with run.track():
        for step in run.steps(4):
            run.log(value=step, tensor=torch.tensor([step, step + 2.0]), pair=[step, step])
    table = run.metrics
    assert table["step"].tolist() == [2, 4]
    assert table["value"].tolist() == [0.5, 2.5] == table["pair"].tolist()
    assert table["tensor"].tolist() == [1.5, 3.5]
    final = json.loads((tmp_path / "metrics.json").read_text())
    assert final["steps"] == 4 and final["ended"] == "completed" and final["seed"] == 0


def test_a_second_interrupt_raises_and_the_threads_come_back():
    threads = torch.get_num_threads()
    run = Run(threads=1, progress=False).begin("toy", {})
    with pytest.raises(KeyboardInterrupt), run.track():
        for _ in run.steps(10):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
    assert torch.get_num_threads() == threads


def test_untimed_work_does_not_count():
    run = Run(progress=False).begin("toy", {})
    with run.track():
        for _ in run.steps(1):
            with run.untimed():
                time.sleep(0.3)
    assert run.seconds < 0.3


def test_tensorboard_writes_events(tmp_path):
    pytest.importorskip("tensorboard")
    train(Run(tmp_path, tensorboard=True, progress=False), total=5)
    assert list(tmp_path.glob("events.out.tfevents*"))


def test_numpy_state_is_restored(tmp_path):
    draws = []
    for resume in (False, True):
        run = Run(tmp_path, seed=2, resume=resume, progress=False).begin("toy", {})
        with run.track():
            draws.append(run.rng.normal())
    rng = np.random.default_rng(2)
    assert draws == [rng.normal(), rng.normal()]
