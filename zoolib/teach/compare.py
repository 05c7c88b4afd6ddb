"""A chapter's "Check it" cell: the reader's function beside the library's, on the same inputs."""

import os
from collections.abc import Callable

import torch


def compare(mine: Callable, reference: Callable, *cases: tuple, tolerance: float = 1e-6) -> bool:
    """Whether `mine` gives what `reference` gives in every case (a tuple of arguments); prints the verdict.

    A reader who experiments is told by how much the two differ and goes on.  Where the environment says CI=true a
    difference raises AssertionError, because there the chapter must show the paper's algorithm.
    """
    worst = 0.0
    with torch.no_grad():
        for case in cases:
            a, b = (torch.as_tensor(function(*case), dtype=torch.float64) for function in (mine, reference))
            if a.shape != b.shape:
                return _differ(f"gives shape {tuple(a.shape)}, the paper's {tuple(b.shape)}")
            difference = float((a - b).abs().max())
            worst = worst if difference <= worst else difference  # a nan is the worst there is
    if not worst <= tolerance:
        return _differ(f"differs from the paper's, by up to {worst:.3g}")
    print(f"the same as zoolib's on {len(cases)} input{'s' * (len(cases) != 1)}")
    return True


def _differ(how: str) -> bool:
    if os.environ.get("CI") == "true":
        raise AssertionError(f"the chapter's function {how}")
    print(f"your function {how}: it is an experiment now, and what you train with is yours")
    return False
