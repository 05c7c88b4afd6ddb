"""`make student`: copies that can be handed out, copies that are kept, and a course folder."""

import ast
import json
import re

import pytest
from toy_notebook import chapter, code, notebook

from tools import editions


def sources(path):
    return {cell["id"]: "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]}


@pytest.fixture
def book(tmp_path):
    editions.write(tmp_path / "book" / "toy" / "01-toy.ipynb", chapter())
    editions.write(tmp_path / "book" / "plain.ipynb", notebook([code("a", "1 + 1")]))
    return tmp_path / "book"


def run(book, *flags):
    dist = book.parent / "dist"
    return editions.main(["--book", str(book), "--dist", str(dist), *flags]), dist


def test_the_student_copy_has_stubs_and_no_solution(book):
    status, dist = run(book)
    assert status == 0
    cells = sources(dist / "student" / "toy" / "01-toy.ipynb")
    assert cells["solution-target"] == (
        "# @title Your answer: target\ndef target(reward, done, value, gamma):\n"
        '    """What to return."""\n    # YOUR CODE HERE\n    ...'
    )
    ast.parse(cells["solution-target"])
    text = (dist / "student" / "toy" / "01-toy.ipynb").read_text()
    for trace in ("BEGIN SOLUTION", "END SOLUTION", "1 - done", "cellView", "hide-input", '"solution"', "Solution:"):
        assert trace not in text.replace('"solution": false', "")
    assert cells["check-target"] == 'check("toy.target", target)'


def test_the_solutions_are_unfolded(book):
    _, dist = run(book)
    path = dist / "solutions" / "toy" / "01-toy.ipynb"
    assert "1 - done" in sources(path)["solution-target"]
    assert "cellView" not in path.read_text() and "hide-input" not in path.read_text()


def test_only_chapters_with_exercises_become_assignments(book):
    _, dist = run(book)
    found = sorted(path.relative_to(dist / "nbgrader").as_posix() for path in dist.glob("nbgrader/**/*.*"))
    assert found == ["nbgrader_config.py", "source/toy-01-toy/01-toy.ipynb"]
    compile((dist / "nbgrader" / "nbgrader_config.py").read_text(), "nbgrader_config.py", "exec")


def test_a_seed_stands_in_the_check_cells_and_the_configuration(book):
    _, dist = run(book, "--seed", "7")
    assert sources(dist / "student/toy/01-toy.ipynb")["check-target"] == 'check("toy.target", target, seed=7)'
    assert sources(dist / "solutions/toy/01-toy.ipynb")["check-target"] == 'check("toy.target", target, seed=7)'
    assert "c.Grade.seed = 7 " in (dist / "nbgrader" / "nbgrader_config.py").read_text()


def test_what_an_earlier_run_wrote_for_a_chapter_that_is_gone_goes(book):
    run(book)
    (book / "plain.ipynb").unlink()
    _, dist = run(book)
    assert not (dist / "student" / "plain.ipynb").exists()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("### BEGIN SOLUTION\n1", "a BEGIN without its END"),
        ("1\n### END SOLUTION", "an END without its BEGIN"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "a BEGIN inside another region"),
    ],
)
def test_an_unbalanced_region_is_refused_by_name(book, source, problem, capsys):
    editions.write(book / "rl" / "02-bad.ipynb", notebook([code("loss-cell", source)]))
    status, dist = run(book)
    err = capsys.readouterr().err
    assert status == 2 and not dist.exists()
    assert err.count("\n") == 1 and f"book/rl/02-bad.ipynb, cell loss-cell: {problem}" in err


def test_two_regions_in_one_cell():
    source = "def f():\n    ### BEGIN SOLUTION\n    a = 1\n    ### END SOLUTION\n    if a:\n"
    source += "        ### BEGIN SOLUTION\n        return a\n        ### END SOLUTION\n    return 0"
    stripped = editions.strip(source, "here")
    assert stripped == (
        "def f():\n    # YOUR CODE HERE\n    ...\n    if a:\n        # YOUR CODE HERE\n        ...\n    return 0"
    )
    ast.parse(stripped)


def test_an_empty_book_is_refused(tmp_path, capsys):
    status, _ = run(tmp_path / "book")
    assert status == 2 and "holds no notebook" in capsys.readouterr().err


def test_execute_runs_the_student_copies(book, capsys):
    (book / "plain.ipynb").unlink()
    assert run(book, "--execute")[0] == 0
    assert "toy/01-toy.ipynb: the student copy runs from top to bottom" in capsys.readouterr().out
    editions.write(book / "bad.ipynb", notebook([code("a", "1 / 0")]))
    (book / "toy" / "01-toy.ipynb").unlink()
    assert run(book, "--execute")[0] == 1
    assert "bad.ipynb: PapermillExecutionError" in capsys.readouterr().out


BOOK = editions.ROOT / "book"


def leaning_on_solutions(notebook):
    """Cells other than checks that use a name which a solution defined last: (cell, names)."""
    solved, found = set(), []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        source = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)  # what only IPython reads
        nodes = list(ast.walk(ast.parse(source)))
        bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        bound |= {(a.asname or a.name).split(".")[0] for n in nodes if isinstance(n, ast.Import) for a in n.names}
        bound |= {a.asname or a.name for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
        used = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if "solution" in tags:
            solved |= bound
        elif "check" not in tags:
            solved -= bound
            if used & solved:
                found.append((cell["id"], used & solved))
    return found


@pytest.mark.parametrize("name", editions.chapters(BOOK), ids=lambda path: path.stem)
def test_no_cell_outside_the_exercises_leans_on_a_solution(name):
    """So the student copy runs from top to bottom: its other cells are those that `make book` runs, and stubs with
    their checks are run by test_exercises.  `make student --execute` runs the copies themselves."""
    whole, student = editions.read(BOOK / name), editions.edition(editions.read(BOOK / name), name.stem, "student")
    assert leaning_on_solutions(whole) == []
    same = [a["source"] == b["source"] for a, b in zip(whole["cells"], student["cells"], strict=True)]
    differing = [cell for cell, alike in zip(whole["cells"], same, strict=True) if not alike]
    assert all({"solution", "check"} & set(cell["metadata"].get("tags", [])) for cell in differing)


def test_a_cell_that_leans_on_a_solution_is_found():
    toy = chapter()
    assert leaning_on_solutions(toy) == []
    toy["cells"].append(code("later", "print(target(1, 0, 2, 0.9))"))
    assert leaning_on_solutions(toy) == [("later", {"target"})]
