"""Image sets as tensors.  MNIST comes with zoolib; other sets are fetched once by name, verified and kept.

MNIST (LeCun, Cortes and Burges, CC BY-SA 3.0) lies in zoolib/datasets/mnist, compressed, so the book runs without a
download.  Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, MIT) is looked for in the folder that ZOOLIB_DATA names, where
Debian's package dataset-fashion-mnist puts it, and in the cache; failing all three it is downloaded.  So is CIFAR-10
(Krizhevsky 2009), whose archive is read where it lies and never unpacked.
Each file must have the SHA-256 of the published one, wherever it comes from.

Any folder of images is a set too, by its path.
"""

from __future__ import annotations

import difflib
import functools
import gzip
import hashlib
import lzma
import os
import tarfile
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

PACKAGED = Path(__file__).parent / "datasets"
DEBIAN = Path("/usr/share/datasets")
PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR = "cifar-10-binary.tar.gz"
CIFAR_PARTS = tuple(
    f"cifar-10-batches-bin/{part}.bin" for part in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
)
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
FEWEST = 20  # images that make a set


@dataclass(frozen=True)
class Source:
    """A published image set: SHA-256 of its files once decompressed, classes, and where the world keeps it."""

    sha256: tuple[str, ...]
    classes: tuple[str, ...]
    url: str = ""
    parts: tuple[str, ...] = PARTS


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
    "cifar10": Source(
        sha256=(
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        ),
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        url="https://www.cs.toronto.edu/~kriz/{}",
        parts=CIFAR_PARTS,
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
    """Raise DataError, with the known names, where no image set is called `name` and no folder either."""
    if name not in SOURCES and not is_folder(name):
        near = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(SOURCES)}; or give a folder of images"
        raise DataError(f"no data set is called {name!r}; {hint}")


def is_folder(name: str) -> bool:
    """Whether `name` is a path and not a published set's name: it holds a separator, or such a folder is there."""
    return name not in SOURCES and ("/" in name or os.sep in name or Path(name).is_dir())


def load(name: str, device: torch.device | str = "cpu") -> Images:
    """The image set `name`, or the folder of images at that path, on `device`.

    Raises DataError for an unknown name (with the known ones), and for a file that is missing, cut or altered.
    """
    check_name(name)
    if is_folder(name):
        return load_folder(name, device=device)
    source = SOURCES[name]
    files = _published(name)
    if source.parts is CIFAR_PARTS:
        rows = np.concatenate([np.frombuffer(file, np.uint8).reshape(-1, 1 + 3 * 32 * 32) for file in files])
        x, y = rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
        last = len(files[-1]) // rows.shape[1]
        arrays = [x[:-last], y[:-last], x[-last:], y[-last:]]
    else:
        arrays = [_idx(file) for file in files]
        arrays[::2] = [images[:, None] for images in arrays[::2]]
    images = [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays[::2]]
    labels = [torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays[1::2]]
    return Images(name, source.classes, images[0], labels[0], images[1], labels[1])


def load_folder(path: str | Path, size: int = 32, device: torch.device | str = "cpu") -> Images:
    """All images below a folder, cut to their central square, with `size` pixels a side; every tenth is a test image.

    Grey where all of them are, else in colour, transparent ones over white.  Classes are the subfolders, where all
    images lie in some; else there is one.  Raises DataError for a folder without enough images and for an image
    that cannot be read, by its name.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    if size < 8 or size % 4:
        raise DataError(f"the size of images must be a multiple of 4 and at least 8, not {size}")
    if not path.is_dir():
        raise DataError(f"there is no folder {path}")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
    if len(files) < FEWEST:
        found = f"{len(files)} images" if files else "no image"
        raise DataError(f"{path} holds {found}; a set wants at least {FEWEST} ({', '.join(ENDINGS)})")
    pictures = []
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file) as image:
                    grey = image.mode in ("1", "L", "LA", "I;16", "I", "F")
                    picture = image.convert("LA" if grey else "RGBA")
        except (
            OSError,
            SyntaxError,
            ValueError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            raise DataError(f"{file} is not an image that can be read ({str(error).splitlines()[0]})") from None
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
        pictures.append((grey, ImageOps.fit(picture.convert("RGB"), (size, size), Image.Resampling.LANCZOS)))
    mode = "L" if all(grey for grey, _ in pictures) else "RGB"
    x = np.stack([np.asarray(picture.convert(mode)).reshape(size, size, -1) for _, picture in pictures])
    x = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).to(device)
    folders = [file.relative_to(path).parts[0] if file.parent != path else "" for file in files]
    classes = (path.resolve().name,) if "" in folders else tuple(sorted(set(folders)))
    y = torch.tensor([classes.index(folder) if folder in classes else 0 for folder in folders], device=device)
    test = torch.arange(len(x), device=device) % 10 == 9
    return Images(str(path), classes, x[~test], y[~test], x[test], y[test])


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


def _published(name: str) -> list[bytes]:
    """The bytes of a set's files; the first place that has one must have the published one."""
    source, files, archive = SOURCES[name], [], {}
    for part, sha256 in zip(source.parts, source.sha256, strict=True):
        path = _find(name, part)
        remedy = "reinstall zoolib" if path.is_relative_to(PACKAGED) else "delete it, and it will be fetched again"
        try:
            if path.name == CIFAR:
                archive = archive or _members(path)
                data = archive[part]
            else:
                data = {".xz": lzma.decompress, ".gz": gzip.decompress}.get(path.suffix, bytes)(path.read_bytes())
        except KeyError:
            raise DataError(f"{path} is damaged (it holds no {part}); {remedy}") from None
        except (lzma.LZMAError, tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is damaged ({error}); {remedy}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            what = f"{part} in it" if path.name == CIFAR else "it"
            raise DataError(f"{path} is not the published file of {name} (the SHA-256 of {what} differs); {remedy}")
        files.append(data)
    return files


def _members(path: Path) -> dict[str, bytes]:
    """The files of CIFAR-10's archive, read in memory: nothing is written, wherever a member would like to go."""
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile() and m.name in CIFAR_PARTS}


def _find(name: str, part: str) -> Path:
    own = os.environ.get("ZOOLIB_DATA")
    places = [PACKAGED / name, *([Path(own) / name, Path(own)] if own else []), DEBIAN / name]
    cifar = SOURCES[name].parts is CIFAR_PARTS
    names = [part, Path(part).name, CIFAR] if cifar else [f"{part}.xz", f"{part}.gz", part]
    for place in places:
        for file in names:
            if (place / file).is_file():
                return place / file
    if not SOURCES[name].url:
        raise DataError(f"{PACKAGED / name / part}.xz is missing; reinstall zoolib")
    return _fetch(name, CIFAR if cifar else f"{part}.gz")


def _fetch(name: str, file: str) -> Path:
    import pooch

    folder = Path(os.environ.get("ZOOLIB_DATA") or pooch.os_cache("zoolib")) / name
    url = SOURCES[name].url.format(file)
    try:
        return Path(pooch.retrieve(url, known_hash=None, fname=file, path=folder))
    except Exception as error:  # no network, a server that is gone, a folder that cannot be written
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{name} cannot be fetched from {url} ({what}); put {file} into a folder and name it in ZOOLIB_DATA"
        ) from None


def _idx(data: bytes) -> np.ndarray:
    """LeCun's IDX format: two zero bytes, a type (8 is uint8), the number of dimensions, their sizes, the values."""
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
