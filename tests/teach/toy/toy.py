"""Two exercises small enough to know every answer of."""

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def target_cases(rng):
    cases = []
    for tests, ended in (("episodes that go on", 0.0), ("episodes that end", 1.0)):
        for _ in range(2):
            reward, value = torch.from_numpy(rng.normal(size=(2, 4)).astype(np.float32))
            done = torch.full((4,), bool(ended))
            expected = [r + 0.9 * v if not ended else r for r, v in zip(reward, value, strict=True)]
            cases.append(Case((reward, done, value, 0.9), torch.stack(expected), tests))
    cases.append(Case((torch.ones(2), torch.zeros(2).bool(), torch.ones(2), 0.0), torch.ones(2), "gamma 0"))
    return cases


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
