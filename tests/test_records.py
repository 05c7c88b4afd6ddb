"""Records know the code that made them."""

import json
import sys

import pytest

from zoolib import records


@pytest.fixture
def digest_of(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def digest(text):
        (tmp_path / "zoo_toy_module.py").write_text(text)
        sys.modules.pop("zoo_toy_module", None)
        return records.code_digest("zoo_toy_module")

    return digest


def test_words_make_nothing_stale_but_code_does(digest_of):
    code = '"""Doc."""\nclass A:\n    """Doc."""\n    x: int = 1\n    """A field."""\n\ndef f(x):\n    return x\n'
    before = digest_of(code)
    assert before == digest_of(code.replace("Doc.", "Better words.").replace("A field", "The field") + "# comment\n")
    assert before != digest_of(code.replace("return x", "return -x"))
    assert before != digest_of(code.replace("= 1", "= 2"))


def test_imports_within_zoolib_count(digest_of):
    alone = digest_of("import math\n")
    assert digest_of("from zoolib.rl.replay import Replay\n") != alone
    assert digest_of("from zoolib import pretrained\n") != digest_of("from zoolib import something_else\n") != alone
    seen = records._closure("zoolib.rl.dqn", {})
    assert {"zoolib.rl.dqn", "zoolib.run", "zoolib.rl.replay"} <= set(seen)
    assert "zoolib.cli" not in seen


def test_a_stale_record_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    fresh = records.code_digest("zoolib.rl.replay")
    variants = {
        "old": {"module": "zoolib.rl.replay", "code_hash": "0"},
        "new": {"module": "zoolib.rl.replay", "code_hash": fresh},
    }
    (tmp_path / "toy.json").write_text(json.dumps({"commit": "abcdef0123", "variants": variants}))
    record = records.recorded("toy")
    assert records.stale_variants(record) == ["old"]
    assert "abcdef01; the code behind old has changed" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="no record 'none'; recorded are: toy"):
        records.recorded("none")


def test_shipped_weights_that_were_measured_count(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(records, "PACKAGE", tmp_path)

    def digest(sums, *weights):
        (tmp_path / "weights" / "SHA256SUMS").write_text(sums)
        return records.code_digest("zoolib.stats", weights)

    lines = "01 a.safetensors\n02 b-a.safetensors\n"
    assert digest(lines) == digest(lines.replace("01", "03"))
    assert digest(lines) != digest(lines, "a") != digest(lines.replace("01", "03"), "a")
    assert digest(lines, "a") == digest(lines.replace("02", "03"), "a")
    old = {"module": "zoolib.stats", "code_hash": digest(lines, "a"), "weights": ["a"]}
    assert records.stale_variants({"variants": {"old": old}}) == []
    digest(lines.replace("01", "03"))
    assert records.stale_variants({"variants": {"old": old}}) == ["old"]


def test_the_digest_tells_the_tree_in_every_version_alike():
    # what ast.dump would say differs between 3.11, 3.12 (type_params) and 3.13 (empty fields left out)
    tree = records.ast.parse("def f(x):\n    return x\n")
    assert "type_params" not in records._told(tree) and "decorator_list" not in records._told(tree)
    assert records._told(tree) == (
        "Module(body=[FunctionDef(name='f', args=arguments(args=[arg(arg='x')]), "
        "body=[Return(value=Name(id='x', ctx=Load()))])])"
    )
