"""Grade notebooks on the instructor's side: ``zoolib grade NOTEBOOK...``.

The notebook is read as data.  The names, the points and the expected answers come from this installation of
zoolib; the student's functions run in a child process on drawn arguments, with a limit on time; their answers come
back as plain data and are compared here.  What the notebook's kernel printed, or a changed `check`, counts nothing.
The child runs with the rights of whoever grades: for code from strangers use a container or an account of its own.
"""

import argparse
import csv
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from zoolib.teach import child, exercises
from zoolib.teach.check import Outcome, draw, judge, one_line

TIMEOUT = 30.0  # seconds an exercise may take, imports included
ANSWER_BYTES = 64 * 2**20  # more than this from a child is not read


class NotGradable(ValueError):
    """A file that is no notebook, or a notebook without checked exercises; the message is one sentence."""


@dataclass(frozen=True)
class Row:
    """One exercise of one notebook."""

    exercise: str
    points: float
    possible: float
    reason: str


def read_notebook(path) -> dict:
    """The notebook's JSON; raises NotGradable where there is none."""
    path = Path(path)
    if not path.is_file():
        raise NotGradable(f"{path}: no such file; give a notebook (.ipynb).")
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        notebook = None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise NotGradable(f"{path}: not a notebook; give a file that Jupyter saved (.ipynb, nbformat 4).")
    return notebook


def source_of(cell: dict) -> str:
    """A cell's text, which the format stores as one string or as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(map(str, source))


def exercise_of(cell: dict) -> str | None:
    """The exercise that a cell checks, by its nbgrader id or its ``check("name", ...)`` call, if any."""
    if cell.get("cell_type") != "code":
        return None
    ident = str(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", ""))
    call = re.search(r"""\bcheck\(\s*["']([\w.]+)["']""", source_of(cell))
    names = [".".join(ident.split("-")[1:])] if ident.startswith("check-") else []
    for name in names + ([call[1]] if call else []):
        try:
            exercises.find(name)
        except exercises.UnknownExercise:
            continue
        return name
    return None


def grade_notebook(path, seed: int = 0, timeout: float = TIMEOUT) -> list[Row]:
    """Grade every exercise of the chapters that a notebook's check cells name.

    Args:
        path: a notebook as a student handed it in.
        seed: draws the cases; choose one that the students do not know.
        timeout: seconds that one exercise may take.

    Returns:
        A row for each exercise that zoolib has for the chapter, also where its cells are gone from the notebook.

    Raises:
        NotGradable: no notebook, or no check cell in it.
    """
    notebook = read_notebook(path)
    named = [name for cell in notebook["cells"] if isinstance(cell, dict) and (name := exercise_of(cell))]
    if not named:
        raise NotGradable(f"{path}: has no cell that checks an exercise, so there is nothing to grade.")
    chapters = dict.fromkeys(name.partition(".")[0] for name in named)
    asked = [name for chapter in chapters for name in exercises.of_chapter(chapter)]
    return grade_cells(notebook["cells"], asked, seed, timeout)


def grade_cells(cells: list[dict], names: list[str], seed: int = 0, timeout: float = TIMEOUT) -> list[Row]:
    """Grade the named exercises over a notebook's cells; a row for each name."""
    drawn = {name: draw(name, exercises.find(name), seed) for name in names}
    requests = []
    for name, cases in drawn.items():
        request = {"name": name, "function": name.partition(".")[2], "cells": _cells_before(cells, name)}
        requests.append(request | {"args": [child.pack(case.args) for case in cases]})
    outcomes: dict[str, list[Outcome]] = {}
    while requests:
        outcomes |= _run(requests, timeout)
        requests = [request for request in requests if request["name"] not in outcomes]
    rows = []
    for name, cases in drawn.items():
        points = judge(name, exercises.find(name), cases, outcomes[name])
        rows.append(Row(name, float(points), points.possible, points.reason))
    return rows


def _cells_before(cells, name) -> list[dict]:
    """The code cells above an exercise's check cell (all of them where that cell is gone)."""
    code = []
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        if exercise_of(cell) == name:
            break
        code.append({"name": f"cell {number}", "source": source_of(cell)})
    return code


def _run(requests: list[dict], timeout: float) -> dict[str, list[Outcome]]:
    """Outcomes of the first exercises in ``requests``: all of them, or up to one that hangs or dies."""
    with tempfile.TemporaryDirectory(prefix="zoolib-grade-", ignore_cleanup_errors=True) as folder:
        request, errors = Path(folder, "request.json"), Path(folder, "errors.txt")
        request.write_text(json.dumps(requests), encoding="utf-8")
        # No graphics card, so that a student's `device = ...` line finds the tensors where the cases are.
        env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
        with open(errors, "w") as trouble:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zoolib.teach.child", str(request)],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=trouble,
                start_new_session=True,
            )
        try:
            lines, stopped = _listen(process, requests, timeout)
        finally:
            _kill(process)
        if not lines:
            detail = one_line(errors.read_text(errors="replace")[-300:], 300)
            raise RuntimeError(f"the grading process did not start: {detail or stopped}")
    outcomes: dict[str, list[Outcome]] = {}
    for number, asked in enumerate(requests):
        if number and (asked["name"], "start") not in lines:
            break  # an exercise before it stopped the child; the caller asks again from here
        missing = Outcome(None, "Stopped", stopped)
        found = [lines.get((asked["name"], i), missing) for i in range(len(asked["args"]))]
        outcomes[asked["name"]] = found
    return outcomes


def _listen(process, requests: list[dict], timeout: float) -> tuple[dict, str]:
    """What the child answers, by (exercise, case), and why answers may be missing.

    A pipe, not a file: a student's code may add lines to it, but cannot take back what was said before it ran.
    """
    pipe: queue.Queue = queue.Queue()

    def read():
        left = ANSWER_BYTES
        while left > 0 and (text := process.stdout.readline(left)):
            left -= len(text)
            pipe.put(text)
        pipe.put(None)

    threading.Thread(target=read, daemon=True).start()
    lines: dict = {}
    waiting = {(asked["name"], i) for asked in requests for i in range(len(asked["args"]))}
    starting = {(asked["name"], "start") for asked in requests}
    due = time.monotonic() + timeout
    while waiting:
        try:
            text = pipe.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            return lines, f"takes longer than {timeout:g} s: look for a loop that does not end"
        if text is None:
            return lines, "ends the interpreter"
        try:
            line = json.loads(text)
            key = (line[0], line[1])
            fresh = key in waiting or (key in starting and key not in lines)
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        if not fresh:
            continue
        if line[1] == "start":  # each exercise starts once, so that repeated lines prolong nothing
            due = time.monotonic() + timeout
        lines[key] = _outcome(line)
        waiting.discard(key)
    return lines, "gives no answer"


def _kill(process) -> None:
    """End the child and whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):  # Windows has no process groups
        process.kill()
    process.wait()


def _outcome(line: list) -> Outcome:
    """One answer line as an outcome; a value that cannot be read stays wrong."""
    _, _, packed, error, detail = (line + ["foreign", "", ""])[:5]
    try:
        value = child.unpack(packed)
    except Exception:  # the line comes from a student's process: any form of nonsense is possible
        value = child.Foreign("a value that cannot be read")
    return Outcome(value, one_line(str(error), 60), one_line(str(detail), 300))


def student_of(path) -> str:
    """Who handed a notebook in: nbgrader's ``submitted/<student>/...`` folder, else the file's name."""
    parts = Path(path).resolve().parts
    for folder in ("submitted", "autograded"):
        if folder in parts[:-2]:
            return parts[len(parts) - parts[::-1].index(folder)]
    return Path(path).stem


def grade_command(argv: list[str] | None = None) -> int:
    """``zoolib grade``: print, or write as CSV or JSON, a row for each student and exercise.

    Returns 0, or 2 where a file could not be graded (the others are graded all the same).
    """
    parser = argparse.ArgumentParser(
        prog="zoolib grade",
        description="Grade the checked exercises of notebooks.  The points come from this installation of zoolib; "
        "nothing that a notebook's own run printed is trusted.",
        epilog="A student's code runs on this machine with your rights.",
    )
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="a notebook that a student handed in")
    parser.add_argument("--seed", type=int, default=0, help="draws the cases (default 0); choose your own")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds an exercise may take (default 30)")
    parser.add_argument("--csv", metavar="FILE", help="write a row for each student and exercise")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args(argv)
    if args.seed < 0 or args.timeout <= 0:
        wrong = f"--seed {args.seed}" if args.seed < 0 else f"--timeout {args.timeout:g}"
        print(f"zoolib grade: {wrong}: give a seed of 0 or more and a timeout above 0.", file=sys.stderr)
        return 2
    fields = ["student", "notebook", "exercise", "points", "possible", "reason"]
    try:
        table = open(args.csv, "w", newline="", encoding="utf-8") if args.csv else None
    except OSError as error:
        print(f"zoolib grade: --csv {args.csv}: cannot be written ({error.strerror}).", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):  # reasons hold Greek letters, which some terminals cannot write
        sys.stdout.reconfigure(errors="backslashreplace")
    status, rows = 0, []
    for path in args.notebooks:
        try:
            graded = grade_notebook(path, args.seed, args.timeout)
        except (NotGradable, RuntimeError) as error:
            print(f"zoolib grade: {error}", file=sys.stderr)
            status = 2
            continue
        student = student_of(path)
        rows += [{"student": student, "notebook": str(path), **asdict(row)} for row in graded]
        if not args.json:
            total, possible = sum(row.points for row in graded), sum(row.possible for row in graded)
            print(f"{student}  {path}  {total:g} of {possible:g} points")
            for row in graded:
                print(f"  {row.exercise}: {row.reason}")
    if args.json:
        print(json.dumps(rows, indent=1))
    if table:
        with table:
            writer = csv.DictWriter(table, fields)
            writer.writeheader()
            writer.writerows(rows)
    return status
