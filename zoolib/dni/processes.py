"""The processes of a pipeline: how they start and meet, and what is said when one of them dies."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from zoolib.dni.training import Config
from zoolib.run import Run, RunError

LOST_NEIGHBOUR = 75  # exit status of a stage that ends because another one did
PATIENCE = timedelta(seconds=120)  # with a stage that neither answers nor dies


def join(place: str, rank: int, world: int) -> None:
    """Meet the other processes of this machine at a file."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the stages talk to nobody outside
    store = dist.FileStore(place, world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE)


@contextlib.contextmanager
def processes(config: Config, run: Run):
    """The other stages' processes, started here, or by torchrun; none is left behind.

    Raises RunError, naming the stage, where one of them dies.
    """
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
        command = [sys.executable, "-m", "zoolib.dni.pipeline", place]
        children = []
        for rank in range(1, config.workers):
            with open(place + str(rank), "w") as said:  # what it prints to stderr, for `death`
                children.append(subprocess.Popen([*command, str(rank), json.dumps(given)], stderr=said))
        try:
            join(place, 0, config.workers)
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
