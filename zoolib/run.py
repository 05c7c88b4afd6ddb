"""One training run: seeds, device, threads, progress, metrics, checkpoints, resume.

A training loop stays a plain ``for``; everything around it is here::

    run = Run("runs/a", seed=3).begin("dqn", config)
    with run.track(network=q, optimizer=optimizer, replay=replay):
        for step in run.steps(config.total_steps, by=config.num_envs):
            ...
            run.log(loss=loss, episode_return=returns)

What a run folder holds: ``config.json``, ``metrics.csv``, ``metrics.json`` (the final figures), the last two
``checkpoint-<step>-<digest>.pt`` and, where the algorithm writes them, ``weights.safetensors``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import io
import json
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm


class RunError(Exception):
    """A run that cannot start or go on, said in one sentence that a user can act on."""


class NonFiniteLoss(RunError):
    """A loss became NaN or infinite; names the step and the last good checkpoint."""


def pick_device(name: str = "auto", *, tiny: bool = False) -> torch.device:
    """The device called `name`: "auto", "cpu", "mps", "cuda" or "cuda:1".

    "auto" takes cuda, then mps, then the CPU; with `tiny` it takes the CPU even where a GPU is, because a network
    of a few thousand weights waits longer for kernel launches than it computes.  Raises RunError if it is absent.
    """
    if name == "auto":
        if tiny:
            return torch.device("cpu")
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.append("mps")
    if torch.cuda.is_available():
        present += ["cuda"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name not in present:
        raise RunError(f"no device {name!r} on this machine; it has {', '.join(present)} (or say auto)")
    return torch.device(name)


def source_digest(function: Callable) -> str:
    """A short digest of a hook: its source (or bytecode) and the plain values that it has closed over."""
    if isinstance(function, functools.partial):
        text = f"{source_digest(function.func)} {function.args!r} {function.keywords!r}"
    else:
        try:
            text = inspect.getsource(function)
        except (OSError, TypeError):
            code = getattr(function, "__code__", None)
            text = _bytecode(code) if code else repr(type(function))
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        text += repr([value for value in cells if isinstance(value, (int, float, str, bool, tuple))])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bytecode(code) -> str:
    constants = [_bytecode(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts]
    return repr((code.co_code, code.co_names, constants))


class Run:
    """One training run.

    out: folder for config, metrics and checkpoints; None keeps everything in memory.
    seed: seeds Python, NumPy (`run.rng`) and torch.  device: see `pick_device`.
    threads: torch's intra-op threads while the run lasts; None leaves the choice to the algorithm.
    resume: continue from the newest good checkpoint in `out`; with none there, start from the beginning.
    checkpoint_seconds: time between checkpoints; longer where writing them would take more than 2 % of it (a large
    replay memory); 0 writes one after every step.  log_points: rows in the metrics table of a whole run.
    tensorboard: also write TensorBoard events to `out`.
    """

    def __init__(
        self,
        out: str | Path | None = None,
        *,
        seed: int = 0,
        device: str = "auto",
        threads: int | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 5.0,
        log_points: int = 200,
        progress: bool = True,
        tensorboard: bool = False,
    ):
        if not 0 <= seed < 2**63:
            raise RunError(f"seed must lie between 0 and 2^63, not {seed}")
        if threads is not None and threads < 1:
            raise RunError(f"threads must be at least 1, not {threads}")
        if not checkpoint_seconds >= 0:
            raise RunError(f"checkpoint_seconds must not be negative or nan, as {checkpoint_seconds} is")
        self.out = Path(out) if out is not None else None
        if tensorboard and self.out is None:
            raise RunError("tensorboard needs a folder to write to; give the run an `out`")
        self.seed, self.threads, self.resume = seed, threads, resume
        self._device_name = device
        self.checkpoint_seconds, self.log_points = checkpoint_seconds, log_points
        self.progress, self.tensorboard = progress, tensorboard
        self.device = torch.device("cpu")
        self.rng = np.random.default_rng(seed)
        self.step = 0
        self.algorithm: str | None = None
        self.announce = ""  # printed when the run begins, before its configuration
        self.figures: dict = {}  # what metrics.json reports; an algorithm adds its own
        self.stopped: str | None = None  # why the loop ended early
        self._rows: list[dict] = []
        self._pending: dict[str, list] = {}
        self._tracked: dict = {}
        self._elapsed = 0.0
        self._bar = self._writer = None

    # ---------------------------------------------------------------- start

    def begin(self, algorithm: str, config, *, tiny: bool = False, hooks: Mapping[str, Callable] | None = None) -> Run:
        """Seed everything, choose device and threads, and open the folder.  Returns the run itself.

        config: a dataclass or dict, saved as config.json.  tiny: the network is small (see `pick_device`).
        hooks: the reader's own functions; a resumed run refuses one whose source has changed.
        Raises RunError for a folder that holds another run, or a resume that does not fit it.
        """
        if self.algorithm is not None:
            raise RunError("this run has begun before; make a new Run for another training")
        self.device = pick_device(self._device_name, tiny=tiny)
        self._before = (random.getstate(), np.random.get_state(), torch.get_rng_state(), torch.get_num_threads())
        if self.threads is None and tiny:
            self.threads = 1  # a tiny network runs slower on many threads, and not always with the same bits
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)  # some environments and hooks still use the global one
        torch.manual_seed(self.seed)
        self.algorithm = algorithm
        self.config = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else dict(config)
        self._hooks = {name: source_digest(hook) for name, hook in (hooks or {}).items()}
        if self.out is not None:
            self._check_folder()
        if self.announce:
            print(self.announce, ", ".join(f"{k}={v}" for k, v in self.config.items()), sep="\n", file=sys.stderr)
        return self

    def _check_folder(self) -> None:
        config_file = self.out / "config.json"
        if self.out.exists() and not self.out.is_dir():
            raise RunError(f"{self.out} is a file; --out wants a folder")
        if self.out.exists() and not config_file.exists() and any(self.out.iterdir()):
            raise RunError(f"{self.out} is not empty and holds no run (no config.json); choose another --out")
        if config_file.exists():
            if not self.resume:
                raise RunError(
                    f"{self.out} already holds a run; add --resume to go on with it, or choose another --out"
                )
            try:
                saved = json.loads(config_file.read_text())
                before = {"algorithm": saved["algorithm"], "seed": saved["seed"]} | saved["config"]
            except (ValueError, KeyError, TypeError):
                raise RunError(f"{config_file} is damaged; choose another --out") from None
            now = json.loads(json.dumps({"algorithm": self.algorithm, "seed": self.seed} | self.config))
            differing = [
                f"{key} (was {before.get(key)!r}, now {now.get(key)!r})"
                for key in before | now
                if before.get(key) != now.get(key)
            ]
            if differing:
                raise RunError(f"cannot resume {self.out} with another configuration: {', '.join(differing)}")
            changed = [k for k in self._hooks if saved.get("hooks", {}).get(k) != self._hooks[k]]
            if changed:
                raise RunError(
                    f"cannot resume {self.out}: the source of {', '.join(changed)} has changed since it started; "
                    "train the new one in a new folder"
                )
        self.out.mkdir(parents=True, exist_ok=True)

    def _open_folder(self) -> None:
        for left_over in self.out.glob(".*.tmp"):  # of a process that was killed as it wrote
            left_over.unlink()
        if (self.out / "config.json").exists():
            return
        saved = {
            "algorithm": self.algorithm,
            "config": self.config,
            "seed": self.seed,
            "device": str(self.device),
            "threads": self.threads,
            "hooks": self._hooks,
            "torch": torch.__version__,
        }
        write_atomically(self.out / "config.json", (json.dumps(saved, indent=1) + "\n").encode())

    # ----------------------------------------------------------------- loop

    @contextlib.contextmanager
    def track(self, **tracked) -> Iterator[Run]:
        """Say what a checkpoint holds: objects with state_dict/load_state_dict, or dicts of plain values.

        Restores them where the run resumes.  At the end writes a last checkpoint, metrics.csv and metrics.json.
        The first Ctrl-C lets the current step finish and then ends the loop; a second one raises.
        """
        self._tracked = tracked
        if self.out is not None:
            self._open_folder()
        if self.resume and self.out is not None:
            self._restore()
        if self.tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise RunError("TensorBoard is not installed; `pip install tensorboard` brings it") from None
            self._writer = SummaryWriter(self.out, purge_step=self.step + 1 if self.step else None)
        handler = self._catch_interrupts()
        self._clock = time.perf_counter()
        self._next_checkpoint = self._clock + self.checkpoint_seconds
        try:
            yield self
            self._flush()
            self._save()
        finally:
            self._elapsed = self.seconds
            self._clock = None
            if handler is not None:
                signal.signal(signal.SIGINT, handler)
            if self._bar is not None:
                self._bar.close()
            if self._writer is not None:
                self._writer.close()
            if self.out is not None:  # also of a run that failed
                write_atomically(self.out / "metrics.csv", self.metrics.to_csv(index=False).encode())
            python_state, numpy_state, torch_state, threads = self._before
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            torch.set_rng_state(torch_state)
            torch.set_num_threads(threads)
        self._finish()

    def steps(self, total: int, by: int = 1, unit: str = "steps") -> Iterator[int]:
        """Count from where the run stands up to `total` in strides of `by`; yields the steps done so far."""
        self._log_every = max(1, total // self.log_points)
        self._next_log = (self.step // self._log_every + 1) * self._log_every
        in_notebook = "ipykernel" in sys.modules
        self._bar = tqdm(
            total=total,
            initial=self.step,
            unit=" " + unit,
            desc=self.algorithm,
            disable=not self.progress,
            leave=False,
            mininterval=0.5,
            dynamic_ncols=not in_notebook,
            ncols=88 if in_notebook else None,
            # a notebook's page shows stderr as an error, so a chapter's bar goes to stdout
            file=sys.stdout if in_notebook else sys.stderr,
        )
        self.unit = unit
        while self.step < total and self.stopped is None:
            yield self.step
            self.step += by
            self._bar.update(by)
            if self.step >= self._next_log:
                self._flush()
                self._next_log += self._log_every * math.ceil((self.step - self._next_log + 1) / self._log_every)
            if self.out is not None and (start := time.perf_counter()) > self._next_checkpoint:
                self._flush()
                self._save()
                end = time.perf_counter()
                patience = max(self.checkpoint_seconds, 50 * (end - start)) if self.checkpoint_seconds else 0
                self._next_checkpoint = end + patience

    def log(self, **values) -> None:
        """Note numbers or tensors (of any shape; their mean counts).

        Tensors are read back only when a row is due, so that a GPU is not made to wait at each step.
        """
        for name, value in values.items():
            self._pending.setdefault(name, []).append(value.detach() if torch.is_tensor(value) else value)

    def stop(self, why: str) -> None:
        """End the loop after this step, as when the task is solved."""
        self.stopped = why

    @contextlib.contextmanager
    def untimed(self) -> Iterator[None]:
        """Leave what happens inside (evaluation, say) out of the run's seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self._clock is not None:
                self._clock += time.perf_counter() - start

    @property
    def seconds(self) -> float:
        """Seconds of training so far, over all sessions of a resumed run."""
        running = getattr(self, "_clock", None)
        return self._elapsed + (time.perf_counter() - running if running is not None else 0.0)

    @property
    def metrics(self) -> pd.DataFrame:
        """One row a logging interval: step, seconds, and the mean of what was logged since the row before."""
        return pd.DataFrame(self._rows)

    # ------------------------------------------------------------- behind it

    def _catch_interrupts(self):
        if threading.current_thread() is not threading.main_thread():
            return None

        def on_interrupt(signum, frame):
            if self.stopped == "interrupted":
                raise KeyboardInterrupt
            self.stopped = "interrupted"

        return signal.signal(signal.SIGINT, on_interrupt)

    def _flush(self) -> None:
        if not self._pending:
            return
        row = {"step": self.step, "seconds": round(self.seconds, 4)}
        for name, values in self._pending.items():
            flat = [v.float().mean() if torch.is_tensor(v) else float(np.mean(v)) for v in values]
            row[name] = float(torch.stack([torch.as_tensor(v) for v in flat]).mean())
        self._pending = {}
        bad = [name for name, value in row.items() if "loss" in name and not math.isfinite(value)]
        if bad:
            raise NonFiniteLoss(
                f"{bad[0]} became {row[bad[0]]} within the first {self.step} {self.unit}; {self._last_good()}. "
                "A smaller learning rate or a clipped gradient usually cures it"
            )
        self._rows.append(row)
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, self.step)
        shown = {k: f"{v:.4g}" for k, v in row.items() if k not in ("step", "seconds")}
        self._bar.set_postfix(shown, refresh=False)

    def _last_good(self) -> str:
        files = checkpoints(self.out) if self.out is not None else []
        return f"the last good checkpoint is {files[-1]}" if files else "there is no checkpoint yet"

    def _states(self) -> dict:
        return {
            name: thing.state_dict() if hasattr(thing, "state_dict") else dict(thing)
            for name, thing in self._tracked.items()
        }

    def _save(self) -> None:
        if self.out is None:
            return
        for name, thing in self._tracked.items():
            if isinstance(thing, nn.Module):
                for key, tensor in thing.state_dict().items():
                    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                        raise NonFiniteLoss(
                            f"{name}'s {key} is no longer finite after {self.step} {self.unit}; {self._last_good()}"
                        )
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "tracked": self._states(),
            "rows": self._rows,
            "random": json.dumps([random.getstate(), _plain(np.random.get_state()), self.rng.bit_generator.state]),
            "torch_random": torch.get_rng_state(),
            "device_random": self._device_random(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getbuffer()
        digest = hashlib.sha256(data).hexdigest()[:16]
        write_atomically(self.out / "metrics.csv", self.metrics.to_csv(index=False).encode())
        old = checkpoints(self.out)
        new = self.out / f"checkpoint-{self.step:012d}-{digest}.pt"
        write_atomically(new, data)
        for path in [p for p in old if p != new][:-1]:
            path.unlink()

    def _restore(self) -> None:
        damaged = False
        for path in reversed(checkpoints(self.out)):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest()[:16] != path.stem.rpartition("-")[2]:
                print(f"{path} is damaged; going back to the checkpoint before it", file=sys.stderr)
                path.rename(path.with_suffix(".damaged"))
                damaged = True
                continue
            state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
            break
        else:
            if damaged:
                print(f"{self.out} has no good checkpoint left: starting from the beginning", file=sys.stderr)
            return
        for name, thing in self._tracked.items():
            if hasattr(thing, "load_state_dict"):
                thing.load_state_dict(state["tracked"][name])
            else:
                thing.clear()
                thing.update(state["tracked"][name])
        self.step, self._elapsed = state["step"], state["seconds"]
        # an interrupted run goes on; one that ended for a reason of its own stays ended
        self.stopped = None if state["stopped"] == "interrupted" else state["stopped"]
        python_state, global_state, own_state = json.loads(state["random"])
        random.setstate((python_state[0], tuple(python_state[1]), python_state[2]))
        np.random.set_state(tuple(global_state))
        self.rng.bit_generator.state = own_state
        torch.set_rng_state(state["torch_random"])
        self._device_random(state["device_random"])
        self._rows = state["rows"]

    def _device_random(self, state: torch.Tensor | None = None) -> torch.Tensor | None:
        """The random state of the run's accelerator (None on a CPU); with `state`, set it."""
        if self.device.type == "cpu":
            return None
        if self.device.type == "mps":
            return torch.mps.get_rng_state() if state is None else torch.mps.set_rng_state(state)
        if state is None:
            return torch.cuda.get_rng_state(self.device)
        return torch.cuda.set_rng_state(state, self.device)

    def _finish(self) -> None:
        self.figures = {
            "algorithm": self.algorithm,
            "seed": self.seed,
            "steps": self.step,
            "seconds": round(self.seconds, 3),
            "steps_per_second": round(self.step / max(self.seconds, 1e-9), 1),
            "ended": self.stopped or "completed",
            "device": str(self.device),
            "threads": self.threads,
        } | self.figures
        if self.out is not None:
            text = json.dumps(self.figures, indent=1) + "\n"
            write_atomically(self.out / "metrics.json", text.encode())
        if self.progress:
            print(
                f"{self.algorithm}: {self.step:,} {self.unit} in {self.seconds:.1f} s "
                f"({self.figures['steps_per_second']:,.0f}/s), {self.figures['ended']}",
                file=sys.stdout if "ipykernel" in sys.modules else sys.stderr,
            )


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write `data` so that `path` is either the old file or the whole new one, whatever kills the process."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say where
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    if os.name == "posix":  # the rename itself must survive a power cut too
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _plain(state: tuple) -> list:
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in state]


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run folder, oldest first."""
    return sorted(folder.glob("checkpoint-*.pt"), key=lambda path: (path.name[:23], path.stat().st_mtime_ns))
