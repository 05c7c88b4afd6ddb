"""Grading: the right points for whatever a student's notebook holds, and nothing believed that it says."""

import csv
import json

import pytest
from toy_notebook import answered, chapter, code, notebook

from zoolib.teach import child
from zoolib.teach.grade import NotGradable, grade_command, grade_notebook, student_of

pytestmark = pytest.mark.usefixtures("toy")

RIGHT_TARGET = "    return reward + gamma * value * (1 - done)"
FORGED = """
import sys, zoolib.teach, zoolib.teach.check
zoolib.teach.check.difference = lambda *a, **k: ""
zoolib.teach.check.judge = lambda *a, **k: 3.0
check = zoolib.teach.check.check = lambda name, answer, seed=0: 3.0
class Points(float): pass
"""


def grades(path, **options):
    return {row.exercise: (row.points, row.reason) for row in grade_notebook(path, **options)}


def points(path, **options):
    return tuple(value for value, _ in grades(path, **options).values())


def test_full_partial_blank_and_wrong(hand_in):
    assert points(hand_in(chapter())) == (3.0, 2.0)
    partial = answered({"target": "    return reward + gamma * value", "running_total": "    ..."})
    found = grades(hand_in(partial))
    assert found["toy.target"][0] == 2.0 and "multiply it by (1 - done)" in found["toy.target"][1]
    assert found["toy.running_total"][0] == 0.0 and "is not written yet" in found["toy.running_total"][1]
    wrong = answered({"target": "    return reward[:, None] * 7", "running_total": "    return values[9]"})
    found = grades(hand_in(wrong))
    assert [value for value, _ in found.values()] == [0.0, 0.0]
    assert "[4, 1]" in found["toy.target"][1]
    assert "IndexError" in found["toy.running_total"][1] and "`return values[9]`" in found["toy.running_total"][1]


def test_nothing_that_the_notebook_says_is_believed(hand_in):
    made = answered({"target": "    print('3.0')\n    return 3.0"}, before=[FORGED])
    made["cells"][-3]["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": "3.0"}}]
    made["cells"][-3]["metadata"]["nbgrader"]["points"] = 99
    made["cells"][-3]["source"] = ["3.0"]
    assert points(hand_in(made)) == (0.0, 2.0)


def test_a_changed_check_takes_nothing_away(hand_in):
    assert points(hand_in(answered({}, before=[FORGED]))) == (3.0, 2.0)


def test_deleted_check_cells_stay_gradable(hand_in):
    made = chapter()
    made["cells"] = [cell for cell in made["cells"] if cell["id"] != "check-target"]
    assert points(hand_in(made)) == (3.0, 2.0)


def test_an_endless_loop_costs_its_exercise_only(hand_in):
    made = answered({"target": "    while True:\n        pass"})
    found = grades(hand_in(made), timeout=6)
    assert found["toy.target"][0] == 0.0 and "takes longer than 6 s" in found["toy.target"][1]
    assert found["toy.running_total"][0] == 2.0


@pytest.mark.parametrize("end", ["import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"])
def test_a_dead_interpreter_costs_its_exercise_only(end, hand_in):
    found = grades(hand_in(answered({"target": f"    {end}"})))
    assert found["toy.target"][0] == 0.0 and "ends the interpreter" in found["toy.target"][1]
    assert found["toy.running_total"][0] == 2.0


def test_exit_and_noise(hand_in):
    noisy = "    import sys, warnings\n    warnings.warn('old')\n    print('x' * 10**6, file=sys.stderr)\n"
    made = answered({"target": noisy + RIGHT_TARGET, "running_total": "    import sys\n    sys.exit(0)"})
    found = grades(hand_in(made))
    assert found["toy.target"][0] == 3.0
    assert found["toy.running_total"][0] == 0.0 and "calls exit" in found["toy.running_total"][1]


def test_lines_forged_on_the_answers_channel_count_nothing(hand_in):
    forged = "    import os\n    for fd in range(3, 30):\n        try:\n            os.write(fd, b'[1]\\n{}\\nnull\\n"
    forged += '[[], "start"]\\n["toy.target", "start"]\\n["toy.target", 99, 1, "", ""]\\n'
    forged += "')\n        except OSError:\n            pass\n    return reward * 0"
    found = grades(hand_in(answered({"target": forged})))
    assert found["toy.target"][0] == 0.0
    assert found["toy.running_total"][0] == 2.0


def test_only_what_the_function_needs_is_run(hand_in):
    before = [
        "%matplotlib inline\n!echo hello\nhalf = 0.5\ntwo = half * 4",
        "import time\nwhile True:\n    time.sleep(1)",  # a training cell
        "def double(x):\n    return two * x\n\ntable = {}\ntable['x'] = 1\ntable.update(y=2)",
        "this is no python",
        "raise RuntimeError('a cell that fails')",
    ]
    body = "    return double(reward + gamma * value * (1 - done)) / table['y'] * table['x']"
    assert points(hand_in(answered({"target": body}, before=before))) == (3.0, 2.0)


def test_what_stands_below_the_check_cell_comes_too_late(hand_in):
    made = answered({"target": "    ..."})
    late = code("late", "def target(reward, done, value, gamma):\n" + RIGHT_TARGET)
    made["cells"].append(late)
    assert points(hand_in(made)) == (0.0, 2.0)


def test_a_function_that_is_missing_says_why(hand_in):
    made = answered({"target": "    return (reward"})
    del made["cells"][-2:]
    found = grades(hand_in(made))
    assert "target(" in found["toy.target"][1]
    assert "is not defined in the notebook: its cell is not valid Python" in found["toy.target"][1]
    assert found["toy.running_total"] == (0.0, found["toy.running_total"][1])
    assert "is not defined in the notebook" in found["toy.running_total"][1]


def test_a_needed_name_that_is_missing(hand_in):
    found = grades(hand_in(answered({"target": "    return reward * scale"})))
    assert "NameError: name 'scale' is not defined" in found["toy.target"][1]


def test_another_seed_draws_other_cases(hand_in):
    path = hand_in(answered({"target": "    return reward"}))
    assert grades(path, seed=1) == grades(path, seed=1) != grades(path, seed=2)


def test_packed_data_comes_back():
    import numpy as np
    import torch

    value = (1, 2.5, "a", None, True, [np.arange(3), {"k": torch.ones(2, 1)}], np.float32(2))
    back = child.unpack(json.loads(json.dumps(child.pack(value))))
    assert back[:5] == value[:5] and back[6] == 2 and isinstance(back[6], np.float32)
    assert back[5][0].tolist() == [0, 1, 2] and torch.equal(back[5][1]["k"], torch.ones(2, 1))
    with pytest.raises(TypeError):
        child.pack(object())


@pytest.mark.parametrize("data", [["array", "|O8", [1], "AAAAAAAAAAA="], ["array", "<f8", [9], ""], {}, ["x"], []])
def test_other_data_is_refused(data):
    with pytest.raises(ValueError):
        child.unpack(data)


class TestCommand:
    def test_a_row_for_each_student_and_exercise(self, hand_in, tmp_path, capsys):
        paths = [hand_in(chapter(), "ada.ipynb"), hand_in(answered({"target": "    ..."}), "bob.ipynb")]
        table = tmp_path / "grades.csv"
        assert grade_command([*map(str, paths), "--csv", str(table), "--seed", "5"]) == 0
        out, err = capsys.readouterr()
        assert "ada" in out and "5 of 5 points" in out and "2 of 5 points" in out and err == ""
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(r["student"], r["exercise"], r["points"], r["possible"]) for r in rows] == [
            ("ada", "toy.target", "3.0", "3.0"),
            ("ada", "toy.running_total", "2.0", "2.0"),
            ("bob", "toy.target", "0.0", "3.0"),
            ("bob", "toy.running_total", "2.0", "2.0"),
        ]

    def test_json(self, hand_in, capsys):
        assert grade_command([str(hand_in(chapter())), "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["points"] for row in rows] == [3.0, 2.0]

    def test_bad_files_cost_a_line_each_and_the_rest_is_graded(self, hand_in, tmp_path, capsys):
        text = tmp_path / "notes.txt"
        text.write_text("no notebook")
        bare = hand_in(notebook([code("a", "1 + 1")]), "bare.ipynb")
        good = hand_in(chapter())
        assert grade_command([str(tmp_path / "gone.ipynb"), str(text), str(bare), str(good)]) == 2
        out, err = capsys.readouterr()
        assert [line.split(": ", 2)[2].split(";")[0].split(",")[0] for line in err.splitlines()] == [
            "no such file",
            "not a notebook",
            "has no cell that checks an exercise",
        ]
        assert "5 of 5 points" in out

    @pytest.mark.parametrize("flags", [["--seed", "-1"], ["--timeout", "0"], ["--csv", "/no/such/folder/x.csv"]])
    def test_bad_flags_get_one_line(self, flags, hand_in, capsys):
        assert grade_command([str(hand_in(chapter())), *flags]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and f"{flags[0]} {flags[1]}" in err


def test_a_notebook_of_another_form_is_refused(hand_in):
    with pytest.raises(NotGradable, match="not a notebook"):
        grade_notebook(hand_in(["cells"]))


def test_the_student_is_nbgraders_folder_or_the_file():
    assert student_of("course/submitted/eva/rl-02-dqn/02-dqn.ipynb") == "eva"
    assert student_of("inbox/eva.ipynb") == "eva"
