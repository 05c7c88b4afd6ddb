"""Check a reader's function: draw cases from a seed, compare the answers, give points and a reason.

An exercise is data (`Exercise`): how to draw cases, and the wrong answers a student plausibly writes, each
with the reason that helps.  `check` calls the reader's function in this process; `zoolib.teach.grade` calls it
in a child process and hands the outcomes to the same `judge`.  Both compare plain data only: numbers, strings,
lists, dicts and arrays (a tensor counts as its values).
"""

import contextlib
import copy
import inspect
import io
import linecache
import math
import sys
import traceback
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call of the reader's function and what it has to return.

    ``args`` and ``expected`` are plain data: numbers, bools, strings, None, lists, tuples, dicts, NumPy
    arrays and torch tensors.  ``tests`` finishes the sentence "wrong for ..."; cases with the same words earn
    one share of the points together.
    """

    args: tuple
    expected: object
    tests: str


@dataclass(frozen=True)
class Exercise:
    """A function that a reader writes.

    ``cases`` draws cases from a generator and computes the expected answers in another form than the asked
    function.  ``mistakes`` maps a reason that a student can act on to the wrong function it explains (at
    least two).  ``tolerance`` is relative and absolute at once, as in ``numpy.allclose``.
    """

    points: float
    cases: Callable[[np.random.Generator], list[Case]]
    mistakes: dict[str, Callable]
    tolerance: float = 1e-5


class Points(float):
    """Points earned: a float (nbgrader reads the bare number), with ``.reason`` and ``.possible``."""

    def __new__(cls, earned: float, possible: float = 0.0, reason: str = ""):
        points = super().__new__(cls, earned)
        points.possible = float(possible)
        points.reason = reason
        return points

    def __reduce__(self):
        return (Points, (float(self), self.possible, self.reason))


class Foreign:
    """Stands for a value that is not plain data; holds only the words that describe it."""

    def __init__(self, what: str):
        self.what = what


# Outcomes whose detail is a whole predicate ("takes (a, b), but ..."), no exception's message.
SENTENCES = ("WrongArguments", "Undefined", "Stopped")


@dataclass(frozen=True)
class Outcome:
    """What one call gave: plain data, or the exception's type and a sentence about it."""

    value: object = None
    error: str = ""  # the exception's type, "" for none
    detail: str = ""


def check(name: str, answer: Callable, seed: int = 0) -> Points:
    """Judge ``answer`` as the exercise ``name``, print the verdict, and return the points.

    Never raises (a keyboard interrupt apart) and writes nothing to stderr: nbgrader gives 0 for a graded cell
    with stderr output, and full marks for one whose result is no number.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            points, noted = _check(name, answer, seed)
    except (
        Exception,
        SystemExit,
    ) as error:  # a fault of the exercise itself must not cost the reader the page
        points, noted = Points(0.0, 0.0, f"The check of {name!r} failed: {type(error).__name__}: {error}"), ""
    with contextlib.suppress(Exception):  # a reader's own sys.stdout may be closed or unable to encode
        print(points.reason + (f"\n{noted}" if noted else ""))
    return points


def _check(name, answer, seed) -> tuple[Points, str]:
    from zoolib.teach import exercises

    try:
        exercise = exercises.find(name)
    except exercises.UnknownExercise as error:
        return Points(0.0, 0.0, str(error)), ""
    function = name.rpartition(".")[2]
    if not callable(answer):
        reason = f"check wants the function itself: check({name!r}, {function}), without calling it."
        return Points(0.0, exercise.points, reason), ""
    cases = draw(name, exercise, seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcomes = [call(answer, case.args) for case in cases]
    noted = f"(Your code warned: {one_line(str(caught[0].message))})" if caught else ""
    return judge(name, exercise, cases, outcomes), noted


def draw(name: str, exercise: Exercise, seed: int) -> list[Case]:
    """The exercise's cases for a seed; every exercise has its own stream."""
    return exercise.cases(np.random.default_rng([abs(int(seed)), zlib.crc32(name.encode())]))


# --- calling --------------------------------------------------------------------------------------


def call(function: Callable, args: tuple) -> Outcome:
    """Call a reader's function on copies of the arguments; an exception becomes part of the outcome."""
    problem = _misfit(function, args)
    if problem:
        return Outcome(None, "WrongArguments", problem)
    try:
        return Outcome(plain(function(*copy.deepcopy(args))))
    except (Exception, SystemExit) as error:
        return Outcome(None, type(error).__name__, _describe(function, error))


def _misfit(function, args) -> str:
    """What is wrong where the arguments do not fit the function's signature, else ""."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none to look at
        return ""
    try:
        signature.bind(*args)
    except TypeError:
        return f"takes ({', '.join(signature.parameters)}), but the exercise gives {len(args)} arguments"
    return ""


def _describe(function, error) -> str:
    """The exception's message and the line of the reader's code where it left."""
    try:
        message = one_line(str(error))
    except Exception:
        message = ""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is `call`
    if not frames:  # raised by the call itself: the arguments do not fit
        return message
    code = getattr(function, "__code__", None)
    own = [frame for frame in frames if code is None or frame.filename == code.co_filename] or frames[:1]
    line = one_line(own[-1].line or linecache.getline(own[-1].filename, own[-1].lineno or 0), 60)
    where = f"line {own[-1].lineno}" + (f", `{line}`" if line else "")
    return f"{message} ({where})".strip()


def one_line(text: str, limit: int = 160) -> str:
    """The text on one line, cut at ``limit`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def plain(value, depth: int = 0):
    """A copy of ``value`` as plain data: tensors become arrays, anything else unknown becomes `Foreign`."""
    if depth > 20:
        return Foreign("a list nested more than 20 deep")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if value is ...:  # a stub's body, returned
        return None
    torch = sys.modules.get("torch")  # where torch was never imported, nothing is a tensor
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().to("cpu")
        if value.is_sparse:
            value = value.to_dense()
        if value.dtype == torch.bfloat16:
            value = value.float()
        return value.resolve_conj().numpy().copy()
    if isinstance(value, np.generic | np.ndarray):
        array = np.array(value)
        return array if array.dtype.kind in "biufc" else Foreign(f"an array of dtype {array.dtype}")
    if isinstance(value, bool | int | float | str):  # a subclass: keep the bare value
        base = next(kind for kind in (bool, int, float, str) if isinstance(value, kind))
        return base(value)
    if isinstance(value, list | tuple):
        items = [plain(item, depth + 1) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {plain_key(key): plain(item, depth + 1) for key, item in value.items()}
    kind = type(value).__name__
    return Foreign(f"a value of type {kind}")


def plain_key(key):
    """Dictionary keys stay bare numbers, strings or tuples of them."""
    if isinstance(key, tuple):
        return tuple(plain_key(item) for item in key)
    return key.item() if isinstance(key, np.generic) else plain(key)


# --- comparing ------------------------------------------------------------------------------------


def difference(expected, got, tolerance: float, where: str = "") -> str:
    """ "" where ``got`` agrees with ``expected`` (both plain data); else what is wrong, as "gives ..."."""
    at = f" at {where}" if where else ""
    if isinstance(got, Foreign):
        return f"gives {got.what}{at}, but {brief(expected)} is right"
    if expected is None or isinstance(expected, str):
        same = type(expected) is type(got) and expected == got
        return "" if same else f"gives {brief(got)}{at}, but {brief(expected)} is right"
    if got is None:
        return f"returns nothing{at}, but {brief(expected)} is right"
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return f"gives {brief(got)}{at}, but a dict is right: {brief(expected)}"
        if expected.keys() != got.keys():
            return f"gives the keys {brief(list(got))}{at}, but {brief(list(expected))} are right"
        items = ((item, got[key], f"{where}[{key!r}]") for key, item in expected.items())
        return next(filter(None, (difference(e, g, tolerance, w) for e, g, w in items)), "")
    numbers, answer = as_array(expected), as_array(got)
    if numbers is None:  # a list that is not a regular block of numbers
        if not isinstance(got, list | tuple):
            return f"gives {brief(got)}{at}, but a list is right: {brief(expected)}"
        if len(expected) != len(got):
            return f"gives {len(got)} items{at}, but {len(expected)} are right: {brief(expected)}"
        items = ((e, g, f"{where}[{i}]") for i, (e, g) in enumerate(zip(expected, got, strict=True)))
        return next(filter(None, (difference(e, g, tolerance, w) for e, g, w in items)), "")
    if answer is None:
        return f"gives {brief(got)}{at}, but {brief(expected)} is right"
    return _array_difference(numbers, answer, tolerance, at)


def as_array(value) -> np.ndarray | None:
    """Numbers, arrays and regular nested lists of them as an array; None for anything else."""
    if isinstance(value, str | dict | Foreign) or value is None:
        return None
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # ragged lists
        return None
    if array.size == 0 and isinstance(value, list | tuple):
        array = array.astype(float)
    return array if array.dtype.kind in "biufc" else None


def _array_difference(expected: np.ndarray, got: np.ndarray, tolerance: float, at: str) -> str:
    if expected.shape != got.shape:
        text = f"gives shape {brief(list(got.shape))}{at}, but {brief(list(expected.shape))} is right"
        return text + _shape_hint(expected.shape, got.shape)
    kinds = {
        "b": "True or False",
        "i": "whole numbers",
        "u": "whole numbers",
        "f": "numbers",
        "c": "complex numbers",
    }
    right, kind = kinds[expected.dtype.kind], kinds[got.dtype.kind]
    # Whole numbers may stand for floats, and one float for one whole number; nothing else mixes.
    mixes = {right, kind} == {"numbers", "whole numbers"} and (right == "numbers" or expected.ndim == 0)
    if right != kind and not mixes:
        return f"gives {kind} (dtype {got.dtype}){at}, but {right} (dtype {expected.dtype}) are right"
    with np.errstate(all="ignore"):
        close = np.isclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    if close.all():
        return ""
    broken = ~np.isfinite(got) & ~close
    if broken.any() and np.isfinite(expected).all():
        first = tuple(int(i) for i in np.argwhere(broken)[0])
        place = f" at {list(first)}" if first else ""
        return f"gives {brief(got[first])}{place or at}, but every value has to be finite"
    if expected.size <= 12:
        return f"gives {brief(got)}{at}, but {brief(expected)} is right"
    first = tuple(int(i) for i in np.argwhere(~close)[0])
    wrong = f"{int((~close).sum())} of {expected.size} values are off"
    return f"gives {brief(got[first])} at {list(first)}, but {brief(expected[first])} is right ({wrong})"


def _shape_hint(right: tuple, got: tuple) -> str:
    """What usually makes this pair of shapes: a forgotten squeeze, or [B, 1] meeting [B]."""
    if len(got) == len(right) + 1 and got[-1] == 1 and got[:-1] == right:
        return (
            ": drop the last axis (`squeeze(-1)`), or the next operation with a "
            f"{brief(list(right))} broadcasts to {brief(list(right + right[-1:]))}"
        )
    if len(right) == 1 and got == right * 2:
        return f": a {brief([right[0], 1])} met a {brief([right[0]])} and broadcast; give both the same shape"
    if math.prod(got) == math.prod(right):
        return ": the values may be right, the axes are not"
    return ""


def brief(value, limit: int = 100) -> str:
    """A short text for a value: four significant digits, eight items a list, at most ``limit`` characters."""
    if isinstance(value, np.ndarray | np.generic):
        if value.size > 24:
            return f"an array of shape {list(value.shape)}"
        value = value.tolist()
    elif not isinstance(value, bool | int | float | str | list | tuple | dict | None):
        return one_line(brief(plain(value), limit), limit) if hasattr(value, "shape") else type(value).__name__
    if isinstance(value, bool) or value is None:
        text = str(value)
    elif isinstance(value, float):
        text = f"{value:.4g}"
        text += ".0" if text.lstrip("-").isdigit() else ""
    elif isinstance(value, int):
        text = str(value) if abs(value) < 10**20 else "a huge whole number"
    elif isinstance(value, list | tuple):
        items = [brief(item, limit) for item in value[:8]] + ["..."] * (len(value) > 8)
        text = ("[%s]" if isinstance(value, list) else "(%s)") % ", ".join(items)
    elif isinstance(value, dict):
        text = ", ".join(f"{brief(k)}: {brief(v, limit)}" for k, v in list(value.items())[:8])
        text = "{" + text + "}"
    else:
        text = repr(value)
    return one_line(text, limit)


# --- judging --------------------------------------------------------------------------------------


def judge(name: str, exercise: Exercise, cases: list[Case], outcomes: list[Outcome]) -> Points:
    """Points and reason for the outcomes of a function on the cases."""
    function = name.rpartition(".")[2]
    texts = [_wrong(case, outcome, exercise.tolerance) for case, outcome in zip(cases, outcomes, strict=True)]
    groups: dict[str, bool] = {}
    for case, text in zip(cases, texts, strict=True):
        groups[case.tests] = groups.get(case.tests, True) and not text
    failed = [tests for tests, right in groups.items() if not right]
    possible = float(exercise.points)
    out_of = f"{possible:g} {'point' if possible == 1 else 'points'}"
    if not failed:
        return Points(possible, possible, f"Right: {possible:g} of {out_of}.")
    earned = round(possible * (len(groups) - len(failed)) / len(groups), 4)
    score = f"{earned:g} of {out_of}. "
    unwritten = all(outcome.error == "NotImplementedError" for outcome in outcomes) or (
        all(outcome.value is None and not outcome.error for outcome in outcomes)
        and any(case.expected is not None for case in cases)
    )
    if unwritten:
        reason = f"{function} is not written yet: it returns nothing (a function needs a `return`)."
        return Points(0.0, possible, f"0 of {out_of}. {reason}")
    which = f"Wrong for {', and for '.join(failed)}. "
    mistake = _mistake(exercise, cases, outcomes)
    if mistake:
        return Points(earned, possible, score + which + mistake.rstrip(". ") + ".")
    i = next(i for i, text in enumerate(texts) if text)
    shown = ", ".join(brief(plain(arg), 60) for arg in cases[i].args)
    return Points(earned, possible, f"{score}{which}{function}({one_line(shown, 200)}) {texts[i]}.")


def _wrong(case: Case, outcome: Outcome, tolerance: float) -> str:
    """ "" for a right outcome; else what the call did, as "gives ..." or "stops with ..."."""
    if outcome.error == "SystemExit":
        return f"calls exit: {outcome.detail}"
    if outcome.error in SENTENCES:
        return outcome.detail
    if outcome.error:
        return f"stops with {outcome.error}: {outcome.detail}".rstrip(": ")
    return difference(plain(case.expected), outcome.value, tolerance)


def _mistake(exercise: Exercise, cases: list[Case], outcomes: list[Outcome]) -> str:
    """The first listed mistake that does exactly what the answer did, on every case; "" for none."""
    for reason, wrong in exercise.mistakes.items():
        for case, outcome in zip(cases, outcomes, strict=True):
            same = call(wrong, case.args)
            if same.error != outcome.error or isinstance(same.value, Foreign):
                break
            if not outcome.error and difference(same.value, outcome.value, exercise.tolerance):
                break
        else:
            return reason
    return ""
