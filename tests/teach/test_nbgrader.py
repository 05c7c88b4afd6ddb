"""nbgrader itself, in a course folder of its own: generate_assignment, submissions, autograde, points.

Twice: with the configuration that `make student` writes (points from the instructor's zoolib), and a student copy
dropped into a course that has none (points from the notebook's kernel, as in any nbgrader course).
"""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_notebook import SOLUTIONS, TOY, chapter, code

from tools import editions

STUB = "    # YOUR CODE HERE\n    ..."
NOISE = "import sys, warnings\nwarnings.warn('old habits')\nprint('noise', file=sys.stderr)"
NOISY = "    import sys, warnings\n    warnings.warn('old habits')\n    print('noise', file=sys.stderr)\n"
FORGED = "import zoolib.teach\ncheck = zoolib.teach.check = lambda name, answer, seed=0: print(3.0) or 3.0"


def nbgrader(course, *command):
    # nbgrader calls alembic by name, which an activated environment would have on its path.
    folder = str(Path(sys.executable).parent)
    env = os.environ | {"PATH": folder + os.pathsep + os.environ["PATH"], "HOME": str(course)}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *command], cwd=course, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]


def submission(released, bodies, first=""):
    """The released notebook with some functions written and perhaps a cell put first."""
    made = copy.deepcopy(released)
    for cell in made["cells"]:
        source = "".join(cell["source"])
        for name, body in bodies.items():
            if f"def {name}(" in source:
                assert STUB in source
                cell["source"] = source.replace(STUB, body)
    if first:
        made["cells"].insert(1, code("own", first))
    return made


SUBMISSIONS = {  # student -> (bodies, a cell of their own, points with the configuration)
    "full": (SOLUTIONS, "", 5.0),
    "partial": ({"target": "    return reward + gamma * value"}, "", 2.0),
    "blank": ({}, "", 0.0),
    "wrong": ({"target": "    return reward[:, None] * 7", "running_total": "    return values[9]"}, "", 0.0),
    "warning": ({"target": NOISY + SOLUTIONS["target"]}, NOISE, 3.0),
    "forger": ({}, FORGED, 0.0),
    "endless": (SOLUTIONS, "while True:\n    pass", 5.0),
}


def graded(course, assignment, students):
    """Generate, hand in, autograde; (points by student, the released notebook)."""
    nbgrader(course, "generate_assignment", assignment)
    released = json.loads((course / "release" / assignment / "01-toy.ipynb").read_text())
    for student in students:
        bodies, first, _ = SUBMISSIONS[student]
        editions.write(
            course / "submitted" / student / assignment / "01-toy.ipynb", submission(released, bodies, first)
        )
    nbgrader(course, "autograde", assignment)
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db") as book:
        return {s: book.find_submission(assignment, s).score for s in students}, released


@pytest.fixture
def dist(tmp_path, toy):
    editions.write(tmp_path / "book" / "toy" / "01-toy.ipynb", chapter())
    assert editions.main(["--book", str(tmp_path / "book"), "--dist", str(tmp_path / "dist"), "--seed", "4"]) == 0
    return tmp_path / "dist"


def test_the_course_that_make_student_writes(dist):
    course, assignment = dist / "nbgrader", "toy-01-toy"
    config = course / "nbgrader_config.py"
    config.write_text(
        f"import zoolib.teach.exercises\nzoolib.teach.exercises.__path__.append({str(TOY)!r})\n" + config.read_text()
    )
    points, released = graded(course, assignment, SUBMISSIONS)
    assert points == {student: right for student, (_, _, right) in SUBMISSIONS.items()}
    text = json.dumps(released)
    assert "END SOLUTION" not in text and "1 - done" not in text and "Solution:" not in text
    seen = json.loads((course / "autograded" / "partial" / assignment / "01-toy.ipynb").read_text())
    assert "multiply it by (1 - done)" in json.dumps(seen)  # the reason is what feedback shows


def test_a_student_copy_in_a_course_without_our_configuration(dist, tmp_path):
    course = tmp_path / "course"
    editions.write(
        course / "source" / "toy" / "01-toy.ipynb",
        json.loads((dist / "student" / "toy" / "01-toy.ipynb").read_text()),
    )
    students = ["full", "partial", "blank", "wrong", "warning"]
    points, _ = graded(course, "toy", students)
    assert points == {student: SUBMISSIONS[student][2] for student in students}
