"""Two exercises small enough to know every answer of."""

import numpy as np

from zoolib.teach.check import Case, Exercise


def target_cases(rng):
    cases = []
    for tests, ended in (("episodes that go on", False), ("episodes that end", True)):
        for _ in range(2):
            reward, value = rng.normal(size=(2, 4))
            expected = [r if ended else r + 0.9 * v for r, v in zip(reward, value, strict=True)]
            cases.append(Case((reward, np.full(4, ended), value, 0.9), np.array(expected), tests))
    return [*cases, Case((np.ones(2), np.zeros(2, bool), np.ones(2), 0.0), np.ones(2), "gamma 0")]


def total_cases(rng):
    some = [
        Case((values,), [sum(values[: i + 1]) for i in range(5)], "some values")
        for values in rng.normal(size=(3, 5)).tolist()
    ]
    return some + [Case(([],), [], "an empty list")]


EXERCISES = {
    "target": Exercise(
        3,
        target_cases,
        {
            "The value behind the last step is counted: multiply it by (1 - done)": lambda r, d, v, g: r + g * v,
            "Gamma is missing before the value": lambda r, d, v, g: r + v * ~d,
        },
    ),
    "running_total": Exercise(
        2,
        total_cases,
        {
            "The total of all values is given at every place": lambda values: [sum(values)] * len(values),
            "The first value is left out": lambda values: [sum(values[1 : i + 1]) for i in range(len(values))],
        },
    ),
}
