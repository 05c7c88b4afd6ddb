"""MNIST from the package, other sets from a folder, and what is said of a file that is missing, cut or altered."""

import gzip
import hashlib
import lzma
import shutil

import numpy as np
import pytest
import torch

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
