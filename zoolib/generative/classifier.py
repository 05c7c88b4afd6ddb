"""A small classifier of images: the judge of generated ones.

Its answers say whether a sample is recognised and as what; its 128 features before the last layer are what distances
between sets of images are measured on.  They are features of our own: a Fréchet distance on them orders models, but
is no "FID", which is measured on Inception's (Heusel et al. 2017).
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from zoolib import data, pretrained
from zoolib.run import Run, RunError
from zoolib.stats import bootstrap_interval

FEATURES = 128


@dataclass(frozen=True)
class Config:
    """A convolutional classifier of images."""

    dataset: str = "mnist"
    """mnist or fashion-mnist."""
    width: int = 32
    """Channels of the first convolutions; later ones have twice as many."""
    epochs: int = 12
    """Passes over the training images."""
    batch_size: int = 128
    """Images in a step."""
    learning_rate: float = 3e-3
    """Adam's step size at the start; it falls to nothing."""
    shift: int = 2
    """Each image is moved by up to so many pixels, anew in every epoch."""

    def __post_init__(self):
        data.check_name(self.dataset)
        for name in ("width", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise RunError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise RunError(f"learning_rate must be a positive number, not {self.learning_rate}")
        if self.shift < 0:
            raise RunError(f"shift must not be negative, as {self.shift} is")


BUDGETS = {
    "quick": ("about a minute on two CPU cores", {"epochs": 3}),
    "full": ("about five minutes on two CPU cores", {}),
}


class Preset(NamedTuple):
    """A Config, and what it costs in words."""

    config: Config
    words: str


def preset(dataset: str, budget: str) -> Preset:
    """The Config for a data set and a budget.  Raises RunError or DataError for an unknown one."""
    if budget not in BUDGETS:
        raise RunError(f"no budget is called {budget!r}; there are: {', '.join(BUDGETS)}")
    expect, changes = BUDGETS[budget]
    return Preset(Config(dataset=dataset, **changes), f"budget {budget}: {expect}")


class Classifier(nn.Module):
    """Five convolutions and two linear layers.

    Images [B, C, H, W] in [-1, 1] to logits [B, classes]; `features` gives what the last layer sees, [B, 128].
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int):
        super().__init__()
        channels, height, breadth = shape
        layers = []
        for after, stride in ((width, 1), (width, 2), (width, 1), (2 * width, 2), (2 * width, 1)):
            layers += [nn.Conv2d(channels, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            channels = after
        inside = channels * ((height + 3) // 4) * ((breadth + 3) // 4)
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(inside, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] to features [B, 128]."""
        return self.trunk(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(x))


def shifted(images: torch.Tensor, by: int, generator: torch.Generator) -> torch.Tensor:
    """Each of the images [B, C, H, W] moved by up to `by` pixels in both directions; the edge is repeated."""
    n, height, width = len(images), *images.shape[2:]
    padded = F.pad(images, (by,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * by + 1, (2, n), generator=generator).to(images.device)
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    at = torch.arange(n, device=images.device)[:, None, None]
    return padded[at, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


@dataclass
class Trained:
    """What training gives."""

    network: Classifier
    config: Config
    run: Run


def train(config: Config, *, run: Run | None = None) -> Trained:
    """Train a classifier on all training images."""
    images = data.load(config.dataset)
    run = (run or Run()).begin("classifier", config)
    x, y = images.train_images.to(run.device), images.train_labels.to(run.device)
    network = make_network(config, images).to(run.device)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=True)
    total = len(y) // config.batch_size * config.epochs
    with run.track(network=network, optimizer=optimizer):
        for step in run.steps(total):
            batch = data.rows_of(step, len(y), config.batch_size, run.seed)
            optimizer.param_groups[0]["lr"] = config.learning_rate * (1 - step / total)
            moved = shifted(x[batch].float(), config.shift, data.generator(run.seed, 1, step))
            inputs = data.as_input(moved)
            loss = F.cross_entropy(network(inputs), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(loss=loss)
        if run.stopped != "interrupted":
            with run.untimed():
                run.figures["test_accuracy"] = right(network, images).mean().item() / 100
    if run.out is not None:
        header = {"algorithm": "classifier", "config": asdict(config), "seed": run.seed, **run.figures}
        pretrained.save_weights(Path(run.out) / "weights.safetensors", network.state_dict(), header)
    return Trained(network, config, run)


def make_network(config: Config, images: data.Images) -> Classifier:
    """The network of a Config."""
    return Classifier(tuple(images.test_images.shape[1:]), len(images.classes), config.width)


def right(network: Classifier, images: data.Images) -> np.ndarray:
    """100 for each test image that is put into its class, and 0 for each that is not [N]."""
    device = next(network.parameters()).device
    guess = look(network, data.as_input(images.test_images.to(device))).probabilities.argmax(1)
    return 100.0 * (guess == images.test_labels.to(device)).double().cpu().numpy()


def evaluate(state: dict[str, torch.Tensor], header: dict) -> dict:
    """Accuracy of saved weights on the test images, in per cent, with a 95 % bootstrap interval over images."""
    network, config = load(state, header)
    values = right(network, data.load(config.dataset))
    low, high = bootstrap_interval(values, resamples=1_000)
    return {"dataset": config.dataset, "images": len(values), "mean": float(values.mean()), "low": low, "high": high}


def load(state: dict[str, torch.Tensor], header: dict) -> tuple[Classifier, Config]:
    """The network and Config of saved weights.  Raises WeightsError where the two do not fit."""
    try:
        config = Config(**header["config"])
        network = make_network(config, data.load(config.dataset))
        network.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise pretrained.WeightsError(f"these weights do not fit their header: {str(error).splitlines()[0]}") from None
    return network.eval(), config


@functools.lru_cache(maxsize=2)
def judge(dataset: str) -> Classifier:
    """The classifier that ships with zoolib for a data set, "mnist" or "fashion-mnist"; its file's hash is pinned."""
    return load(*pretrained.load(f"classifier-{dataset}"))[0].to(memory_format=torch.channels_last)


class Seen(NamedTuple):
    """What a classifier sees in images: features [N, 128] and probabilities of the classes [N, classes]."""

    features: torch.Tensor
    probabilities: torch.Tensor


@torch.no_grad()
def look(network: Classifier, images: torch.Tensor, batch_size: int = 100) -> Seen:
    """What `network` sees in images [N, C, H, W] with values in [-1, 1]; its mode does not matter, nor changes."""
    training = network.training
    network.eval()
    features = torch.cat([network.features(part) for part in images.split(batch_size)])
    seen = Seen(features, network.head(features).softmax(1))
    network.train(training)
    return seen
