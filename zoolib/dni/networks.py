"""The networks of the DNI part, as stages: a list of modules whose composition is the network."""

from __future__ import annotations

import torch
from torch import nn


def make_stages(network: str, input_shape: tuple[int, int, int], classes: int, layers: int, width: int, splits: int):
    """A network cut in `splits` places into splits + 1 stages of about equal work.

    network: "mlp", layers of `width` units, or "cnn", 3 x 3 convolutions of `width` channels, the first and the second
    of which halve the image.  layers: how many layers have weights, the last one, to the classes, included.
    Each layer but the last is followed by batch normalisation and ReLU, as in Jaderberg et al. 2017.
    Returns the stages and the shape of what each sends up.
    """
    blocks, work = (mlp_blocks if network == "mlp" else cnn_blocks)(input_shape, classes, layers, width)
    cuts = balanced_cuts(work, splits + 1)
    parts = [nn.Sequential(*blocks[a:b]) for a, b in zip([0, *cuts], [*cuts, len(blocks)], strict=True)]
    shapes = []
    with torch.no_grad():
        h = torch.zeros(2, *input_shape)
        for part in parts:
            h = part.eval()(h)
            shapes.append(tuple(h.shape[1:]))
            part.train()
    return parts, shapes


def mlp_blocks(input_shape, classes: int, layers: int, width: int) -> tuple[list[nn.Module], list[float]]:
    """Blocks of a fully connected network, and the work of each: products a sample in a forward and backward pass."""
    c, h, w = input_shape
    sizes = [c * h * w, *[width] * (layers - 1), classes]
    blocks, work = [], []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
        first, last = i == 0, i == layers - 1
        parts = ([nn.Flatten()] if first else []) + [nn.Linear(a, b, bias=last)]
        blocks.append(nn.Sequential(*parts, *([] if last else [nn.BatchNorm1d(b), nn.ReLU()])))
        work.append(a * b * (2 if first else 3))  # the first layer needs no gradient of its input
    return blocks, work


def cnn_blocks(input_shape, classes: int, layers: int, width: int) -> tuple[list[nn.Module], list[float]]:
    """Blocks of a convolutional network, and the work of each."""
    c, h, w = input_shape
    blocks, work = [], []
    for i in range(layers - 1):
        stride = 2 if i in (0, 1) else 1
        h, w = (h + stride - 1) // stride, (w + stride - 1) // stride
        conv = nn.Conv2d(c, width, 3, stride, padding=1, bias=False)
        blocks.append(nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU()))
        work.append(9 * c * width * h * w * (2 if i == 0 else 3))
        c = width
    blocks.append(nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, classes)))
    return blocks, [*work, 3 * c * h * w * classes]


def balanced_cuts(work: list[float], parts: int) -> list[int]:
    """Where to cut a row of blocks into `parts` so that the heaviest part is as light as can be.

    Returns the index of each part's first block but the first's.  Among equals the earliest cuts are taken.
    """

    def best(start: int, parts: int) -> tuple[float, list[int]]:
        if parts == 1:
            return sum(work[start:]), []
        options = []
        for cut in range(start + 1, len(work) - parts + 2):
            rest, cuts = best(cut, parts - 1)
            options.append((max(sum(work[start:cut]), rest), [cut, *cuts]))
        return min(options)

    return best(0, parts)[1]
