"""Exercises of generative/02-dcgan."""

import numpy as np
import torch

from zoolib.teach.check import Case, Exercise


def _overlap_cases(rng: np.random.Generator) -> list[Case]:
    def draw(kernel, stride, words):
        row = np.zeros(40 * stride + kernel, int)  # stamp by stamp; the middle is far from both borders
        for start in range(0, 40 * stride, stride):
            row[start : start + kernel] += 1
        middle = 20 * stride
        return Case((kernel, stride), sorted(row[middle : middle + stride].tolist()), words)

    stride = int(rng.integers(2, 5))
    return [
        draw(stride * int(rng.integers(1, 4)), stride, "a kernel that the stride divides"),
        draw(stride * int(rng.integers(1, 4)) + 1, stride, "a kernel that it does not divide"),
        draw(2, int(rng.integers(3, 6)), "a kernel shorter than the stride"),
    ]


def _fold_cases(rng: np.random.Generator) -> list[Case]:
    def draw(eps, words):
        n, m = 3, 4
        weight, mean, gamma, beta = (torch.tensor(rng.normal(size=s)) for s in ((n, m), n, n, n))
        variance = torch.tensor(rng.uniform(0.5, 2, n))
        # what both layers do to nothing, and to a one at each input
        inputs = torch.cat([torch.zeros(1, m), torch.eye(m)]).double()
        out = torch.nn.functional.batch_norm(inputs @ weight.T, mean, variance, gamma, beta, eps=eps)
        return Case((weight, mean, variance, gamma, beta, eps), ((out[1:] - out[0]).T, out[0]), words)

    return [draw(0.0, "ε = 0"), draw(0.5, "a large ε")]


def _window_cases(rng: np.random.Generator) -> list[Case]:
    def draw(layers, words):
        seen = {0}  # pixels on which number 0 of the last map depends, traced back layer by layer
        for kernel, stride in reversed(layers):
            seen = {place * stride + k for place in seen for k in range(kernel)}
        return Case((layers,), max(seen) - min(seen) + 1, words)

    def layer(stride):
        return (int(rng.integers(stride, 6)), stride)

    return [
        draw([layer(1), layer(1)], "layers of stride 1"),
        draw([layer(2), layer(2), layer(2)], "layers of stride 2"),
        draw([layer(3), layer(1), layer(2)], "different strides"),
    ]


EXERCISES = {
    "overlaps": Exercise(
        points=2,
        cases=_overlap_cases,
        mistakes={
            "That is the number of stamps if it were the same everywhere; where the stride does not divide the "
            "kernel, it is not.": lambda kernel, stride: [kernel // stride] * stride,
            "A place that the last numbers of a kernel do not reach has one stamp fewer.": (
                lambda kernel, stride: [-(-kernel // stride)] * stride
            ),
            "Count for `stride` places in a row, not for `kernel` places.": (
                lambda kernel, stride: sorted(len(range(r % stride, kernel, stride)) for r in range(kernel))
            ),
            "The answer is asked in ascending order.": lambda kernel, stride: sorted(
                (len(range(r, kernel, stride)) for r in range(stride)), reverse=True
            ),
        },
    ),
    "fold": Exercise(
        points=3,
        cases=_fold_cases,
        mistakes={
            "ε stands under the root, with the variance.": lambda w, mean, var, gamma, beta, eps: (
                (gamma / (var.sqrt() + eps))[:, None] * w,
                beta - gamma / (var.sqrt() + eps) * mean,
            ),
            "The mean is divided and multiplied by γ as well: with no input the layer gives β − γ·mean / √(variance "
            "+ ε).": lambda w, mean, var, gamma, beta, eps: ((gamma / (var + eps).sqrt())[:, None] * w, beta - mean),
            "Divide by the square root of the variance, not by the variance.": (
                lambda w, mean, var, gamma, beta, eps: (
                    (gamma / (var + eps))[:, None] * w,
                    beta - gamma / (var + eps) * mean,
                )
            ),
            "Each *output* has its own γ: scale the rows of the weight, and mind how a [out] broadcasts.": (
                lambda w, mean, var, gamma, beta, eps: (
                    (gamma / (var + eps).sqrt()).mean() * w,
                    beta - gamma / (var + eps).sqrt() * mean,
                )
            ),
        },
    ),
    "window": Exercise(
        points=2,
        cases=_window_cases,
        mistakes={
            "Later kernels reach further: their numbers lie as many pixels apart as the strides before them multiply "
            "to.": lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers),
            "A layer's own stride does not widen its own window, only those of later layers.": (
                lambda layers: (
                    1
                    + sum(
                        (kernel - 1) * int(np.prod([s for _, s in layers[: i + 1]]))
                        for i, (kernel, _) in enumerate(layers)
                    )
                )
            ),
            "Strides multiply; they do not add up.": lambda layers: (
                1 + sum((kernel - 1) * max(1, sum(s for _, s in layers[:i])) for i, (kernel, _) in enumerate(layers))
            ),
            "Windows of neighbours overlap: that is the product of the kernels.": (
                lambda layers: int(np.prod([kernel for kernel, _ in layers]))
            ),
        },
    ),
}
