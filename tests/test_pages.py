"""What the plain pages say is true: their code runs, their commands exist, their names are the code's."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tools.build import COMMANDS
from zoolib import cli
from zoolib.rl import dqn
from zoolib.run import Run

ROOT = Path(__file__).parents[1]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "book").glob("*.md"))}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def commands(page, word):
    """Lines of the page's shell blocks that begin with `word`, split as a shell splits them."""
    lines = "".join(blocks(page, "bash")).splitlines()
    return [shlex.split(line) for line in lines if line.startswith(word + " ")]


def test_the_title_page_trains_with_the_loss_it_shows(monkeypatch):
    train, learnt = dqn.train, []

    def shorter(config, loss):
        short = replace(config, total_steps=600, learning_starts=100, updates=4, validate_every=0)
        learnt.append((loss, train(short, loss=loss, run=Run(progress=False)).run.metrics["loss"].dropna()))

    monkeypatch.setattr(dqn, "train", shorter)
    (code,) = blocks("index", "python")
    namespace = {}
    exec(code, namespace)
    ((loss, losses),) = learnt
    assert loss is namespace["my_loss"]
    assert len(losses) and (losses >= 0).all()


def test_the_start_pages_commands_run_as_they_stand(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    asked = [words[1:] for words in commands("start", "zoolib")]
    assert [words[0] for words in asked] == ["train", "evaluate", "play", "train"]
    for words in asked:
        short = ["--total-steps", "200", "--validation-episodes", "1", "--quiet"] if words[0] == "train" else []
        assert cli.main([*words, *short]) == 0, (words, capfd.readouterr().err)
    assert (tmp_path / "a.mp4").stat().st_size > 1000
    held = {re.sub(r"-.*(?=\.pt)", "", path.name) for path in (tmp_path / "runs/a").iterdir()}
    rows = PAGES["start"].partition("## What lies in a run folder")[2].partition("\n## ")[0]
    told = {re.sub(r"-.*(?=\.pt)", "", name) for name in re.findall(r"^\| `(.+?)`", rows, re.MULTILINE)}
    assert held == told


@pytest.mark.parametrize("page", PAGES)
def test_every_make_command_exists(page):
    shell = "".join(blocks(page, "bash"))
    prose = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"(?:^|&& )make ([a-z]+)", shell, re.MULTILINE) + re.findall(r"`make ([a-z]+)", prose)
    named += re.findall(r"build\.py ([a-z]+)", PAGES[page])
    assert set(named) <= COMMANDS.keys()


def test_the_notation_names_what_the_code_calls_it():
    files = [*(ROOT / "zoolib").rglob("*.py"), *(ROOT / "book").rglob("*.ipynb")]
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8") for path in files)))
    cells = [row.rstrip("|").rpartition("|")[2] for row in re.findall(r"^\|.*\|$", PAGES["notation"], re.MULTILINE)]
    names = {
        name for cell in cells for code in re.findall(r"`(.+?)`", cell) for name in re.findall(r"[A-Za-z_]{2,}", code)
    }
    assert {"gamma", "terminated", "target_network"} <= names
    assert names <= words, f"in notation.md, but nowhere in the code: {sorted(names - words)}"


def test_the_glossary_is_in_alphabetical_order():
    terms = re.findall(r"^([A-Za-z].*)\n  \S", PAGES["glossary"], re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(terms, key=lambda term: term.replace("-", " ").lower())
