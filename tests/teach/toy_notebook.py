"""The toy chapter's notebook, with the cell metadata that the book's notebooks have."""

from pathlib import Path

TOY = Path(__file__).parent / "toy"

SETUP = f"""import numpy as np
import zoolib.teach.exercises

zoolib.teach.exercises.__path__.append({str(TOY)!r})
from zoolib.teach import check"""

SOLUTIONS = {
    "target": "    return reward + gamma * value * (1 - done)",
    "running_total": "    return [sum(values[: i + 1]) for i in range(len(values))]",
}
SIGNATURES = {"target": "reward, done, value, gamma", "running_total": "values"}
POINTS = {"target": 3, "running_total": 2}


def code(ident, source, tags=(), **metadata):
    if tags:
        metadata["tags"] = list(tags)
    return {
        "cell_type": "code",
        "id": ident,
        "metadata": metadata,
        "source": source.splitlines(True),
        "execution_count": None,
        "outputs": [],
    }


def nbgrader(ident, **fields):
    base = {"grade": False, "grade_id": ident, "locked": False, "schema_version": 3, "solution": False}
    return {**base, "task": False, **fields}


def solution_cell(name, body=None):
    source = f'# @title Solution: {name}\ndef {name}({SIGNATURES[name]}):\n    """What to return."""\n'
    source += f"    ### BEGIN SOLUTION\n{body or SOLUTIONS[name]}\n    ### END SOLUTION"
    metadata = nbgrader(f"toy-{name}", solution=True)
    return code(f"solution-{name}", source, ["hide-input", "solution"], cellView="form", nbgrader=metadata)


def check_cell(name):
    metadata = nbgrader(f"check-toy-{name}", grade=True, locked=True, points=POINTS[name])
    return code(f"check-{name}", f'check("toy.{name}", {name})', ["check"], nbgrader=metadata)


def notebook(cells):
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}


def chapter():
    """The toy chapter as it would stand in book/."""
    cells = [code("setup", SETUP, ["setup"]), code("train", "rate = 0.1\nprint('trained', rate)")]
    for name in SOLUTIONS:
        cells += [solution_cell(name), check_cell(name)]
    return notebook(cells)


def answered(bodies, before=()):
    """The chapter as a student hands it in: a body for each function, and cells put above the exercises."""
    made = chapter()
    made["cells"][2:2] = [code(f"own-{i}", source) for i, source in enumerate(before)]
    for cell in made["cells"]:
        name = cell["id"].removeprefix("solution-")
        if name in bodies:
            cell["source"] = f"def {name}({SIGNATURES[name]}):\n{bodies[name]}".splitlines(True)
    return made
