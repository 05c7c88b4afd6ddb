"""Weights that execute nothing and that are what they say."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from zoolib import pretrained
from zoolib.pretrained import WeightsError, load_weights, save_weights
from zoolib.rl.networks import QNetwork

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


@pytest.fixture
def file(tmp_path):
    save_weights(tmp_path / "w.safetensors", STATE, {"algorithm": "toy", "seed": 3})
    return tmp_path / "w.safetensors"


def test_what_is_saved_comes_back(file):
    state, header = load_weights(file)
    assert header["algorithm"] == "toy" and header["seed"] == 3
    assert all(torch.equal(state[k], STATE[k]) for k in STATE)


@pytest.mark.parametrize("where", [20, 200, -1])
def test_one_changed_byte_is_refused(file, where):
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged|not one that zoolib wrote"):
        load_weights(file)


def test_cut_and_foreign_files_are_refused(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(file)
    torch.save(STATE, tmp_path / "pickle.safetensors")
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(tmp_path / "pickle.safetensors")
    with pytest.raises(WeightsError, match="there is no weights file"):
        load_weights(tmp_path / "none.safetensors")


def test_shipped_weights_are_refused_where_the_file_is_another(file, tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    pretrained.ship(file, "toy", score={"mean": 1.0})
    assert pretrained.load("toy")[1]["score"] == {"mean": 1.0}
    save_weights(folder / "toy.safetensors", STATE, {"algorithm": "another"})  # whole, but not the shipped one
    with pytest.raises(WeightsError, match="not the file that was shipped"):
        pretrained.load("toy")
    with pytest.raises(WeightsError, match="no shipped weights are called 'tou'; there are toy"):
        pretrained.load("tou")


def test_weights_shipped_in_half_precision_take_half_the_space_and_compute_in_float32(tmp_path, monkeypatch):
    torch.manual_seed(0)
    space = spaces.Box(-1, 1, (4,), np.float32)
    network, loaded = QNetwork(space, 2), QNetwork(space, 2)
    whole = tmp_path / "w.safetensors"
    save_weights(whole, network.state_dict() | {"count": torch.tensor([70_000])}, {"algorithm": "dqn", "seed": 3})
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    shipped = pretrained.ship(whole, "half", half=True)
    header_bytes = 8 + int.from_bytes(shipped.read_bytes()[:8], "little")
    assert shipped.stat().st_size <= whole.stat().st_size / 2 + header_bytes
    state, header = pretrained.load("half")
    assert header["seed"] == 3 and state.pop("count").item() == 70_000  # numbers that count stay what they are
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    loaded.load_state_dict(state)
    for one, two in zip(loaded.parameters(), network.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.allclose(one, two, rtol=2**-11, atol=2**-25) and not torch.equal(one, two)
    assert loaded(torch.ones(1, 4)).dtype == torch.float32


def test_every_shipped_file_loads_and_tells_its_story():
    for name in pretrained.names():
        _, header = pretrained.load(name)
        assert {"algorithm", "config", "seed", "score", "command"} <= set(header), name
    sizes = [file.stat().st_size for file in pretrained.FOLDER.glob("*.safetensors")]
    assert max(sizes) <= 4 << 20 and sum(sizes) <= 10 << 20  # a repository is cloned whole
