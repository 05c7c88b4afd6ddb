"""A process for each stage: activations go up, gradients come down, and with synthetic gradients nobody waits for them.

Jaderberg et al. 2017, "Decoupled Neural Interfaces using Synthetic Gradients" (ICML), figure 2.  A stage sends its
activations up, updates at once with what the module at its cut says, and corrects that module when the true gradient
arrives `delay` steps later, while it already works on other batches.  Backprop through the same stages is locked:
each step waits until the batch has been up and the gradient has come down.

The process that calls `train` is the first stage; it starts the others, and holds run, progress and checkpoints.
Under torchrun all processes are there already, on one machine or several:
`torchrun --standalone --nproc-per-node=2 -m zoolib train dni --splits 1 --workers 2`.
Stages talk over gloo on the CPU, and with `--device cuda`, a GPU for each, over NCCL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from zoolib import data
from zoolib.dni import training
from zoolib.dni.synthetic import gradient_loss
from zoolib.run import Run, RunError, pick_device, write_atomically

GO, GIVE_STATE, TAKE_STATE, GIVE_EVENTS, STOP = range(5)  # what the first stage may ask of the others
SEGMENT = 50  # steps between two orders: progress, Ctrl-C and checkpoints wait for the end of one
KEPT = 1_000  # events of a stage that its time line holds, the latest
LOST_NEIGHBOUR = 75  # exit status of a stage that ends because another one did
PATIENCE = timedelta(seconds=120)  # with a stage that neither answers nor dies


class Link:
    """Messages of one shape to and from one other process, in order; both ways run beside the computing.

    outward, inward: a process group for each way, because NCCL puts all that a group says into one queue.
    """

    def __init__(self, peer: int, shape: tuple[int, ...], device: torch.device, outward, inward):
        self.peer, self.shape, self.device = peer, shape, device
        self.outward, self.inward = outward, inward
        self.sent: deque = deque()
        self.expected: deque = deque()

    def send(self, message: torch.Tensor) -> None:
        message = message.contiguous()
        self.sent.append((dist.isend(message, self.peer, self.outward), message))  # kept until it has left
        while len(self.sent) > 4:
            self.sent.popleft()[0].wait()

    def expect(self) -> None:
        """Make room for one more message."""
        room = torch.empty(self.shape, device=self.device)
        self.expected.append((dist.irecv(room, self.peer, self.inward), room))

    def receive(self) -> torch.Tensor:
        """The oldest message that is expected; waits for it."""
        arrival, room = self.expected.popleft()
        if arrival is not None:
            arrival.wait()
        return room

    def arrived(self) -> list[torch.Tensor]:
        """All messages that are expected, once they are there; they stay to be received."""
        rooms = [self.receive() for _ in range(len(self.expected))]
        self.expected.extend((None, room) for room in rooms)  # gloo would wait for ever for a message once had
        return rooms


Event = tuple[str, int, float, float]  # what a stage did (forward, backward, correct, wait), step, start, end [s]


class Stage:
    """One stage: its part of the network, its optimisers, and its links to the stages above and below."""

    def __init__(
        self,
        config: training.Config,
        rank: int,
        network: training.Network,
        images: data.Images,
        seed: int,
        device: torch.device,
    ):
        self.config, self.rank, self.seed, self.device = config, rank, seed, device
        self.network, self.part, self.images = network.to(device), network.stages[rank], images
        self.last = rank == len(network.stages) - 1
        self.cut = None if self.last or config.method == "backprop" else network.cuts[rank]
        self.x = images.train_images[: -training.VALIDATION]
        self.y = images.train_labels[: -training.VALIDATION].to(device)
        if rank == 0:
            self.x = self.x.to(device)
        up, down = (dist.new_group(timeout=PATIENCE) for _ in range(2))
        rows = config.batch_size // config.micro_batches
        self.above = None if self.last else Link(rank + 1, (rows, *network.shapes[rank]), device, up, down)
        self.below = Link(rank - 1, (rows, *network.shapes[rank - 1]), device, down, up) if rank else None
        self.optimizer = torch.optim.Adam(self.part.parameters(), config.learning_rate, fused=True)
        own = list(self.cut.parameters()) if self.cut is not None else []
        self.cut_optimizer = torch.optim.Adam(own, config.synthesiser_learning_rate, fused=True) if own else None
        self.waiting: deque = deque()  # activations and labels whose true gradient is on its way
        self.hears = config.method in ("backprop", "dni", "cdni")  # whether gradients come down at all
        self.events: deque[Event] = deque(maxlen=KEPT)
        self.step = 0
        self.steps_an_epoch = len(self.y) // config.batch_size

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels of a step: every process shuffles alike, so labels need not be sent."""
        epoch, at = divmod(step, self.steps_an_epoch)
        chosen = training.shuffled(len(self.y), self.seed, epoch)[at * self.config.batch_size :][
            : self.config.batch_size
        ]
        return (data.as_input(self.x[chosen]) if self.rank == 0 else None), self.y[chosen]

    @contextlib.contextmanager
    def noted(self, what: str, late: int = 0):
        """Note when something began and ended, and that it concerns the batch of `late` steps ago."""
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.events.append((what, self.step - late, start, time.perf_counter()))

    def run(self, first: int, count: int) -> float:
        """`count` steps from `first` on; returns the mean loss where this is the last stage, else 0."""
        step_once = self.locked if self.config.method == "backprop" else self.unlocked
        total = self.steps_an_epoch * self.config.epochs
        self.ahead = count * self.config.micro_batches if self.below else 0  # activations still to be expected
        for _ in range(min(2, self.ahead)):
            self.expect_below()
        value = torch.zeros((), device=self.device)
        for self.step in range(first, first + count):
            share = 1 - self.step / total
            self.optimizer.param_groups[0]["lr"] = self.config.learning_rate * share
            if self.cut_optimizer is not None:
                self.cut_optimizer.param_groups[0]["lr"] = self.config.synthesiser_learning_rate * share
            value += step_once(*self.batch(self.step))
        return value.item() / count

    def expect_below(self) -> None:
        if self.ahead:
            self.ahead -= 1
            self.below.expect()

    def from_below(self, x: torch.Tensor | None) -> torch.Tensor:
        """What this stage works on: images, or what the stage below sends."""
        if self.below is None:
            return x
        with self.noted("wait"):
            h = self.below.receive()
        self.expect_below()
        return h.requires_grad_()

    def unlocked(self, x, y) -> torch.Tensor:
        """A step with what the module at the cut says; the true gradient of an earlier batch corrects that module."""
        h_in = self.from_below(x)
        value = torch.zeros((), device=self.device)
        with self.noted("forward"):
            h = self.part(h_in)
            if not self.last:
                self.above.send(h.detach())
        with self.noted("backward"):
            self.optimizer.zero_grad()
            if self.last:
                value = F.cross_entropy(h, y)
                value.backward()
            else:
                h.backward(self.cut.gradient(h.detach(), y) / len(y))
            if self.below and self.hears:
                self.below.send(h_in.grad * len(y))
            self.optimizer.step()
        if not self.last:
            if self.hears:
                self.above.expect()
            self.waiting.append((h.detach(), y))
            if len(self.waiting) > self.config.lateness:
                self.correct()
        return value.detach()

    def correct(self) -> None:
        true, late = None, self.config.lateness
        if self.hears:
            with self.noted("wait", late):
                true = self.above.receive()
        h, y = self.waiting.popleft()
        with self.noted("correct", late):
            value = self.cut.loss(h, y, true, gradient_loss)
            if value is not None:
                self.cut_optimizer.zero_grad()
                value.mean().backward()
                self.cut_optimizer.step()

    def locked(self, x, y) -> torch.Tensor:
        """A step of backprop: all parts of the batch up, then all gradients down."""
        parts, value, up = self.config.micro_batches, torch.zeros((), device=self.device), []
        self.optimizer.zero_grad()
        xs = x.chunk(parts) if x is not None else [None] * parts
        for x_part, y_part in zip(xs, y.chunk(parts), strict=True):
            h_in = self.from_below(x_part)
            with self.noted("forward"):
                h = self.part(h_in)
                if not self.last:
                    self.above.send(h.detach())  # before `expect`: NCCL's first message waits until both ends are there
                    self.above.expect()
                    up.append((h_in, h))
            if self.last:
                with self.noted("backward"):
                    loss = F.cross_entropy(h, y_part) / parts
                    loss.backward()
                    value += loss.detach()
                    if self.below:
                        self.below.send(h_in.grad)
        for h_in, h in up:
            with self.noted("wait"):
                gradient = self.above.receive()
            with self.noted("backward"):
                h.backward(gradient)
                if self.below:
                    self.below.send(h_in.grad)
        with self.noted("backward"):
            self.optimizer.step()
        return value

    # ----------------------------------------------------------- state

    def state(self) -> bytes:
        """All of this stage that a checkpoint holds, gradients that are on their way included."""
        on_the_way = self.above.arrived() if self.above else []
        state = {
            "part": self.part.state_dict(),
            "cut": self.cut.state_dict() if self.cut is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "cut_optimizer": self.cut_optimizer.state_dict() if self.cut_optimizer else {},
            "waiting": list(self.waiting),
            "on_the_way": on_the_way,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()

    def take(self, content: bytes) -> None:
        state = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
        self.part.load_state_dict(state["part"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.cut is not None:
            self.cut.load_state_dict(state["cut"])
        if self.cut_optimizer:
            self.cut_optimizer.load_state_dict(state["cut_optimizer"])
        self.waiting = deque(state["waiting"])
        if self.above:
            self.above.expected = deque((None, room) for room in state["on_the_way"])

    def serve(self) -> None:
        """Do what the first stage asks, until it says stop."""
        while True:
            order = torch.zeros(3, dtype=torch.int64)
            dist.broadcast(order, 0)
            kind, first, count = order.tolist()
            if kind == STOP:
                return
            if kind == GO:
                report(self.run(first, count), len(self.network.stages))
            elif kind == GIVE_STATE:
                send_bytes(self.state(), 0)
            elif kind == GIVE_EVENTS:
                send_bytes(json.dumps(list(self.events)).encode(), 0)
            else:
                self.take(receive_bytes(0))


def report(loss: float, world: int) -> float:
    """Every process learns the last stage's loss."""
    value = torch.tensor([loss], dtype=torch.float64)
    dist.broadcast(value, world - 1)
    return value.item()


def send_bytes(content: bytes, to: int) -> None:
    dist.send(torch.tensor([len(content)]), to)
    dist.send(torch.frombuffer(bytearray(content), dtype=torch.uint8), to)


def receive_bytes(source: int) -> bytes:
    length = torch.zeros(1, dtype=torch.int64)
    dist.recv(length, source)
    content = torch.empty(int(length), dtype=torch.uint8)
    dist.recv(content, source)
    return content.numpy().tobytes()


class Pipeline:
    """All stages, as the first one sees them: what a checkpoint tracks."""

    def __init__(self, stage: Stage):
        self.stage, self.others = stage, range(1, len(stage.network.stages))

    def order(self, kind: int, first: int = 0, count: int = 0) -> None:
        dist.broadcast(torch.tensor([kind, first, count]), 0)

    def run(self, first: int, count: int) -> float:
        """`count` steps of every stage; returns the last stage's mean loss."""
        self.order(GO, first, count)
        self.stage.run(first, count)
        return report(0.0, len(self.others) + 1)

    def gather(self) -> list[bytes]:
        """Every stage's state; the network here is brought up to it."""
        self.order(GIVE_STATE)
        states = [self.stage.state(), *(receive_bytes(rank) for rank in self.others)]
        for rank in self.others:
            state = torch.load(io.BytesIO(states[rank]), map_location=self.stage.device, weights_only=True)
            self.stage.network.stages[rank].load_state_dict(state["part"])
            if state["cut"]:
                self.stage.network.cuts[rank].load_state_dict(state["cut"])
        return states

    def timeline(self) -> list[list[Event]]:
        """What each stage did last, on one clock that starts with the first of these events (s).

        Stages of other machines have clocks of their own: there only the durations mean something.
        """
        self.order(GIVE_EVENTS)
        stages = [list(self.stage.events), *(json.loads(receive_bytes(rank)) for rank in self.others)]
        start = max((events[0][2] for events in stages if events), default=0.0)
        return [[(what, step, a - start, b - start) for what, step, a, b in events if a >= start] for events in stages]

    def state_dict(self) -> dict:
        return {"stages": [torch.frombuffer(bytearray(s), dtype=torch.uint8) for s in self.gather()]}

    def load_state_dict(self, state: dict) -> None:
        states = [tensor.numpy().tobytes() for tensor in state["stages"]]
        self.order(TAKE_STATE)
        self.stage.take(states[0])
        for rank in self.others:
            send_bytes(states[rank], rank)


# ------------------------------------------------------------- processes


def prepared(config: training.Config, rank: int, seed: int, device: torch.device) -> Stage:
    """A stage, with the weights that the same seed gives in one process."""
    images = data.load(config.dataset)
    torch.manual_seed(seed)
    network = training.Network(config, tuple(images.train_images.shape[1:]), len(images.classes))
    return Stage(config, rank, network, images, seed, device)


def device_of(rank: int, device: torch.device) -> torch.device:
    """Where a stage computes: on the CPU, or on a GPU of its own.  Raises RunError where there are too few."""
    if device.type == "cpu":
        return device
    local, here = int(os.environ.get("LOCAL_RANK", rank)), torch.cuda.device_count()
    if device.type != "cuda" or local >= here:
        raise RunError(f"each stage needs a CUDA device of its own, and here are {here}; leave out device")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def worker(place: str, rank: int, options: str) -> None:
    """A stage that another process started: join the others and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first stage's to handle
    given = json.loads(options)
    config = training.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in given["config"].items()})
    torch.set_num_threads(given["threads"])
    try:
        device = device_of(rank, torch.device(given["device"]))
        join(place, rank, config.workers, device)
        prepared(config, rank, given["seed"], device).serve()
    except RuntimeError as error:
        print(f"stage {rank + 1} lost its neighbour: {str(error).splitlines()[0]}", file=sys.stderr)
        os._exit(LOST_NEIGHBOUR)


def join(place: str, rank: int, world: int, device: torch.device) -> None:
    """Meet the other processes of this machine at a file, or those of torchrun where it says."""
    how = {"backend": "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl", "timeout": PATIENCE}
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group(**how)
        return
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the stages talk to nobody outside
    store = dist.FileStore(place, world)
    dist.init_process_group(store=store, rank=rank, world_size=world, **how)


@contextlib.contextmanager
def processes(config: training.Config, run: Run):
    """The other stages' processes, started here, or by torchrun; none is left behind.

    Raises RunError, naming the stage, where one of them dies.
    """
    device = device_of(0, run.device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        try:
            yield
        except RuntimeError as error:
            raise RunError(f"a stage died ({str(error).splitlines()[0]}); --resume goes on") from None
        finally:
            dist.destroy_process_group()
        return
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "meeting")
        given = {"config": dataclasses.asdict(config), "seed": run.seed, "threads": torch.get_num_threads()}
        given["device"] = run.device.type
        command = [sys.executable, "-m", "zoolib.dni.pipeline", place]
        children = []
        for rank in range(1, config.workers):
            with open(place + str(rank), "w") as said:  # what it prints to stderr, for `death`
                children.append(subprocess.Popen([*command, str(rank), json.dumps(given)], stderr=said))
        try:
            join(place, 0, config.workers, device)
            yield
        except RuntimeError as error:
            raise RunError(death(children, place, str(error).splitlines()[0], run)) from None
        finally:
            with contextlib.suppress(Exception):
                dist.destroy_process_group()
            deadline = time.monotonic() + 5
            for child in children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(0.0, deadline - time.monotonic()))
                child.kill()
                child.wait()


def death(children: list[subprocess.Popen], place: str, error: str, run: Run) -> str:
    """Which stage died first, in a sentence."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        for rank, child in enumerate(children, start=1):
            status = child.poll()
            if status not in (None, 0, LOST_NEIGHBOUR):
                how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
                said = Path(place + str(rank)).read_text().strip().splitlines()[-1:] if status > 0 else []
                on = "; go on from the last checkpoint with --resume" if run.out else ""
                return f"stage {rank + 1} of {len(children) + 1} died ({': '.join([how, *said])}){on}"
        time.sleep(0.05)
    return f"the stages lost touch with one another: {error}"


def train(config: training.Config, run: Run) -> training.Trained:
    """`training.train` with a process for each stage."""
    rank = int(os.environ.get("RANK", 0))
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        if world != config.workers:
            raise RunError(f"torchrun started {world} processes, but workers is {config.workers}")
        device = device_of(rank, pick_device(run._device_name, tiny=True))
        join("", rank, world, device)
        if rank > 0:
            torch.set_num_threads(run.threads or 1)
            prepared(config, rank, run.seed, device).serve()
            sys.exit(0)
    if run.threads is None:
        run.threads = 1
    run.begin("dni", config, tiny=True, hooks={"loss": gradient_loss})
    with processes(config, run):
        stage = prepared(config, 0, run.seed, device_of(0, run.device))
        network, images = stage.network, stage.images
        held_out = (t[-training.VALIDATION :].to(run.device) for t in (images.train_images, images.train_labels))
        held_out = tuple(held_out)
        pipeline = Pipeline(stage)
        total = stage.steps_an_epoch * config.epochs
        with run.track(pipeline=pipeline):
            segment = min(SEGMENT, config.validate_every or SEGMENT)
            for step in run.steps(total, by=segment):
                count = min(segment, total - step)
                run.log(loss=pipeline.run(step, count))
                if config.validate_every and (step + count) // config.validate_every > step // config.validate_every:
                    with run.untimed():
                        pipeline.gather()
                        run.log(validation_accuracy=training.accuracy(network, *held_out))
            run.step = min(run.step, total)
            with run.untimed():
                pipeline.gather()
                if run.stopped != "interrupted":
                    training.judge(network, images, config, run)
        timeline = pipeline.timeline()
        pipeline.order(STOP)
    training.save(network, config, run)
    if run.out is not None:
        write_atomically(run.out / "timeline.json", json.dumps(timeline).encode())
    return training.Trained(network, config, run, timeline)


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]), sys.argv[3])
