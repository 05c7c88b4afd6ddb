"""A toy chapter for these tests: its exercises stand in toy/toy.py, its notebook in toy_notebook.py."""

import json
import sys

import pytest
from toy_notebook import TOY

from zoolib.teach import board, exercises, widgets


@pytest.fixture
def toy(monkeypatch):
    """Put the toy chapter beside the real ones."""
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(TOY)])
    yield "toy"
    sys.modules.pop("zoolib.teach.exercises.toy", None)


@pytest.fixture
def hand_in(tmp_path):
    """Write a notebook; its path."""

    def write(made, name="ada.ipynb"):
        path = tmp_path / name
        path.write_text(json.dumps(made), encoding="utf-8")
        return path

    return write


@pytest.fixture
def shown(monkeypatch):
    """The HTML that widgets and boards display."""
    pages = []
    for module in (board, widgets):
        monkeypatch.setattr(module, "display", lambda page: pages.append(page.data))
    return pages
