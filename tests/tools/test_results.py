"""What `make results` keeps of a run, and of a script that measures by itself."""

import json

import torch

from tools import results
from zoolib import pretrained


def test_a_curve_keeps_every_validation_and_what_chapters_draw(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [
        f"{i},{i / 10},0.5,{'0.9' if i % 49 == 0 else ''},{'0.123456' if i % 77 == 0 else ''},7" for i in range(1000)
    ]
    path.write_text("\n".join(["step,seconds,loss,validation_accuracy,cosine_1,epsilon", *rows]) + "\n")
    curve = results.curve(path)
    assert set(curve) == {"step", "seconds", "loss", "validation_accuracy", "cosine_1"}
    assert len(curve["step"]) <= 1.5 * results.POINTS
    for column, every in (("validation_accuracy", 49), ("cosine_1", 77)):
        assert [s for s, v in zip(curve["step"], curve[column], strict=True) if v] == [*range(0, 1000, every)]
    assert curve["cosine_1"][0] == 0.1235


def test_a_script_is_run_once_and_its_rows_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    noted = tmp_path / "noted"
    (tmp_path / "script.py").write_text(
        f"import json\nopen({str(noted)!r}, 'a').write('x')\nprint(json.dumps([{{'a': 1}}]))\n"
    )
    for _ in range(2):
        assert results.run_script("name", "variant", "python script.py", "digest") == [{"a": 1}]
    assert noted.read_text() == "x"
    assert results.run_script("name", "variant", "python script.py again", "digest") == [{"a": 1}]
    assert results.run_script("name", "variant", "python script.py again", "other code") == [{"a": 1}]
    assert noted.read_text() == "xxx"
    kept = json.loads((tmp_path / "_build/results/name/digest/variant.json").read_text())
    assert kept == {"command": "python script.py again", "rows": [{"a": 1}]}


def test_the_machine_names_the_threads_of_the_commands():
    assert results.machine({"a": "train dqn", "b": "train gan --threads 2 --steps 9"})["threads"] == 2
    assert results.machine({"a": "train dqn --steps 12"})["threads"] == 1


def test_a_match_is_told_without_its_moves():
    """Any player will do in place of a run: here both sides move at random."""
    said = results.match("random", "random --game tictactoe --games 20")
    assert set(said) == {"wins", "draws", "losses", "score", "low", "high"} and 0 <= said["score"] <= 1


def test_large_matrices_in_eight_bits_are_near_and_load_as_any_others(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 3))
    state = results.eight_bits(network.state_dict())
    assert {name for name, tensor in state.items() if tensor.dtype == torch.float8_e4m3fn} == {"0.weight"}
    pretrained.save_weights(tmp_path / "w.safetensors", state, {"algorithm": "none"})
    loaded, _ = pretrained.load_weights(tmp_path / "w.safetensors")
    small = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 3))
    small.load_state_dict(loaded)
    assert small[0].weight.dtype == torch.float32
    apart = (small[0].weight - network[0].weight).norm() / network[0].weight.norm()
    assert 0.005 < apart < 0.06
