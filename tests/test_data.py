"""MNIST from the package, other sets from a folder, and what is said of a file that is missing, cut or altered."""

import gzip
import hashlib
import io
import lzma
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from zoolib import data


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of the packaged files that a test may damage."""
    shutil.copytree(data.PACKAGED, tmp_path / "datasets")
    monkeypatch.setattr(data, "PACKAGED", tmp_path / "datasets")
    return tmp_path / "datasets" / "mnist"


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.astype(np.uint8).tobytes()


def test_mnist_is_in_the_package():
    mnist = data.load("mnist")
    assert mnist.train_images.shape == (60_000, 1, 28, 28) and mnist.test_images.shape == (10_000, 1, 28, 28)
    assert mnist.train_images.dtype == torch.uint8 and mnist.train_labels.dtype == torch.int64
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]  # as LeCun's page shows them
    assert torch.bincount(mnist.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert len(mnist.classes) == 10
    assert 33 < mnist.train_images.float().mean() < 34  # of 255: mostly black
    assert (data.PACKAGED / "mnist" / "LICENSE").is_file()


def test_as_input_lies_between_minus_one_and_one():
    assert data.as_input(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(data.DataError, match="no data set is called 'mnits'; did you mean mnist?"):
        data.load("mnits")
    with pytest.raises(data.DataError, match="there are: mnist, fashion-mnist"):
        data.load("imagenet")


def test_a_cut_an_altered_and_a_missing_file_are_named(elsewhere):
    path = elsewhere / "t10k-labels-idx1-ubyte.xz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(data.DataError, match=r"t10k-labels-idx1-ubyte.xz is damaged \(.*\); reinstall zoolib"):
        data.load("mnist")
    labels = bytearray(lzma.decompress(whole))
    labels[-1] ^= 1
    path.write_bytes(lzma.compress(bytes(labels)))
    with pytest.raises(data.DataError, match="not the published file of mnist"):
        data.load("mnist")
    path.unlink()
    with pytest.raises(data.DataError, match="t10k-labels-idx1-ubyte.xz is missing; reinstall zoolib"):
        data.load("mnist")


def toy(monkeypatch, url="http://127.0.0.1:9/{}"):
    """A published set of two images, and its files."""
    arrays = [np.arange(8).reshape(2, 2, 2), np.array([0, 1]), np.arange(4).reshape(1, 2, 2), np.array([1])]
    files = [idx(array) for array in arrays]
    source = data.Source(tuple(hashlib.sha256(file).hexdigest() for file in files), ("a", "b"), url)
    monkeypatch.setitem(data.SOURCES, "toy", source)
    return dict(zip(data.PARTS, files, strict=True))


@pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress)])
def test_a_set_is_read_from_the_folder_that_the_environment_names(tmp_path, monkeypatch, suffix, pack):
    monkeypatch.setenv("ZOOLIB_DATA", str(tmp_path))
    for part, content in toy(monkeypatch).items():
        (tmp_path / f"{part}{suffix}").write_bytes(pack(content))
    images = data.load("toy")
    assert images.train_images.flatten().tolist() == list(range(8)) and images.test_labels.tolist() == [1]


def test_what_is_fetched_is_verified_and_what_cannot_be_fetched_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOOLIB_DATA", str(tmp_path / "cache"))
    served = tmp_path / "served"
    served.mkdir()
    files = toy(monkeypatch)  # nothing listens at that address
    with pytest.raises(data.DataError, match="toy cannot be fetched from http://127.0.0.1:9/train-images"):
        data.load("toy")
    import pooch

    def fetch(url, known_hash, fname, path):
        path.mkdir(parents=True, exist_ok=True)
        shutil.copy(served / fname, path / fname)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", fetch)
    for part, content in files.items():
        (served / f"{part}.gz").write_bytes(gzip.compress(content))
    assert data.load("toy").train_labels.tolist() == [0, 1]
    shutil.rmtree(tmp_path / "cache")
    (served / f"{data.PARTS[0]}.gz").write_bytes(gzip.compress(b"\0\0\10\1\0\0\0\0"))
    with pytest.raises(data.DataError, match="not the published file of toy .*; delete it, and it will be fetched"):
        data.load("toy")


# ------------------------------------------------------------------ CIFAR-10


def cifar(monkeypatch):
    """A CIFAR-10 of six images, and its files by the archive's names: a label byte, then red, green and blue."""
    rng = np.random.default_rng(0)
    files = {
        p: bytes([i]) + rng.integers(0, 256, 3072).astype(np.uint8).tobytes() for i, p in enumerate(data.CIFAR_PARTS)
    }
    sums = tuple(hashlib.sha256(file).hexdigest() for file in files.values())
    real = data.SOURCES["cifar10"]
    monkeypatch.setitem(data.SOURCES, "cifar10", data.Source(sums, real.classes, "http://127.0.0.1:9/{}", real.parts))
    return files


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("packed", [True, False])
def test_cifar_from_its_archive_or_its_files(monkeypatch, tmp_path, packed):
    files = cifar(monkeypatch)
    monkeypatch.setenv("ZOOLIB_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    if packed:
        pack(tmp_path / "data" / data.CIFAR, files | {"../evil": b"out of its folder", "/tmp/evil": b"further"})
    else:
        for name, content in files.items():
            (tmp_path / "data" / name.rpartition("/")[2]).write_bytes(content)
    images = data.load("cifar10")
    assert images.train_labels.tolist() == [0, 1, 2, 3, 4] and images.test_labels.tolist() == [5]
    assert images.train_images.shape == (5, 3, 32, 32)
    first = list(files.values())[0]
    assert images.train_images[0, 2, 0, :3].tolist() == list(first[1 + 2048 : 1 + 2051])  # blue, first row
    assert sorted(p.name for p in tmp_path.rglob("*evil*")) == []


def test_a_cut_an_altered_and_an_incomplete_archive_are_named(monkeypatch, tmp_path):
    files = cifar(monkeypatch)
    monkeypatch.setenv("ZOOLIB_DATA", str(tmp_path))
    path = tmp_path / data.CIFAR
    pack(path, files)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(data.DataError, match=rf"{data.CIFAR} is damaged \(.*\); delete it, and it will be fetched"):
        data.load("cifar10")
    pack(path, files | {data.CIFAR_PARTS[1]: bytes(3073)})
    with pytest.raises(data.DataError, match=r"the SHA-256 of .*data_batch_2.bin in it differs"):
        data.load("cifar10")
    pack(path, {name: files[name] for name in data.CIFAR_PARTS[:-1]})
    with pytest.raises(data.DataError, match="holds no .*test_batch.bin"):
        data.load("cifar10")
    path.unlink()
    with pytest.raises(data.DataError, match=f"cannot be fetched from .*; put {data.CIFAR} into a folder"):
        data.load("cifar10")


# ------------------------------------------------------------ folders of images


def paint(path, colour=(200, 30, 60), mode="RGB", size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_a_folder_of_images_is_a_set(tmp_path):
    for i in range(20):
        paint(tmp_path / ("cats" if i % 2 else "dogs") / f"{i:02}.png", (10 * i, 0, 255))
    (tmp_path / "cats" / "readme.txt").write_text("not an image")
    images = data.load(str(tmp_path))
    assert images.classes == ("cats", "dogs")
    assert images.train_images.shape == (18, 3, 32, 32) and images.test_images.shape == (2, 3, 32, 32)
    assert images.train_images[0, :, 16, 16].tolist() == [10, 0, 255] and images.train_labels[0] == 0  # cats/01.png
    assert images.test_images[0, 0, 16, 16] == 190 and images.test_labels.tolist() == [0, 1]  # cats/19.png is the tenth
    assert data.load_folder(tmp_path, size=8).train_images.shape == (18, 3, 8, 8)


def test_the_centre_is_cut_and_nothing_is_squeezed(tmp_path):
    for i in range(20):
        wide = Image.new("RGB", (90, 30), "red")
        wide.paste("blue", (30, 0, 60, 30))
        wide.save(tmp_path / f"{i}.png")
    images = data.load_folder(tmp_path).train_images
    assert (images[:, 2] > 245).all() and (images[:, 0] < 10).all()
    assert data.load(str(tmp_path)).classes == (tmp_path.name,)


def test_grey_stays_grey_and_what_is_transparent_is_white(tmp_path):
    for i in range(20):
        paint(tmp_path / f"{i}.png", 77, "L")
    assert data.load_folder(tmp_path).train_images.shape == (18, 1, 32, 32)
    assert (data.load_folder(tmp_path).train_images == 77).all()
    paint(tmp_path / "0.png", (0, 0, 0, 0), "RGBA")
    images = data.load_folder(tmp_path).train_images
    assert images.shape[1] == 3 and (images[0] == 255).all() and (images[1] == 77).all()


def test_what_is_wrong_with_a_folder_is_said(tmp_path):
    with pytest.raises(data.DataError, match=f"there is no folder {tmp_path}/none"):
        data.load(f"{tmp_path}/none")
    with pytest.raises(data.DataError, match=f"{tmp_path} holds no image; .* at least 20 \\(.png"):
        data.load(str(tmp_path))
    for i in range(19):
        paint(tmp_path / f"{i:02}.jpg")
    with pytest.raises(data.DataError, match="holds 19 images; a set wants at least 20"):
        data.load(str(tmp_path))
    whole = (tmp_path / "03.jpg").read_bytes()
    paint(tmp_path / "19.jpg")
    (tmp_path / "03.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(data.DataError, match="03.jpg is not an image that can be read"):
        data.load(str(tmp_path))
    (tmp_path / "03.jpg").write_bytes(whole)
    monkey = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = 40 * 30 - 1
        with pytest.raises(data.DataError, match="00.jpg is not an image that can be read"):
            data.load(str(tmp_path))
    finally:
        Image.MAX_IMAGE_PIXELS = monkey
    with pytest.raises(data.DataError, match="multiple of 4 and at least 8, not 30"):
        data.load_folder(tmp_path, size=30)
