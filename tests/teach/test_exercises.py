"""Every exercise of the book, against the chapters it stands in: solutions pass, stubs and mistakes do not."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from tools import editions
from zoolib.teach import check, child, exercises, grade

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
CHAPTERS = [path.as_posix() for path in editions.chapters(BOOK)]
NAMES = exercises.names()
SEEDS = range(10)


def read(chapter, kind="solutions"):
    return editions.edition(editions.read(BOOK / chapter), chapter, kind)


def cells_of(chapter):
    """The chapter's code cells as stored: (source, metadata)."""
    cells = editions.read(BOOK / chapter)["cells"]
    return [("".join(cell["source"]), cell["metadata"]) for cell in cells if cell["cell_type"] == "code"]


def checks_of(chapter):
    """Exercise names in the order of the chapter's check cells."""
    found = [grade.exercise_of(cell) for cell in editions.read(BOOK / chapter)["cells"]]
    return [name for name in found if name]


PLACES = [(name, chapter) for chapter in CHAPTERS for name in checks_of(chapter)]


def written(name, chapter, kind):
    """The function as one edition of the chapter has it; only the statements that it needs are run."""
    notebook = read(chapter, kind)
    function, problem = child.define(grade._cells_before(notebook["cells"], name), name.partition(".")[2])
    assert function is not None, problem
    return function


def test_every_exercise_stands_in_one_chapter():
    assert sorted(name for name, _ in PLACES) == sorted(NAMES)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_checks_at_least_two_exercises_of_one_module(chapter):
    names = checks_of(chapter)
    assert len(names) >= 2
    assert len({name.partition(".")[0] for name in names}) == 1


@pytest.mark.parametrize(("name", "chapter"), PLACES)
def test_the_solution_gets_all_points_on_every_seed(name, chapter):
    solution = written(name, chapter, "solutions")
    for seed in SEEDS:
        points = check(name, solution, seed)
        assert points == points.possible == exercises.find(name).points > 0, points.reason


@pytest.mark.parametrize(("name", "chapter"), PLACES)
def test_the_stub_gets_none(name, chapter):
    points = check(name, written(name, chapter, "student"))
    assert points == 0.0 and "is not written yet" in points.reason


@pytest.mark.parametrize("name", NAMES)
def test_mistakes_fail_with_the_reason_that_names_them(name):
    exercise = exercises.find(name)
    assert len(exercise.mistakes) >= 2
    for reason, wrong in exercise.mistakes.items():
        for seed in SEEDS:
            points = check(name, wrong, seed)
            assert points < points.possible and reason.rstrip(". ") in points.reason, (seed, points.reason)


@pytest.mark.parametrize("name", NAMES)
def test_the_arguments_can_cross_to_the_grading_process(name):
    for case in exercises.find(name).cases(np.random.default_rng(0)):
        child.unpack(json.loads(json.dumps(child.pack(case.args))))
        assert case.tests and not case.tests.endswith(".")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_graded_cells_carry_what_nbgrader_needs(chapter):
    checked = {}
    for source, metadata in cells_of(chapter):
        fields = metadata.get("nbgrader", {})
        if "check" in metadata.get("tags", []) or fields.get("grade"):
            name = fields["grade_id"].removeprefix("check-").replace("-", ".", 1)
            checked[name] = fields
            assert source.strip() == f'check("{name}", {name.partition(".")[2]})'
            assert "check" in metadata["tags"]
            assert fields["points"] == exercises.find(name).points
            assert (fields["grade"], fields["solution"], fields["locked"]) == (True, False, True)
        if "solution" in metadata.get("tags", []) or "BEGIN SOLUTION" in source:
            name = fields["grade_id"].replace("-", ".", 1)
            assert source.startswith(f"# @title Solution: {name.partition('.')[2]}\n")
            assert {"hide-input", "solution"} <= set(metadata["tags"]) and metadata["cellView"] == "form"
            assert (fields["grade"], fields["solution"], fields["locked"]) == (False, True, False)
            assert "BEGIN SOLUTION" in source
    assert list(checked) == checks_of(chapter)
    ids = [m["nbgrader"]["grade_id"] for _, m in cells_of(chapter) if "nbgrader" in m]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_no_graded_function_is_written_in_zoolib(name):
    function = name.partition(".")[2]
    for path in (ROOT / "zoolib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.name != function, f"{path} defines {function}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_nothing_outside_the_exercises_depends_on_a_solution(chapter):
    notebook = read(chapter, "solutions")
    bound, graded = set(), {name.partition(".")[2] for name in checks_of(chapter)}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        source, fields = "".join(cell["source"]), cell["metadata"].get("nbgrader", {})
        facts = [child.binds_and_uses(statement) for statement in child.parse(source, "cell")]
        binds, uses = (set().union(*(fact[i] for fact in facts)) for i in (0, 1))
        if fields.get("solution"):
            bound |= binds
        elif not fields.get("grade"):
            used = uses & (bound | graded)
            assert not used, f"cell {cell['id']} uses {used}, which only a solution gives"
            assert not binds & graded, f"cell {cell['id']} shows {binds & graded}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_student_copy_is_python_throughout(chapter):
    for cell in read(chapter, "student")["cells"]:
        if cell["cell_type"] == "code":
            child.parse("".join(cell["source"]), cell["id"])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_grading_gives_the_solutions_everything_and_the_student_copy_nothing(chapter, tmp_path):
    for kind, share in (("solutions", 1), ("student", 0)):
        path = tmp_path / f"{kind}.ipynb"
        editions.write(path, read(chapter, kind))
        rows = grade.grade_notebook(path, seed=3, timeout=120)
        assert [row.exercise for row in rows] == list(exercises.of_chapter(rows[0].exercise.partition(".")[0]))
        assert [row.points for row in rows] == [row.possible * share for row in rows], rows
