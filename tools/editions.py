"""Write what an instructor hands out and keeps: ``python -m tools.editions [--seed N] [--execute]``.

``dist/student/``    every chapter with its solutions stripped
``dist/solutions/``  every chapter with its solutions unfolded
``dist/nbgrader/``   a course folder: source/<assignment>/ and nbgrader_config.py
"""

import argparse
import copy
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = ["# YOUR CODE HERE", "..."]

CONFIG = '''"""nbgrader for The Trainable Zoo: points come from this machine's zoolib, not from a student's kernel."""

from nbgrader.apps import NbGrader  # noqa: F401  nbgrader's own modules load only after this one
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute

from zoolib.teach.nbgrader_plugin import Grade

steps = Autograde.class_traits()["autograde_preprocessors"].default()

c = get_config()  # noqa: F821  nbgrader defines it
c.CourseDirectory.course_id = "trainable-zoo"
c.Autograde.autograde_preprocessors = [Grade if step is Execute else step for step in steps]
c.ClearSolutions.code_stub = {{"python": "# YOUR CODE HERE\\n..."}}
c.OverwriteCells.add_missing_cells = True  # a check cell that a student deleted comes back
c.Grade.seed = {seed}  # draws the cases: choose a number that students do not know
c.Grade.exercise_timeout = 30.0  # seconds
'''


class Unbalanced(ValueError):
    """A solution region that does not open and close once each; the message names notebook and cell."""


def strip(source: str, where: str) -> str:
    """The source with each solution region replaced by the stub at the region's indentation.

    Raises Unbalanced for a region that is nested, never closed or never opened.
    """
    lines, inside = [], False
    for line in source.split("\n"):
        if "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            begins = "BEGIN SOLUTION" in line
            if begins == inside:
                problem = "a BEGIN inside another region" if begins else "an END without its BEGIN"
                raise Unbalanced(f"{where}: {problem}; write each region as {BEGIN} ... {END}.")
            if begins:
                indent = line[: len(line) - len(line.lstrip())]
                lines += [indent + text for text in STUB]
            inside = begins
        elif not inside:
            lines.append(line)
    if inside:
        raise Unbalanced(f"{where}: a BEGIN without its END; write each region as {BEGIN} ... {END}.")
    return "\n".join(lines)


def edition(notebook: dict, name: str, kind: str, seed: int = 0) -> dict:
    """A copy of a chapter.

    Args:
        notebook: the chapter as stored in book/.
        name: the chapter's path, for messages.
        kind: "student" (solutions stripped), "solutions" (only unfolded), or "source" (as solutions, with the
            titles that students see: nbgrader strips it).
        seed: the seed that check cells draw their cases from.
    """
    notebook = copy.deepcopy(notebook)
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        stripped = strip(source, f"{name}, cell {cell.get('id', number)}")
        metadata = cell["metadata"]
        if "solution" in metadata.get("tags", []) or stripped != source:
            metadata.pop("cellView", None)
            kept = [tag for tag in metadata.pop("tags", []) if tag not in ("hide-input", "solution")]
            if kept:
                metadata["tags"] = kept
            if kind != "solutions":
                source = re.sub(r"(?m)^(# @title )Solution\b", r"\1Your answer", source)
            if kind == "student":
                # nbgrader would replace a solution cell without markers as a whole; an ordinary cell it leaves alone.
                metadata.pop("nbgrader", None)
                source = strip(source, name)
        if seed and "check" in metadata.get("tags", []):
            source = re.sub(r"^(check\([^()]*)\)", rf"\1, seed={seed})", source, flags=re.M)
        cell["source"] = source.splitlines(True)
    return notebook


def chapters(book: Path) -> list[Path]:
    """The book's notebooks, by their paths relative to ``book``."""
    return sorted(path.relative_to(book) for path in book.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def make(book: Path, dist: Path, seed: int = 0) -> list[Path]:
    """Write all editions below ``dist``; the chapters' relative paths.

    Raises Unbalanced before anything is written where a chapter's regions do not match.
    """
    names = chapters(book)
    copies = {
        name: {
            kind: edition(read(book / name), f"book/{name.as_posix()}", kind, seed)
            for kind in ("student", "solutions", "source")
        }
        for name in names
    }
    for folder in ("student", "solutions", "nbgrader/source"):
        shutil.rmtree(dist / folder, ignore_errors=True)
    for name, made in copies.items():
        for kind in ("student", "solutions"):
            write(dist / kind / name, made[kind])
        if any(cell["metadata"].get("nbgrader", {}).get("grade") for cell in made["source"]["cells"]):
            assignment = "-".join(name.with_suffix("").parts)
            write(dist / "nbgrader" / "source" / assignment / name.name, made["source"])
    config = dist / "nbgrader" / "nbgrader_config.py"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(CONFIG.format(seed=seed), encoding="utf-8")
    return names


def execute(path: Path) -> str:
    """Run a student copy from top to bottom as a student would, unchanged; "" or what went wrong."""
    import papermill

    with tempfile.TemporaryDirectory() as folder:
        try:
            papermill.execute_notebook(path, Path(folder, path.name), cwd=folder, progress_bar=False)
        except Exception as error:  # papermill wraps whatever a cell raised
            return f"{type(error).__name__}: {error}"
    return ""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.editions", description=__doc__.split("\n")[0])
    parser.add_argument("--book", type=Path, default=ROOT / "book", help="where the chapters are")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the editions go")
    parser.add_argument("--seed", type=int, default=0, help="draws the cases of the check cells")
    parser.add_argument("--execute", action="store_true", help="run every student copy from top to bottom")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error(f"--seed {args.seed}: give 0 or a positive whole number")
    try:
        names = make(args.book, args.dist, args.seed)
    except Unbalanced as error:
        print(f"editions: {error}", file=sys.stderr)
        return 2
    if not names:
        print(f"editions: {args.book}: holds no notebook (.ipynb).", file=sys.stderr)
        return 2
    print(f"{len(names)} chapters: {args.dist}/student, {args.dist}/solutions, {args.dist}/nbgrader")
    status = 0
    for name in names if args.execute else []:
        problem = execute(args.dist / "student" / name)
        print(f"{name.as_posix()}: {problem or 'the student copy runs from top to bottom'}")
        status = 1 if problem else status
    return status


if __name__ == "__main__":
    sys.exit(main())
