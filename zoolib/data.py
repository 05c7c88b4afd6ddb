"""Image sets as tensors.  MNIST comes with zoolib; other sets are fetched once by name, verified and kept.

MNIST (LeCun, Cortes and Burges, CC BY-SA 3.0) lies in zoolib/datasets/mnist, compressed, so the book runs without a
download.  Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, MIT) is looked for in the folder that ZOOLIB_DATA names, where
Debian's package dataset-fashion-mnist puts it, and in the cache; failing all three it is downloaded.
Each file must have the SHA-256 of the published one, wherever it comes from.
"""

from __future__ import annotations

import difflib
import functools
import gzip
import hashlib
import lzma
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

PACKAGED = Path(__file__).parent / "datasets"
DEBIAN = Path("/usr/share/datasets")
PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Source:
    """A published image set: SHA-256 of its four files once decompressed, classes, and where the world keeps it."""

    sha256: tuple[str, str, str, str]
    classes: tuple[str, ...]
    url: str = ""


SOURCES = {
    "mnist": Source(
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        classes=tuple("0123456789"),
    ),
    "fashion-mnist": Source(
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        classes=("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{}",
    ),
}


class DataError(Exception):
    """Data that is unknown, missing or not what was published, in one sentence."""


@dataclass(frozen=True)
class Images:
    """A labelled image set: uint8 images [N, C, H, W] with values 0 to 255, int64 labels [N]."""

    name: str
    classes: tuple[str, ...]
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor


def check_name(name: str) -> None:
    """Raise DataError, with the known names, where no image set is called `name`."""
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(SOURCES)}"
        raise DataError(f"no data set is called {name!r}; {hint}")


def load(name: str, device: torch.device | str = "cpu") -> Images:
    """The image set `name` on `device`.

    Raises DataError for an unknown name (with the known ones), and for a file that is missing, cut or altered.
    """
    check_name(name)
    source = SOURCES[name]
    arrays = [_idx(_published(name, part, sha256)) for part, sha256 in zip(PARTS, source.sha256, strict=True)]
    images = [torch.from_numpy(array[:, None]).to(device) for array in arrays[::2]]
    labels = [torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays[1::2]]
    return Images(name, source.classes, images[0], labels[0], images[1], labels[1])


def as_input(images: torch.Tensor) -> torch.Tensor:
    """uint8 images as the float input of a network, in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def rows_of(step: int, n: int, batch_size: int, seed: int) -> torch.Tensor:
    """Which of n images a step learns from [batch_size]; what is left over at an epoch's end waits for the next."""
    epoch, at = divmod(step, n // batch_size)
    return _shuffled(n, seed, epoch)[at * batch_size :][:batch_size]


@functools.lru_cache(maxsize=2)
def _shuffled(n: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of n images in an epoch [n]."""
    return torch.randperm(n, generator=generator(seed, epoch))


def generator(*numbers: int) -> torch.Generator:
    """A source of random numbers that is a function of some numbers, a seed and a step for example, and of nothing
    else: a resumed run meets the same as one that was never stopped."""
    words = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> 1))


def _published(name: str, part: str, sha256: str) -> bytes:
    """The bytes of one file; the first place that has it must have the published one."""
    path = _find(name, part)
    remedy = "reinstall zoolib" if path.is_relative_to(PACKAGED) else "delete it, and it will be fetched again"
    try:
        data = {".xz": lzma.decompress, ".gz": gzip.decompress}.get(path.suffix, bytes)(path.read_bytes())
    except (lzma.LZMAError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); {remedy}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} is not the published file of {name} (its SHA-256 differs); {remedy}")
    return data


def _find(name: str, part: str) -> Path:
    own = os.environ.get("ZOOLIB_DATA")
    places = [PACKAGED / name, *([Path(own) / name, Path(own)] if own else []), DEBIAN / name]
    for place in places:
        for suffix in (".xz", ".gz", ""):
            if (place / f"{part}{suffix}").is_file():
                return place / f"{part}{suffix}"
    if not SOURCES[name].url:
        raise DataError(f"{PACKAGED / name / part}.xz is missing; reinstall zoolib")
    return _fetch(name, part)


def _fetch(name: str, part: str) -> Path:
    import pooch

    folder = Path(os.environ.get("ZOOLIB_DATA") or pooch.os_cache("zoolib")) / name
    url = SOURCES[name].url.format(f"{part}.gz")
    try:
        return Path(pooch.retrieve(url, known_hash=None, fname=f"{part}.gz", path=folder))
    except Exception as error:  # no network, a server that is gone, a folder that cannot be written
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{name} cannot be fetched from {url} ({what}); put {part}.gz into a folder and name it in ZOOLIB_DATA"
        ) from None


def _idx(data: bytes) -> np.ndarray:
    """LeCun's IDX format: two zero bytes, a type (8 is uint8), the number of dimensions, their sizes, the values."""
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
