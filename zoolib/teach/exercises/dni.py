"""Exercises of dni/01-dni."""

import numpy as np
import torch
import torch.nn.functional as F

from zoolib.teach.check import Case, Exercise


def _above(v, h, y):
    return (h @ v.T - y).pow(2).sum() / 2


def _exact_cases(rng: np.random.Generator) -> list[Case]:
    def draw(outputs, units, words):
        v = torch.tensor(rng.normal(size=(outputs, units)), dtype=torch.float64)

        def delta(h, y):  # by automatic differentiation, one unit vector at a time
            h = h.clone().requires_grad_()
            with torch.enable_grad():
                return torch.autograd.grad(_above(v, h, y), h)[0]

        no_h, no_y = torch.zeros(units, dtype=v.dtype), torch.zeros(outputs, dtype=v.dtype)
        a = torch.stack([delta(e, no_y) for e in torch.eye(units, dtype=v.dtype)], dim=1)
        b = torch.stack([delta(no_h, e) for e in torch.eye(outputs, dtype=v.dtype)], dim=1)
        return Case((v,), (a, b), words)

    return [
        draw(1, 1, "one number up, one number out"),
        draw(3, 5, "fewer outputs than units"),
        draw(4, 2, "more outputs than units"),
    ]


def _blind_cases(rng: np.random.Generator) -> list[Case]:
    def draw(batch, classes, units, even, words):
        h, v = (torch.tensor(rng.normal(size=s), dtype=torch.float64) for s in ((batch, units), (classes, units)))
        probs = torch.tensor(rng.dirichlet(np.full(classes, even), size=batch))
        deltas = []
        for y in range(classes):  # the gradient of every label, by automatic differentiation
            at = h.clone().requires_grad_()
            with torch.enable_grad():
                loss = F.cross_entropy(at @ v.T, torch.full((batch,), y), reduction="sum")
                deltas.append(torch.autograd.grad(loss, at)[0])
        deltas = torch.stack(deltas, dim=1)  # [batch, classes, units]
        guess = (probs[:, :, None] * deltas).sum(1, keepdim=True)
        return Case((v, probs), (probs * (deltas - guess).pow(2).sum(2)).sum(1), words)

    return [
        draw(4, 2, 3, 1.0, "two classes"),
        draw(5, 6, 4, 0.2, "labels that are nearly certain"),
        draw(3, 4, 6, 5.0, "labels that are nearly even"),
    ]


def _label_variance(v, probs):
    return probs @ v.pow(2).sum(1) - (probs @ v).pow(2).sum(1)


def _time_cases(rng: np.random.Generator) -> list[Case]:
    def draw(seconds, parts, words):
        free = np.zeros(len(seconds))  # when each stage has finished what it has
        for _ in range(parts):
            ready = 0.0
            for k, each in enumerate(seconds):
                free[k] = ready = max(ready, free[k]) + each / parts
        return Case(([float(s) for s in seconds], parts), float(ready), words)

    return [
        draw(np.full(4, rng.uniform(1, 3)), int(rng.integers(2, 9)), "stages of equal work"),
        draw(rng.uniform(1, 4, 3), int(rng.integers(2, 9)), "stages of unequal work"),
        draw(rng.uniform(1, 4, 5), 1, "a batch in one part"),
    ]


EXERCISES = {
    "exact_synthesiser": Exercise(
        points=2,
        cases=_exact_cases,
        mistakes={
            "A should act on h [units], so it is [units, units]: V transposed comes first.": (
                lambda v: (v @ v.T, -v.T)
            ),
            "The factor ½ in the loss cancels the 2 of the square.": lambda v: (2 * v.T @ v, -2 * v.T),
            "The sign of B is turned: take the derivative of ½‖Vh − y‖² once more, with h = 0.": lambda v: (
                v.T @ v,
                v.T,
            ),
            "B takes y [outputs] to δ [units], so V has to be transposed.": lambda v: (v.T @ v, -v),
            "That is the gradient of the loss with respect to the output Vh; one more chain-rule step, through V, "
            "leads to h.": lambda v: (v, -torch.eye(len(v), dtype=v.dtype)),
        },
    ),
    "blind_error": Exercise(
        points=2,
        cases=_blind_cases,
        mistakes={
            "That is the mean squared length of the part that depends on the label. The guess takes away its mean: "
            "subtract the squared length of that.": lambda v, probs: probs @ v.pow(2).sum(1),
            "That is the squared length of the mean. The error is what varies around it.": (
                lambda v, probs: (probs @ v).pow(2).sum(1)
            ),
            "That is the variance of the label as a one-hot vector. Through V it becomes one of gradients: the rows "
            "of V have lengths of their own.": lambda v, probs: 1 - probs.pow(2).sum(1),
            "The variances of single labels are not all: when one label comes, the others do not. Use the variance of "
            "the row V[y] as a whole.": lambda v, probs: (probs * (1 - probs)) @ v.pow(2).sum(1),
            "You took the mean over units. The squared length of a gradient is a sum over them.": lambda v, probs: (
                _label_variance(v, probs) / v.shape[1]
            ),
        },
    ),
    "pipeline_time": Exercise(
        points=3,
        cases=_time_cases,
        mistakes={
            "That is one worker's time: while a stage works on one part, the stage below can work on the next.": (
                lambda seconds, parts: sum(seconds)
            ),
            "That is the time of the slowest stage alone. The pipeline must first fill: a part has to pass all the "
            "other stages too.": lambda seconds, parts: max(seconds),
            "That holds for stages of equal work. Parts queue up in front of the slowest stage; in front of the stages "
            "after it nothing waits.": lambda seconds, parts: (
                (len(seconds) + parts - 1) * sum(seconds) / len(seconds) / parts
            ),
            "All parts cannot be in one stage at once: a stage takes up a part only when it is done with the one "
            "before.": lambda seconds, parts: sum(seconds) / parts,
            "A part is 1 / parts of a batch, and so is the time that it takes.": lambda seconds, parts: (
                sum(seconds) + (parts - 1) * max(seconds)
            ),
            "One part too many: the first one is in the time that filling takes.": lambda seconds, parts: (
                sum(seconds) / parts + max(seconds)
            ),
        },
    ),
}
