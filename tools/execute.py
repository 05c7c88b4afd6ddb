"""Execute the chapters: papermill, one process a chapter, results cached by content.

A chapter is a notebook that `_toc.yml` names.  It runs with `budget="quick"` and `seed=0`, in an empty
folder, with as many threads as the cores it declares.  What it leaves is `_build/executed/<chapter>.ipynb`
and, beside it, a JSON file:

    {"key": "...", "seconds": 61.2, "peak_mb": 412, "when": "2026-01-31T12:00:00+00:00", "notebook": "..."}

`key` is a hash of everything the outputs depend on: a chapter runs again exactly when one of those changes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import psutil
import yaml

PARAMETERS = {"budget": "quick", "seed": 0}
# Raise it when a change in this file changes what an executed notebook holds.
FORMAT = 1
# More cores run no more chapters at once: the times that readers see are those of a laptop.
SLOTS = min(2, os.cpu_count() or 1)
# A quick chapter takes a minute or two, on a slow machine six; a cell that takes this long hangs.
CELL_SECONDS = 600
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Refused(Exception):
    """A notebook that cannot be a chapter; the message says why."""


@dataclass(frozen=True)
class Chapter:
    name: str  # path below book/ without its ending: "rl/02-dqn"
    notebook: nbformat.NotebookNode  # without outputs
    cores: int

    @property
    def code(self) -> str:
        return "\n".join(cell.source for cell in self.notebook.cells if cell.cell_type == "code")


@dataclass(frozen=True)
class Outcome:
    name: str
    seconds: float = 0.0
    peak_mb: int | None = None
    error: str = ""  # empty when the chapter ran to its end


@dataclass
class Report:
    kept: list[str] = field(default_factory=list)
    executed: list[Outcome] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)

    def summary(self) -> str:
        parts = [f"{len(self.executed)} executed", f"{len(self.kept)} unchanged"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed: " + ", ".join(outcome.name for outcome in self.failed))
        return ", ".join(parts)


# --------------------------------------------------------------------------------------------------
# What is in the book


def pages(root: Path) -> list[str]:
    """Every page that `_toc.yml` names, in reading order, without file endings."""
    found: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            for name in (node.get("root"), node.get("file")):
                if name:
                    found.append(re.sub(r"\.(md|ipynb)$", "", name))
            for below in ("parts", "chapters", "sections", "subtrees", "entries"):
                walk(node.get(below))

    walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    return found


def chapter_names(root: Path) -> list[str]:
    """The pages of the table of contents that are notebooks."""
    return [name for name in pages(root) if (root / "book" / f"{name}.ipynb").is_file()]


def load(root: Path, name: str) -> Chapter:
    """Read one chapter.

    Raises:
        Refused: if it is no notebook, or lacks what a chapter must declare.
    """
    path = f"book/{name}.ipynb"
    try:
        notebook = nbformat.read(root / path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises many kinds for a file that is no notebook
        raise Refused(f"{path} is not a valid notebook: {str(error).splitlines()[0]}") from error
    if notebook.nbformat_minor < 5:
        raise Refused(f"{path} has notebook format 4.{notebook.nbformat_minor}; cells have names from 4.5 on")
    zoo = notebook.metadata.get("zoo")
    if zoo is None:
        raise Refused(f'{path} has no "zoo" metadata; it declares cores, needs and objectives there')
    cores = zoo.get("cores")
    if cores not in (1, 2) or isinstance(cores, bool):
        raise Refused(f"{path} declares zoo.cores = {cores!r}; it must be 1 or 2")
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1 or tagged[0].cell_type != "code":
        raise Refused(f'{path} has {len(tagged)} cells tagged "parameters"; it needs exactly one code cell')
    defined = _assignments(tagged[0].source)
    for parameter, value in PARAMETERS.items():
        if parameter not in defined:
            raise Refused(f'{path}: cell "{tagged[0].id}" does not define {parameter}; papermill would ignore it')
        # The page shows this cell and the outputs of a run with PARAMETERS, so the two must agree.
        if defined[parameter] != value:
            said = f"{parameter} = {defined[parameter]!r}"
            raise Refused(f'{path}: cell "{tagged[0].id}" says {said}; the book runs it with {value!r}')
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return Chapter(name, notebook, cores)


def _assignments(source: str) -> dict[str, object]:
    """The names that a cell assigns at its top level, with their values where those are literals."""
    found: dict[str, object] = {}
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return found
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except ValueError:
                    found[target.id] = ast.unparse(node.value)
    return found


# --------------------------------------------------------------------------------------------------
# The cache


def key(root: Path, chapter: Chapter) -> str:
    """A hash of everything that the outputs of a chapter depend on."""
    notebook = chapter.notebook
    cells = [[cell.cell_type, cell.get("id"), cell.source, _lasting(cell.metadata)] for cell in notebook.cells]
    facts = {
        "format": FORMAT,
        "cells": cells,
        "metadata": _lasting(notebook.metadata),
        "parameters": PARAMETERS,
        "python": platform.python_version(),
        "files": {
            path.relative_to(root).as_posix(): sha256(path.read_bytes())
            for path in sorted(set(_dependencies(root, chapter)))
        },
    }
    return sha256(json.dumps(facts, sort_keys=True).encode())


def _lasting(metadata: dict) -> dict:
    """Metadata without what a run or an editor puts there."""
    passing = {"execution", "ExecuteTime", "papermill", "kernelspec", "language_info", "widgets"}
    return {name: value for name, value in metadata.items() if name not in passing}


def _dependencies(root: Path, chapter: Chapter) -> Iterable[Path]:
    """The files a chapter depends on: the lock, its part of zoolib, ground floor, teach, weights, results."""
    library = root / "zoolib"
    if (root / "requirements.lock").is_file():
        yield root / "requirements.lock"
    yield from (path for path in library.glob("*.py") if path.name != "cli.py")
    parts = {path.name for path in library.glob("*") if path.is_dir()} - {"weights", "results"}
    for part in parts:
        # Its own part, teach, and any other part that the code imports.
        imported = re.search(rf"\bzoolib\b.*\b{part}\b", chapter.code)
        if part in ("teach", chapter.name.partition("/")[0]) or imported:
            yield from (path for path in _files(library / part) if not _of_another_chapter(path, chapter))
    # Weights and results are asked for by name: recorded("dqn") reads book/results/dqn.json.
    quoted = set(re.findall(r"[\"']([\w./-]+)[\"']", chapter.code))
    for path in (*_files(library / "weights"), *_files(root / "book" / "results")):
        if quoted & {path.name, path.stem, path.name.partition(".")[0]}:
            yield path


def _of_another_chapter(path: Path, chapter: Chapter) -> bool:
    """Whether a file holds exercises that the chapter does not check."""
    return path.parent.name == "exercises" and path.stem != "__init__" and f'check("{path.stem}.' not in chapter.code


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def executed(root: Path, name: str) -> Path:
    """Where the executed notebook of a chapter lies."""
    return root / "_build" / "executed" / f"{name}.ipynb"


def measured(root: Path, name: str) -> dict:
    """The record beside an executed notebook; empty where there is none."""
    try:
        return json.loads(executed(root, name).with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def is_current(root: Path, chapter: Chapter) -> bool:
    """Whether the cache holds what executing the chapter would give."""
    record, notebook = measured(root, chapter.name), executed(root, chapter.name)
    return (
        record.get("key") == key(root, chapter)
        and notebook.is_file()
        and record.get("notebook") == sha256(notebook.read_bytes())
    )


def _store(root: Path, name: str, finished: Path, record: dict) -> None:
    """Put an entry into the cache; killed at any moment, it leaves the old entry, the new one, or none."""
    target = executed(root, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = finished.read_bytes()
    os.replace(finished, target)
    note = finished.with_suffix(".record")
    note.write_text(json.dumps({**record, "notebook": sha256(content)}, indent=1) + "\n", encoding="utf-8")
    os.replace(note, target.with_suffix(".json"))


# --------------------------------------------------------------------------------------------------
# Running them


def run(root: Path, say: Callable[[str], None] = print, busy: Callable[[], int] = lambda: 0) -> Report:
    """Execute every chapter whose cached outputs are out of date.

    Args:
        root: the repository; outputs go to `_build/` in it.
        say: takes one line of progress.
        busy: how many of the slots something else uses at the moment.
    """
    report, todo = Report(), []
    for name in chapter_names(root):
        try:
            chapter = load(root, name)
        except Refused as refusal:
            report.failed.append(Outcome(name, error=str(refusal)))
            say(f"  {name}: REFUSED: {refusal}")
            continue
        if is_current(root, chapter):
            report.kept.append(name)
        else:
            todo.append(chapter)
    work = root / "_build" / "work"
    shutil.rmtree(work, ignore_errors=True)  # left by a build that was killed
    shutil.rmtree(root / "_build" / "failed", ignore_errors=True)
    if not todo:
        return report
    # Two-core chapters first, as they leave room for nothing else; then the longest, so that no long one
    # ends the build alone.  One that was never measured counts as long.
    todo.sort(key=lambda chapter: (-chapter.cores, -measured(root, chapter.name).get("seconds", 1e9)))
    say(f"Executing {len(todo)} of {len(todo) + len(report.kept)} chapters: " + ", ".join(c.name for c in todo))
    total, running = len(todo), []
    try:
        while todo or running:
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                outcome = job.finish()
                (report.failed if outcome.error else report.executed).append(outcome)
                say(_line(outcome, f"{total - len(todo) - len(running)}/{total}"))
            taken = sum(job.chapter.cores for job in running) + busy()
            for chapter in todo:
                if taken == 0 or taken + chapter.cores <= SLOTS:
                    todo.remove(chapter)
                    running.append(Job(root, chapter))
                    break
            else:
                time.sleep(0.05)
    finally:
        for job in running:
            job.stop()
        shutil.rmtree(work, ignore_errors=True)
    return report


def _line(outcome: Outcome, count: str) -> str:
    memory = f"  {outcome.peak_mb:5d} MB" if outcome.peak_mb else ""
    line = f"  [{count}] {outcome.name:<28} {outcome.seconds:6.1f} s{memory}"
    return f"{line}  FAILED\n{outcome.error}" if outcome.error else line


class Job:
    """One chapter being executed, in a process of its own: the thread settings hold from the first import."""

    def __init__(self, root: Path, chapter: Chapter):
        self.root, self.chapter = root, chapter
        self.key = key(root, chapter)
        self.folder = root / "_build" / "work" / chapter.name.replace("/", "--")
        (self.folder / "cwd").mkdir(parents=True)
        nbformat.write(chapter.notebook, self.folder / "in.ipynb")
        environment = {
            **os.environ,
            **{variable: str(chapter.cores) for variable in THREAD_VARIABLES},
            "PYTHONHASHSEED": "0",
            "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one the reader installed
            "IPYTHONDIR": str(self.folder / "ipython"),  # nor the reader's start-up files
        }
        environment.pop("MPLBACKEND", None)
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.execute", str(self.folder)],
                cwd=Path(__file__).resolve().parents[1],
                env=environment,
                stdin=subprocess.PIPE,  # held open: its end tells the worker that the build was killed
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the build, which then ends its workers
            )

    def finish(self) -> Outcome:
        """Read what the worker left, and keep it in the cache if the chapter ran to its end."""
        self.process.stdin.close()
        try:
            result = json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            result = {"seconds": 0.0, "peak_mb": None, "error": self._crash()}
        if result["error"]:
            where = self._keep_half()
            result["error"] = f"    {result['error']}\n    as far as it ran: {where}"
            return Outcome(self.chapter.name, **result)
        record = {
            "key": self.key,
            "seconds": result["seconds"],
            "peak_mb": result["peak_mb"],
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        _store(self.root, self.chapter.name, self.folder / "out.ipynb", record)
        return Outcome(self.chapter.name, **result)

    def _crash(self) -> str:
        log = (self.folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n    ".join([f"the process that ran it ended with status {self.process.returncode}", *log[-3:]])

    def _keep_half(self) -> str:
        target = self.root / "_build" / "failed" / f"{self.chapter.name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        finished = self.folder / "out.ipynb"
        os.replace(finished if finished.is_file() else self.folder / "in.ipynb", target)
        return target.relative_to(self.root).as_posix()

    def stop(self) -> None:
        """End the worker and all that it started."""
        self.process.stdin.close()  # it then ends them itself
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def end_descendants(pid: int) -> None:
    """Kill all processes below `pid`: a kernel is in a session of its own, so no group signal reaches it."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()


# --------------------------------------------------------------------------------------------------
# The worker: `python -m tools.execute FOLDER`


def _die_with_the_build() -> None:
    os.read(0, 1)  # returns when the other end of the pipe closes
    end_descendants(os.getpid())
    os._exit(1)


def _work(folder: Path) -> None:
    """Execute `folder`/in.ipynb into out.ipynb and write result.json."""
    threading.Thread(target=_die_with_the_build, daemon=True).start()
    import papermill

    start, error = time.perf_counter(), ""
    try:
        papermill.execute_notebook(
            folder / "in.ipynb",
            folder / "out.ipynb",
            parameters=PARAMETERS,
            cwd=folder / "cwd",
            progress_bar=False,
            execution_timeout=CELL_SECONDS,
        )
    except Exception as failure:  # whatever went wrong is reported, with the cell it went wrong in
        error = describe(_read(folder / "out.ipynb"), failure)
    seconds = time.perf_counter() - start
    error = error or unfinished(_read(folder / "out.ipynb"))
    result = {"seconds": round(seconds, 1), "peak_mb": _peak_mb(), "error": error}
    (folder / "result.tmp").write_text(json.dumps(result), encoding="utf-8")
    os.replace(folder / "result.tmp", folder / "result.json")


def _read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4) if path.is_file() else nbformat.v4.new_notebook()


def describe(notebook: nbformat.NotebookNode, failure: Exception) -> str:
    """Say which cell failed and why, in a few lines."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
                line = re.search(r"^-+> *(\d+) (.*)$", trace, re.MULTILINE)  # the first is the cell's own
                said = "\n    ".join(output.evalue.splitlines()[:5])
                place = f"\n    line {line[1]}: {line[2].strip()}" if line else ""
                return f'cell "{cell.id}": {output.ename}: {said}{place}'
    # No cell raised: the kernel died or hung in the last cell that papermill started.
    started = [cell.id for cell in notebook.cells if cell.metadata.get("papermill", {}).get("start_time")]
    return (f'cell "{started[-1]}": ' if started else "") + _first_line(failure)


def _first_line(failure: Exception) -> str:
    lines = [line for line in str(failure).splitlines() if line.strip()]
    return f"{type(failure).__name__}: {lines[0].strip() if lines else ''}"


def unfinished(notebook: nbformat.NotebookNode) -> str:
    """What shows that a notebook that raised nothing did not really run; empty when it did."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in code:
        if cell.execution_count is None:
            return f'cell "{cell.id}" never ran: a cell before it called exit'
    if not any(cell.outputs for cell in code):
        return "it ran, but no cell put anything on the page"
    return ""


def _peak_mb() -> int | None:
    """The most memory that the kernel held at once; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10)) or None


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
