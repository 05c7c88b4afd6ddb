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
import io
import json
import os
import signal
import sys
import time
from collections import deque

import torch
import torch.distributed as dist
import torch.nn.functional as F

from zoolib import data
from zoolib.dni import training
from zoolib.dni.processes import LOST_NEIGHBOUR, PATIENCE, join, processes
from zoolib.dni.synthetic import gradient_loss
from zoolib.run import Run, RunError, write_atomically

GO, GIVE_STATE, TAKE_STATE, GIVE_EVENTS, STOP = range(5)  # what the first stage may ask of the others
SEGMENT = 50  # steps between two orders: progress, Ctrl-C and checkpoints wait for the end of one
KEPT = 1_000  # events of a stage that its time line holds, the latest


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
        (self.x, self.y), self.held_out = training.split(images, device)
        backend = "gloo" if device.type == "cpu" else "nccl"
        up, down = (dist.new_group(timeout=PATIENCE, backend=backend) for _ in range(2))
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
        chosen = data.rows_of(step, len(self.y), self.config.batch_size, self.seed)
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


def prepared(config: training.Config, rank: int, seed: int, device: torch.device | None = None) -> Stage:
    """A stage, with the weights that the same seed gives in one process.

    Every process calls it; device, the first stage's, says where all of them compute.
    """
    on_gpu = torch.tensor([int(device is not None and device.type != "cpu")])
    dist.broadcast(on_gpu, 0)
    images = data.load(config.dataset)
    torch.manual_seed(seed)
    network = training.Network(config, tuple(images.train_images.shape[1:]), len(images.classes))
    device = own_gpu(rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    return Stage(config, rank, network, images, seed, device)


def own_gpu(rank: int) -> torch.device:
    """The CUDA device of a stage.  Raises RunError where this machine has too few."""
    local, here = int(os.environ.get("LOCAL_RANK", rank)), torch.cuda.device_count()
    if local >= here:
        raise RunError(f"each stage needs a CUDA device of its own, and this machine has {here}; leave out device")
    return torch.device("cuda", local)


def worker(place: str, rank: int, options: str) -> None:
    """A stage that another process started: join the others and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first stage's to handle
    given = json.loads(options)
    config = training.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in given["config"].items()})
    torch.set_num_threads(given["threads"])
    try:
        join(place, rank, config.workers)
        prepared(config, rank, given["seed"]).serve()
    except RuntimeError as error:
        print(f"stage {rank + 1} lost its neighbour: {str(error).splitlines()[0]}", file=sys.stderr)
        os._exit(LOST_NEIGHBOUR)


def train(config: training.Config, run: Run) -> training.Trained:
    """`training.train` with a process for each stage."""
    rank = int(os.environ.get("RANK", 0))
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        if world != config.workers:
            raise RunError(f"torchrun started {world} processes, but workers is {config.workers}")
        dist.init_process_group("gloo", timeout=PATIENCE)
        if rank > 0:
            torch.set_num_threads(run.threads or 1)
            prepared(config, rank, run.seed).serve()
            sys.exit(0)
    if run.threads is None:
        run.threads = 1
    run.begin("dni", config, tiny=True, hooks={"loss": gradient_loss})
    if run.device.type != "cpu":
        own_gpu(0 if world > 1 else config.workers - 1)  # to refuse before anything starts
    with processes(config, run):
        stage = prepared(config, 0, run.seed, run.device)
        network, images = stage.network, stage.images
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
                        run.log(validation_accuracy=training.accuracy(network, *stage.held_out))
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
