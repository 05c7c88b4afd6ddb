"""MADE: a network that gives the probability of an image, one pixel after another, in a single pass.

Germain et al. 2015, "MADE: masked autoencoder for distribution estimation" (ICML).  Masks on the weights of an
autoencoder see to it that output d depends only on the pixels that come before d in an ordering; so its outputs are the
conditional probabilities p(x_d = 1 | x_<d), and their product is a proper probability of the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from zoolib import data
from zoolib.pretrained import WeightsError, save_weights
from zoolib.run import Run, RunError
from zoolib.stats import bootstrap_interval

VALIDATION = 10_000  # the last images of the training set: 50,000 to learn from, as in the paper


@dataclass(frozen=True)
class Config:
    """A masked autoencoder of binary images."""

    dataset: str = "mnist"
    """mnist, fashion-mnist or a folder of grey images: their pixels are made black or white."""
    hidden: tuple[int, ...] = (1000,)
    """Units in each hidden layer."""
    direct: bool = True
    """Also connect each output with the inputs before it, past the hidden layers."""
    orderings: int = 1
    """Orderings of the pixels that are learned in turns; with one, that of reading."""
    mask_sets: int = 1
    """Draws of the hidden units' degrees that are learned in turns, for each ordering."""
    redraw: bool = False
    """Make the training images black and white anew in each epoch, instead of once."""
    epochs: int = 6
    """Passes over the training images."""
    batch_size: int = 200
    """Images in a step."""
    learning_rate: float = 4e-3
    """Adam's step size at the start; it falls to nothing."""
    average: float = 0.99
    """What of the averaged weights is kept in a step; 0 keeps no average."""
    validate_every: int = 250
    """Steps between two looks at images held back from training; the best weights are kept. 0 looks at the end."""

    def __post_init__(self):
        data.check_name(self.dataset)
        for name in ("orderings", "mask_sets", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise RunError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.hidden or any(units < 1 for units in self.hidden):
            raise RunError(f"hidden must hold numbers of units of at least 1, not {self.hidden}")
        if not 0 < self.learning_rate < math.inf:
            raise RunError(f"learning_rate must be a positive number, not {self.learning_rate}")
        if not 0 <= self.average < 1:
            raise RunError(f"average must lie between 0 and 1 (1 excluded), not {self.average}")
        if self.validate_every < 0:
            raise RunError(f"validate_every must not be negative, as {self.validate_every} is")


BUDGETS = {
    "quick": ("about a minute on two CPU threads", {}),
    "full": (
        "about a quarter of an hour on two CPU threads",
        {"hidden": (800,), "redraw": True, "epochs": 80, "average": 0.999},  # 3.7 MB in half precision
    ),
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


# ------------------------------------------------------------ the algorithm


def degrees(inputs: int, hidden: tuple[int, ...], ordering: torch.Tensor, seed: int) -> list[torch.Tensor]:
    """The degree m(k) of each unit, layer by layer: of the input d its place in the ordering, 1 to D, and of a hidden
    unit how many places it may see, drawn between the smallest degree of the layer below and D − 1.

    Germain et al. 2015, section 4.  ordering: [D], the place of each input.  Returns [D], [K1], [K2], ...
    """
    generator, layers = data.generator(seed, 5), [ordering]
    for units in hidden:
        low = min(int(layers[-1].min()), inputs - 1)
        layers.append(torch.randint(low, inputs, (units,), generator=generator) if inputs > 1 else torch.ones(units))
    return layers


def masks(layers: list[torch.Tensor]) -> list[torch.Tensor]:
    """The mask of each layer's weights [out, in], from the degrees of its units: 1 where a connection may stay.

    Hidden units see what has at most their degree (equation 8), outputs only what has less (equation 9).
    """
    hidden = [after[:, None] >= before[None, :] for before, after in zip(layers, layers[1:], strict=False)]
    return [mask.float() for mask in [*hidden, layers[0][:, None] > layers[-1][None, :]]]


class MADE(nn.Module):
    """Binary images x [B, D] to the logits of p(x_d = 1 | x_<d), [B, D]."""

    def __init__(self, inputs: int, config: Config, seed: int = 0, make_masks: Callable = masks):
        super().__init__()
        self.inputs, self.config, self.seed, self.make_masks = inputs, config, seed, make_masks
        sizes = [inputs, *config.hidden, inputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.direct = nn.Linear(inputs, inputs, bias=False) if config.direct else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)
        self.use(0)

    def use(self, number: int) -> None:
        """Take the masks with this number: its ordering, and its draw of the hidden units' degrees."""
        order, draw = divmod(number % self.mask_count, self.config.mask_sets)
        self.ordering = torch.arange(1, self.inputs + 1)
        if order:
            self.ordering = torch.randperm(self.inputs, generator=data.generator(self.seed, 6, order)) + 1
        layers = degrees(self.inputs, self.config.hidden, self.ordering, self.seed * 1_000 + number % self.mask_count)
        weight = self.layers[0].weight
        self.masks = [mask.to(weight) for mask in self.make_masks(layers)]
        self.direct_mask = (self.ordering[:, None] > self.ordering[None, :]).to(weight)

    @property
    def mask_count(self) -> int:
        """How many sets of masks there are."""
        return self.config.orderings * self.config.mask_sets

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x
        for layer, mask in zip(self.layers[:-1], self.masks, strict=False):
            h = F.relu(F.linear(h, layer.weight * mask, layer.bias))
        logits = F.linear(h, self.layers[-1].weight * self.masks[-1], self.layers[-1].bias)
        return logits if self.direct is None else logits + F.linear(x, self.direct.weight * self.direct_mask)


def nll(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """−log p(x) in nats, a number an image: the cross-entropy summed over pixels (equation 4).  [B, D] twice to [B]."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


@torch.no_grad()
def log_likelihood(model: MADE, x: torch.Tensor, batch_size: int = 250) -> torch.Tensor:
    """log p(x) in nats [N] of binary images [N, D], where p is the mean of the probabilities under all sets of masks.

    The mean of probabilities is one itself; a mean of logits would sum to anything (Germain et al. 2015, sec. 4.2).
    """
    each = []
    for number in range(model.mask_count):
        model.use(number)
        each.append(torch.cat([-nll(model(part), part) for part in x.split(batch_size)]))
    model.use(0)
    return torch.stack(each).logsumexp(0) - math.log(model.mask_count)


@torch.no_grad()
def sample(model: MADE, n: int, seed: int = 0, *, known: torch.Tensor | None = None, given: torch.Tensor | None = None):
    """n binary images [n, D], drawn pixel by pixel in the ordering of the masks in use.  The same seed gives the same.

    known: bool [D], pixels that are not drawn but taken from given [n, D].  A pixel that comes before a known one in
    the ordering is drawn without having seen it.
    """
    weight = model.layers[0].weight
    x = torch.zeros(n, model.inputs).to(weight)
    if given is not None:
        x = torch.where(known.to(x.device), given.to(x), x)
    chance = torch.rand(n, model.inputs, generator=data.generator(seed, 7)).to(weight)
    for d in model.ordering.argsort().tolist():
        if known is None or not known[d]:
            x[:, d] = (chance[:, d] < model(x)[:, d].sigmoid()).to(x.dtype)
    return x


# ------------------------------------------------------------------- train


def binary(images: torch.Tensor, *seed: int) -> torch.Tensor:
    """uint8 images [N, C, H, W] made black or white: each pixel is 1 with its grey value's probability.  float [N, D].

    The draw is a seeded one of our own, as the papers' own files of binarised digits are another.
    """
    grey = images.flatten(1).float() / 255
    chance = torch.rand(grey.shape, generator=data.generator(*seed)).to(grey.device)
    return (chance < grey).float()


@dataclass
class Trained:
    """What training gives."""

    model: MADE
    config: Config
    run: Run


def train(config: Config, *, loss: Callable = nll, make_masks: Callable = masks, run: Run | None = None) -> Trained:
    """Train a MADE on images made black and white.

    loss(logits, x) gives a number an image [B] from [B, D] twice: see `nll`.  make_masks(degrees) gives the masks of
    the weights: see `masks`.
    """
    images = data.load(config.dataset)
    run = (run or Run()).begin("made", config, hooks={"loss": loss, "make_masks": make_masks})
    grey = images.train_images.to(run.device)
    held_out = binary(grey[-VALIDATION:], 8)
    grey = grey[:-VALIDATION]
    x, drawn = binary(grey, 9, 0), 0
    model = MADE(x.shape[1], config, run.seed, make_masks).to(run.device)
    model.use(0)
    average = Average(model, config.average)
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate, fused=True)
    total = len(x) // config.batch_size * config.epochs
    with run.track(model=model, average=average, optimizer=optimizer):
        for step in run.steps(total):
            epoch = step * config.batch_size // len(x)
            if config.redraw and drawn != epoch:
                x, drawn = binary(grey, 9, epoch), epoch
            if model.mask_count > 1:
                model.use(step)
            optimizer.param_groups[0]["lr"] = config.learning_rate * (1 - step / total)
            xs = x[data.rows_of(step, len(x), config.batch_size, run.seed).to(x.device)]
            value = loss(model(xs), xs)
            if value.shape != (len(xs),):
                raise RunError(f"the loss must be one number an image, [{len(xs)}]; it has shape {list(value.shape)}")
            optimizer.zero_grad()
            value.mean().backward()
            optimizer.step()
            average.move(step)
            run.log(loss=value)
            if step + 1 == total or config.validate_every and (step + 1) % config.validate_every == 0:
                with run.untimed():
                    run.log(validation_nll=average.validate(held_out))
        if run.stopped != "interrupted":  # an interrupted one goes on with the weights that it has
            with run.untimed():
                average.give()
                run.figures |= {"test_nll": -log_likelihood(model, test(images, run.device)).mean().item()}
                run.figures["images_per_second"] = round(run.step * config.batch_size / max(run.seconds, 1e-9))
    if run.out is not None:
        header = {
            "algorithm": "made",
            "config": asdict(config),
            "inputs": model.inputs,
            "seed": run.seed,
            **run.figures,
        }
        save_weights(Path(run.out) / "weights.safetensors", model.state_dict(), header)
    return Trained(model, config, run)


def test(images: data.Images, device: torch.device | str = "cpu") -> torch.Tensor:
    """The test images, made black and white once and for all [N, D]."""
    return binary(images.test_images.to(device), 10)


class Average:
    """A running average of a model's weights (without `keep`, the weights themselves), and the best so far."""

    def __init__(self, model: MADE, keep: float):
        self.model, self.keep = model, keep
        self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self.best: dict = {"nll": math.inf, "weights": {}}

    @torch.no_grad()
    def move(self, step: int) -> None:
        """weights ← keep · weights + (1 − keep) · the model's; at the start they follow faster."""
        keep = min(self.keep, (1 + step) / (10 + step))
        for name, tensor in self.model.state_dict().items():
            self.weights[name].lerp_(tensor, 1 - keep)

    def validate(self, x: torch.Tensor) -> float:
        """−log p of held-out images in nats, under the masks in use; the weights are kept if they are the best."""
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.weights)
        with torch.no_grad():
            value = torch.cat([nll(self.model(part), part) for part in x.split(250)]).mean().item()
        if value < self.best["nll"]:
            self.best = {"nll": value, "weights": {name: t.clone() for name, t in self.weights.items()}}
        self.model.load_state_dict(own)
        return value

    def give(self) -> None:
        """Put the best weights into the model."""
        if self.best["weights"]:
            self.model.load_state_dict(self.best["weights"])

    def state_dict(self) -> dict:
        return {"weights": self.weights, "best": self.best}

    def load_state_dict(self, state: dict) -> None:
        self.weights, self.best = state["weights"], state["best"]


def load(state: dict[str, torch.Tensor], header: dict) -> tuple[MADE, Config]:
    """The model and Config of saved weights.  Raises WeightsError where the two do not fit."""
    try:
        known = {f.name for f in fields(Config)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in header["config"].items() if k in known}
        model = MADE(header["inputs"], Config(**values), header["seed"])
        model.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their header: {str(error).splitlines()[0]}") from None
    return model.eval(), model.config


def evaluate(state: dict[str, torch.Tensor], header: dict) -> dict:
    """−log p of the test images in nats under saved weights, with a 95 % bootstrap interval over images."""
    model, config = load(state, header)
    values: np.ndarray = -log_likelihood(model, test(data.load(config.dataset))).double().numpy()
    low, high = bootstrap_interval(values, resamples=1_000)
    return {"dataset": config.dataset, "images": len(values), "mean": float(values.mean()), "low": low, "high": high}


def says(result: dict) -> str:
    """The result of `evaluate` in a line."""
    return "{dataset}: {mean:.2f} nats [{low:.2f}, {high:.2f}] an image, over {images:,} test images".format(**result)
