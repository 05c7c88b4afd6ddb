"""The reader who experiments is told; only CI fails."""

import pytest
import torch

from zoolib.teach.compare import compare

X = torch.tensor([1.0, -2.0])


def test_the_same_function_in_another_form(capsys):
    assert compare(lambda x: x + x, lambda x: 2 * x, (X,), (3 * X,))
    assert "the same as zoolib's on 2 inputs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(lambda x: x + x + 0.5, "by up to 0.5"), (lambda x: x[:, None], r"shape \(2, 1\)"), (lambda x: x / 0 * 0, "nan")],
)
def test_a_difference_is_said_and_fails_only_in_ci(monkeypatch, capsys, wrong, words):
    monkeypatch.delenv("CI", raising=False)
    assert not compare(wrong, lambda x: 2 * x, (X,))
    assert "your function" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match=words):
        compare(wrong, lambda x: 2 * x, (X,))
