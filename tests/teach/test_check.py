"""check(): right points and the right sentence, whatever a student's function does."""

import math
import sys
import warnings

import numpy as np
import pytest
import torch

from zoolib.teach import Points, check, exercises
from zoolib.teach.check import Case, Exercise, difference, plain


def target(reward, done, value, gamma):
    return reward + gamma * value * (1 - done)


def told(capsys, points):
    """What was printed; nothing may reach stderr, and it has to be the reason."""
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(points.reason)
    return out


@pytest.mark.usefixtures("toy")
class TestVerdicts:
    def verdict(self, answer, capsys, name="toy.target", seed=0):
        points = check(name, answer, seed)
        assert isinstance(points, float) and repr(points) == repr(float(points))
        told(capsys, points)
        return points

    def test_right(self, capsys):
        points = self.verdict(target, capsys)
        assert (points, points.possible, points.reason) == (3.0, 3.0, "Right: 3 of 3 points.")

    @pytest.mark.parametrize("grad", [False, True])
    def test_a_tensor_counts_by_its_values(self, grad, capsys):
        weight = torch.ones(1, requires_grad=grad)
        assert self.verdict(lambda r, d, v, g: torch.from_numpy(target(r, d, v, g)) * weight, capsys) == 3.0

    def test_part_of_the_points_and_the_mistake_by_name(self, capsys):
        points = self.verdict(lambda r, d, v, g: r + v * g, capsys)
        assert points == 2.0
        assert points.reason == (
            "2 of 3 points. Wrong for episodes that end. "
            "The value behind the last step is counted: multiply it by (1 - done)."
        )

    def test_an_unlisted_mistake_shows_input_answer_and_right_answer(self, capsys):
        points = self.verdict(lambda values: [1.0 for _ in values], capsys, "toy.running_total")
        assert points == 1.0
        case = exercises.find("toy.running_total").cases
        assert "Wrong for some values. running_total([" in points.reason
        assert "gives [1.0, 1.0, 1.0, 1.0, 1.0], but [" in points.reason and case

    def test_a_column_against_a_row(self, capsys):
        points = self.verdict(lambda r, d, v, g: target(r, d, v, g)[:, None], capsys)
        assert points == 0.0
        assert "gives shape [4, 1], but [4] is right: drop the last axis (`squeeze(-1)`)" in points.reason

    def test_a_column_that_broadcast(self, capsys):
        points = self.verdict(lambda r, d, v, g: target(r, d, v, g)[:, None] + 0 * r, capsys)
        assert "gives shape [4, 4], but [4] is right: a [4, 1] met a [4] and broadcast" in points.reason

    def test_the_seed_decides_the_cases(self):
        def asked(seed):
            seen = []
            check("toy.running_total", lambda values: seen.append(values), seed)
            return seen

        assert asked(1) == asked(1) != asked(2)

    @pytest.mark.parametrize("nothing", [None, ...])
    def test_a_stub_gets_nothing(self, nothing, capsys):
        points = self.verdict(lambda r, d, v, g: nothing, capsys)
        assert points == 0.0 and "target is not written yet" in points.reason

    def test_nbgraders_own_stub_gets_nothing(self, capsys):
        def stub(reward, done, value, gamma):
            raise NotImplementedError()

        points = self.verdict(stub, capsys)
        assert points == 0.0 and "target is not written yet" in points.reason

    def test_an_exception_names_its_line(self, capsys):
        def answer(values):
            total = [values[0]]
            return total + [values[99]]

        points = self.verdict(answer, capsys, "toy.running_total")
        line = answer.__code__.co_firstlineno + 2
        assert "stops with IndexError: list index out of range" in points.reason
        assert f"(line {line}, `return total + [values[99]]`)" in points.reason

    def test_the_wrong_number_of_arguments(self, capsys):
        points = self.verdict(lambda reward, gamma: reward, capsys)
        assert points == 0.0 and "takes (reward, gamma), but the exercise gives 4 arguments" in points.reason

    def test_exit_is_caught(self, capsys):
        points = self.verdict(lambda values: sys.exit(3), capsys, "toy.running_total")
        assert points == 0.0 and "calls exit" in points.reason

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_values_have_to_be_finite(self, bad, capsys):
        points = self.verdict(lambda r, d, v, g: target(r, d, v, g) * bad, capsys)
        assert points == 0.0 and "every value has to be finite" in points.reason

    def test_the_arguments_cannot_be_changed(self, capsys):
        def answer(reward, done, value, gamma):
            wrong = reward + gamma * value
            for array in (reward, done, value):
                array.fill(0)
            return wrong

        # Judged on what it was given, not on what it left behind.
        assert "multiply it by (1 - done)" in self.verdict(answer, capsys).reason

    def test_one_buffer_for_all_answers(self, capsys):
        buffer = []

        def answer(values):
            buffer[:] = [sum(values[: i + 1]) for i in range(len(values))]
            return buffer

        assert self.verdict(answer, capsys, "toy.running_total") == 2.0

    def test_a_warning_costs_nothing_and_is_passed_on(self, capsys):
        def answer(reward, done, value, gamma):
            warnings.warn("old habits", stacklevel=1)
            print("noise", file=sys.stderr)
            return target(reward, done, value, gamma)

        points = check("toy.target", answer)
        assert points == 3.0 and "old habits" in told(capsys, points)

    def test_a_called_function_is_not_a_function(self, capsys):
        points = self.verdict(torch.ones(4), capsys)
        assert points == 0.0
        assert "check wants the function itself: check('toy.target', target), without calling it" in points.reason

    @pytest.mark.parametrize(
        ("wrong", "near"), [("toy.tarjet", "toy.target"), ("target", "toy.target"), ("dnq.target", "toy.target")]
    )
    def test_a_wrong_name_gets_the_nearest(self, wrong, near, capsys):
        points = self.verdict(target, capsys, wrong)
        assert (points, points.possible) == (0.0, 0.0)
        assert points.reason.startswith(f"No exercise is called {wrong!r}; the nearest: ") and near in points.reason

    @pytest.mark.parametrize(
        "odd", [object(), lambda: 1, {1, 2}, (i for i in range(3)), "text", {"a": 1}, [None], 1 + 2j, 10**400]
    )
    def test_any_answer_gets_a_sentence(self, odd, capsys):
        points = self.verdict(lambda r, d, v, g: odd, capsys)
        assert points == 0.0 and "Wrong for episodes that go on" in points.reason
        assert len(points.reason) < 600

    def test_a_list_inside_itself(self, capsys):
        loop = []
        loop.append(loop)
        assert self.verdict(lambda r, d, v, g: loop, capsys) == 0.0

    def test_a_fault_of_the_exercise_costs_the_reader_no_page(self, capsys, monkeypatch):
        broken = Exercise(1, lambda rng: 1 / 0, {})
        monkeypatch.setattr(exercises, "find", lambda name: broken)
        points = self.verdict(target, capsys)
        assert points == 0.0 and "The check of 'toy.target' failed: ZeroDivisionError" in points.reason


class TestDifference:
    @pytest.mark.parametrize(
        ("expected", "got"),
        [
            (1.0, 1.0 + 1e-7),
            (2.0, 2),
            (3, np.float64(3.0)),
            (True, np.bool_(True)),
            (torch.tensor([1.0, 2.0]), [1, 2]),
            (np.array([1, 2]), (1, 2)),
            ([1.0, [2.0]], [1.0, [2.0]]),
            ({"a": torch.ones(2)}, {"a": np.ones(2)}),
            (np.array([-np.inf, 1.0]), torch.tensor([-math.inf, 1.0])),
            (np.array([np.nan, 1.0]), [math.nan, 1.0]),
            (None, None),
            ("left", "left"),
            (torch.ones(2), torch.ones(2, dtype=torch.bfloat16)),
            (np.zeros(0), []),
        ],
    )
    def test_agrees(self, expected, got):
        assert difference(plain(expected), plain(got), 1e-5) == ""

    @pytest.mark.parametrize(
        ("expected", "got", "says"),
        [
            (1.0, 1.1, "gives 1.1, but 1.0 is right"),
            (1.0, None, "returns nothing, but 1.0 is right"),
            (True, 1, "gives whole numbers"),
            (np.array([True]), np.array([1.0]), "but True or False"),
            (np.array([1, 2]), np.array([1.0, 2.0]), "gives numbers (dtype float64), but whole numbers"),
            (np.array([1.0]), np.array([True]), "gives True or False"),
            (1.0, [1.0], "gives shape [1], but [] is right"),
            ([1.0, [2.0]], [1.0], "gives 1 items, but 2 are right"),
            ([1.0, [2.0]], [1.0, [3.0]], "gives [3.0] at [1], but [2.0] is right"),
            ({"a": 1}, {"b": 1}, "gives the keys ['b'], but ['a'] are right"),
            ({"a": 1}, {"a": 2}, "gives 2 at ['a'], but 1 is right"),
            (np.zeros((2, 3)), np.zeros((3, 2)), "the values may be right, the axes are not"),
            (np.zeros(50), np.eye(1, 50, 7)[0], "gives 1.0 at [7], but 0.0 is right (1 of 50 values are off)"),
            ("left", "right", "gives 'right', but 'left' is right"),
            (np.array([-np.inf, 1.0]), np.array([0.0, 1.0]), "gives [0.0, 1.0], but [-inf, 1.0] is right"),
        ],
    )
    def test_says_what_is_wrong(self, expected, got, says):
        assert says in difference(plain(expected), plain(got), 1e-5)


def test_cases_with_the_same_words_share_points():
    def cases(rng):
        return [Case((i,), i, "ones" if i < 3 else "big ones") for i in range(6)]

    from zoolib.teach.check import call, judge

    exercise = Exercise(2, cases, {})
    drawn = cases(None)
    points = judge("toy.same", exercise, drawn, [call(lambda i: i if i != 1 else 7, c.args) for c in drawn])
    assert points == 1.0 and points.reason.startswith("1 of 2 points. Wrong for ones. same(1) gives 7, but 1 is")


def test_points_survive_a_pickle():
    import pickle

    points = pickle.loads(pickle.dumps(Points(1.5, 2, "Almost.")))
    assert (points, points.possible, points.reason) == (1.5, 2.0, "Almost.")
