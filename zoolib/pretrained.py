"""Weights as files that execute nothing: safetensors, with their story in the header and a checksum.

The header (safetensors' metadata) is one JSON text: algorithm, config, seed, score, the command that made the
weights, and a digest over the tensors.  Weights that ship with the library lie in zoolib/weights/, and the file
SHA256SUMS beside them says what each must be.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from zoolib.run import write_atomically

FOLDER = Path(__file__).parent / "weights"


class WeightsError(Exception):
    """Weights that are missing, damaged or not what their name says, in one sentence."""


def _digest(state: dict[str, torch.Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def save_weights(path: str | Path, state: dict[str, torch.Tensor], header: dict) -> None:
    """Write `state` with `header` (plain JSON values) to `path`, in one atomic step."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    metadata = {"zoolib": json.dumps(header | {"sha256": _digest(state)})}
    write_atomically(Path(path), save(state, metadata))


def load_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors and the header of a file.  Raises WeightsError where it is missing, cut or altered."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    try:
        with safe_open(path, "pt") as file:
            header = dict(json.loads((file.metadata() or {})["zoolib"]))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except KeyError:
        raise WeightsError(f"{path} is a safetensors file, but not one that zoolib wrote") from None
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from None
    if header.get("sha256") != _digest(state):
        raise WeightsError(f"{path} is damaged: its tensors do not match the checksum in its header")
    return state, header


def names() -> list[str]:
    """The names of the weights that ship with the library."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def load(name: str) -> tuple[dict[str, torch.Tensor], dict]:
    """Shipped weights by name: the tensors, and the header (config, seed, score, command).

    Raises WeightsError for an unknown name (with the known ones) and for a file that is not the shipped one.
    """
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file():
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.3) or names()
        raise WeightsError(f"no shipped weights are called {name!r}; there are {', '.join(near) or 'none yet'}")
    sums = dict(reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    if sums.get(path.name) != hashlib.sha256(path.read_bytes()).hexdigest():
        raise WeightsError(f"{path} is not the file that was shipped (its SHA-256 differs); reinstall zoolib")
    return load_weights(path)


def ship(path: str | Path, name: str, *, half: bool = False, **extra) -> Path:
    """Copy a run's weights into the library under `name`, add `extra` to the header, and note the checksum.

    half: as float16, which halves the file; networks compute in float32 again once it is loaded into them.
    """
    state, header = load_weights(path)
    if half:
        state = {key: tensor.half() if tensor.dtype == torch.float32 else tensor for key, tensor in state.items()}
    target = FOLDER / f"{name}.safetensors"
    save_weights(target, state, header | extra)
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(FOLDER.glob("*.safetensors"))
    ]
    write_atomically(FOLDER / "SHA256SUMS", "".join(lines).encode())
    return target
