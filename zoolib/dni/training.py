"""Decoupled neural interfaces on images: a network in stages, each of which learns without waiting for the next.

Jaderberg et al. 2017, "Decoupled Neural Interfaces using Synthetic Gradients" (ICML).  The network is cut into stages
(`networks`); at each cut stands a module (`synthetic`, or one of `baselines`) that tells the stage below at once what
the gradient of its activations is.  Here all stages run in one process, where the true gradient can be had at any
time: it serves to correct the modules, and `delay` makes it as late as it would be between processes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from zoolib import data
from zoolib.dni.baselines import LocalHead, NoBackprop
from zoolib.dni.networks import make_stages
from zoolib.dni.synthetic import Synthesiser, SyntheticInput, gradient_loss, inject, input_loss
from zoolib.pretrained import WeightsError, save_weights
from zoolib.run import Run, RunError
from zoolib.stats import bootstrap_interval

METHODS = ("backprop", "dni", "cdni", "no-bp", "dgl")
VALIDATION = 5_000  # the last images of the training set: no method learns from them


@dataclass(frozen=True)
class Config:
    """A classifier of images, cut into stages that learn apart from one another."""

    dataset: str = "mnist"
    """mnist, which comes with zoolib, or fashion-mnist."""
    network: str = "mlp"
    """mlp (fully connected) or cnn (convolutions)."""
    layers: int = 3
    """Layers with weights, the one that names the class included."""
    width: int = 256
    """Units in each hidden layer, or channels of each convolution."""
    method: str = "cdni"
    """backprop; dni (synthetic gradients); cdni (from the label too); no-bp (lower stages stay as they are); dgl (a
    classifier at each cut)."""
    splits: int = 2
    """Cuts; the stages between them are made as equally heavy as can be."""
    delay: int = 0
    """Steps until a synthetic gradient is compared with the true one: 0 is the paper's every-layer schedule, more is
    what stages in processes of their own would see (forward-unlocked)."""
    workers: int = 1
    """Processes: 1, or one for each of the splits + 1 stages; then a true gradient is at least one step late."""
    micro_batches: int = 1
    """Parts of a batch that follow one another through the workers (backprop only)."""
    synthetic_inputs: bool = False
    """Also guess each stage's input from the image, so that no stage waits for another (dni and cdni)."""
    synthesiser_hidden: tuple[int, ...] = ()
    """Units in the hidden layers of a synthesiser; none makes it linear."""
    synthesiser_rank: int = 0
    """A linear synthesiser as the product of two matrices of this inner size; 0 is one whole matrix."""
    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 256
    """Images in a step."""
    learning_rate: float = 1e-3
    """Adam's step size for the stages at the start; it falls to nothing."""
    synthesiser_learning_rate: float = 1e-3
    """The same for the modules at the cuts."""
    validate_every: int = 100
    """Steps between two looks at the images held back from training. 0 looks at the end only."""
    cosine_every: int = 0
    """Steps between two comparisons of what each cut sends down with backprop's gradient there. 0 makes none."""

    def __post_init__(self):
        data.check_name(self.dataset)
        for name, known in (("network", ("mlp", "cnn")), ("method", METHODS)):
            if getattr(self, name) not in known:
                raise RunError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name, least in (("width", 1), ("epochs", 1), ("layers", 2), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise RunError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in ("splits", "delay", "synthesiser_rank", "validate_every", "cosine_every"):
            if getattr(self, name) < 0:
                raise RunError(f"{name} must not be negative, as {getattr(self, name)} is")
        for name in ("learning_rate", "synthesiser_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise RunError(f"{name} must be a positive number, not {getattr(self, name)}")
        if any(units < 1 for units in self.synthesiser_hidden):
            raise RunError(
                f"synthesiser_hidden must hold numbers of units of at least 1, not {self.synthesiser_hidden}"
            )
        if self.splits >= self.layers:
            raise RunError(f"{self.layers} layers can be cut in at most {self.layers - 1} places, not in {self.splits}")
        if self.workers not in (1, self.splits + 1):
            raise RunError(f"workers must be 1 or, with {self.splits} splits, {self.splits + 1}; not {self.workers}")
        if self.workers > 1 and self.synthetic_inputs:
            raise RunError("synthetic inputs are trained in one process; leave out workers")
        if self.micro_batches < 1 or self.batch_size % self.micro_batches:
            raise RunError(f"micro_batches must divide batch_size {self.batch_size}, not {self.micro_batches}")
        if self.batch_size > 50_000:
            raise RunError(f"batch_size must be at most 50000, the size of a training set, not {self.batch_size}")
        if self.cosine_every and self.method == "backprop":
            raise RunError("backprop sends the true gradient down: cosine_every has nothing to compare")
        if self.micro_batches > 1 and (self.method != "backprop" or self.workers == 1):
            raise RunError("micro_batches are for backprop with workers")
        if self.synthetic_inputs and self.method not in ("dni", "cdni"):
            raise RunError(f"synthetic inputs go with dni or cdni, not with {self.method}")

    @property
    def lateness(self) -> int:
        """Steps until a synthetic gradient is compared with the true one."""
        return max(self.delay, 1) if self.workers > 1 else self.delay


# What a method changes, found by trying: synthesisers that do not see the label want slow stages, and hidden units
# where these are cheap.
SLOWLY = {"learning_rate": 3e-4, "synthesiser_learning_rate": 3e-3}
METHOD_PRESETS = {("dni", "mlp"): SLOWLY | {"synthesiser_hidden": (256,)}, ("dni", "cnn"): SLOWLY}
# What each budget changes; flags on the command line come after.
BUDGETS = {
    "quick": ("a minute on one CPU thread with the default network", {"epochs": 5}),
    "full": ("a few minutes on one CPU thread with the default network", {"epochs": 30}),
}
PRESET_BY = ("dataset", "method", "network")


class Preset(NamedTuple):
    """A Config, and what it costs in words."""

    config: Config
    words: str


def preset(dataset: str, method: str, network: str, budget: str) -> Preset:
    """The Config for a data set, a method, a network and a budget.  Raises RunError or DataError for an unknown one."""
    if budget not in BUDGETS:
        raise RunError(f"no budget is called {budget!r}; there are: {', '.join(BUDGETS)}")
    expect, changes = BUDGETS[budget]
    changes = METHOD_PRESETS.get((method, network), {}) | changes
    config = Config(dataset=dataset, method=method, network=network, **changes)
    return Preset(config, f"budget {budget}: {expect}")


class Network(nn.Module):
    """Stages, what stands at the cuts between them, and what guesses their inputs."""

    def __init__(self, config: Config, input_shape: tuple[int, int, int], classes: int):
        super().__init__()
        shape = (config.network, input_shape, classes, config.layers, config.width, config.splits)
        stages, self.shapes = make_stages(*shape)
        self.stages = nn.ModuleList(stages)
        self.cuts = nn.ModuleList(make_cut(config, shape, classes) for shape in self.shapes[:-1])
        guessed = self.shapes[:-1] if config.synthetic_inputs else []
        self.inputs = nn.ModuleList(SyntheticInput(input_shape, shape, config.width) for shape in guessed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W], as `data.as_input` gives them, to logits [B, classes]."""
        for stage in self.stages:
            x = stage(x)
        return x


def make_cut(config: Config, shape: tuple[int, ...], classes: int) -> nn.Module:
    """What stands at a cut where activations have `shape`; for backprop nothing does."""
    if config.method in ("dni", "cdni"):
        hidden, rank = config.synthesiser_hidden, config.synthesiser_rank
        return Synthesiser(shape, classes, conditional=config.method == "cdni", hidden=hidden, rank=rank)
    return {"dgl": lambda: LocalHead(shape, classes), "no-bp": NoBackprop, "backprop": nn.Identity}[config.method]()


# ------------------------------------------------------------ the algorithm


def decoupled_loss(network: Network, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, list, list]:
    """The loss [] whose backward pass gives every stage its gradient: the true one above the last cut, and below each
    cut what the module there sends down (Jaderberg et al. 2017, section 2.1).

    Returns it with, for each cut, (activations, labels, list that will hold the gradient that came down to it), and
    with the losses [B] of the modules that guess inputs.
    """
    h, at_cuts, guesses = x, [], []
    for i, stage in enumerate(network.stages):
        h = stage(h)
        if i == len(network.cuts) or isinstance(network.cuts[i], nn.Identity):
            continue
        at_cuts.append((h.detach(), y, []))
        h = inject(h, network.cuts[i].gradient(h.detach(), y), at_cuts[-1][2])
        if network.inputs:
            guess = network.inputs[i](x)
            guesses.append(input_loss(guess, h.detach()))
            h = guess.detach() + (h - h.detach())  # the guess goes up; what comes down still reaches the cut
    return F.cross_entropy(h, y), at_cuts, guesses


def correct(cuts, at_cuts: list, loss: Callable) -> list[torch.Tensor]:
    """The modules' own losses [B], now that the gradient that they should have sent down is known."""
    values = []
    for cut, (h, y, came_down) in zip(cuts, at_cuts, strict=False):
        value = cut.loss(h, y, came_down[0] if came_down else None, loss)
        if value is not None:
            if value.shape != y.shape:
                raise RunError(
                    f"the loss must be one number for each of the {len(y)} samples, [{len(y)}]; "
                    f"it has shape {list(value.shape)}"
                )
            values.append(value)
    return values


class Late:
    """Of the last batches, what their gradients are still to be compared with: a row from `decoupled_loss` for each."""

    def __init__(self):
        self.batches: list = []

    def state_dict(self) -> dict:
        return {"batches": self.batches}

    def load_state_dict(self, state: dict) -> None:
        self.batches = state["batches"]


def update(network: Network, optimizer, x, y, late: Late, config: Config, loss: Callable) -> tuple[torch.Tensor, list]:
    """One step of every stage, and of the modules at the cuts where a batch has become late enough.

    Returns the network's loss [] and those of the modules, [B] each.
    """
    value, at_cuts, guesses = decoupled_loss(network, x, y)
    optimizer.zero_grad()
    value.backward()
    late.batches.append(at_cuts)
    own = correct(network.cuts, late.batches.pop(0), loss) if len(late.batches) > config.lateness else []
    if own or guesses:
        sum(part.mean() for part in own + guesses).backward()
    optimizer.step()
    return value.detach(), [part.detach() for part in own]


def cosines(network: Network, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    """For each cut, the cosine between what its module sends down and backprop's gradient, over a whole batch."""
    network = copy.deepcopy(network)  # a look must not move the statistics of batch normalisation
    h, activations = x, []
    for stage in network.stages:
        h = stage(h)
        activations.append(h)
    true = torch.autograd.grad(F.cross_entropy(h, y, reduction="sum"), activations[:-1])
    sent = [cut.gradient(a.detach(), y) for cut, a in zip(network.cuts, activations, strict=False)]
    return [F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item() for a, b in zip(sent, true, strict=True)]


# ------------------------------------------------------------------- train


@dataclass
class Trained:
    """What training gives."""

    network: Network
    config: Config
    run: Run
    timeline: list = field(default_factory=list)
    """With workers, what each stage did last: see `pipeline.Pipeline.timeline`."""


def train(config: Config, *, loss: Callable = gradient_loss, run: Run | None = None) -> Trained:
    """Train a network in stages.

    loss(synthetic, true) gives the loss per sample [B] of a synthetic gradient [B, ...]; see `gradient_loss`.
    """
    if config.workers > 1:
        if loss is not gradient_loss:
            raise RunError("a loss of your own trains in one process; leave out workers")
        from zoolib.dni import pipeline

        return pipeline.train(config, run or Run())
    images = data.load(config.dataset)
    run = (run or Run()).begin("dni", config, tiny=config.network == "mlp", hooks={"loss": loss})
    (x, y), held_out = split(images, run.device)
    network = Network(config, tuple(x.shape[1:]), len(images.classes)).to(run.device)
    optimizer = make_optimizer(network, config)
    total = len(y) // config.batch_size * config.epochs
    late = Late()

    with run.track(network=network, optimizer=optimizer, late=late):
        for step in run.steps(total):
            batch = data.rows_of(step, len(y), config.batch_size, run.seed)
            xs, ys = data.as_input(x[batch]), y[batch]
            set_learning_rate(optimizer, config, 1 - step / total)
            if config.cosine_every and step % config.cosine_every == 0:
                with run.untimed():
                    run.log(**{f"cosine_{i + 1}": value for i, value in enumerate(cosines(network, xs, ys))})
            value, own = update(network, optimizer, xs, ys, late, config, loss)
            run.log(loss=value, **{f"cut_loss_{i + 1}": part for i, part in enumerate(own)})
            if config.validate_every and (step + 1) % config.validate_every == 0:
                with run.untimed():
                    run.log(validation_accuracy=accuracy(network, *held_out))
        if run.stopped != "interrupted":
            with run.untimed():
                judge(network, images, config, run)
    save(network, config, run)
    return Trained(network, config, run)


def judge(network: Network, images: data.Images, config: Config, run: Run) -> None:
    """Note the final accuracies, and how many images a second were learned from."""
    run.figures["validation_accuracy"] = accuracy(network, *split(images, run.device)[1])
    x, y = images.test_images.to(run.device), images.test_labels.to(run.device)
    run.figures["test_accuracy"] = accuracy(network, x, y)
    run.figures["samples_per_second"] = round(run.step * config.batch_size / max(run.seconds, 1e-9))


def save(network: Network, config: Config, run: Run) -> None:
    """Write the weights into the run's folder, if it has one."""
    if run.out is not None:
        header = {"algorithm": run.algorithm, "config": asdict(config), "seed": run.seed, **run.figures}
        save_weights(Path(run.out) / "weights.safetensors", network.state_dict(), header)


def make_optimizer(network: Network, config: Config) -> torch.optim.Optimizer:
    """Adam over the stages, and with a step size of its own over what stands between them."""
    between = [*network.cuts.parameters(), *network.inputs.parameters()]
    groups = [{"params": list(network.stages.parameters()), "lr": config.learning_rate}]
    groups += [{"params": between, "lr": config.synthesiser_learning_rate}] if between else []
    return torch.optim.Adam(groups, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, config: Config, share: float) -> None:
    """Each group's step size at `share` of what it was at the start."""
    rates = (config.learning_rate, config.synthesiser_learning_rate)
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        group["lr"] = rate * share


def split(images: data.Images, device: torch.device) -> tuple[tuple, tuple]:
    """Images and labels to learn from, and those held back from it, as (x, y) each."""
    x, y = images.train_images.to(device), images.train_labels.to(device)
    return (x[:-VALIDATION], y[:-VALIDATION]), (x[-VALIDATION:], y[-VALIDATION:])


@torch.no_grad()
def correctly(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Which of the images x [N, C, H, W] (uint8) the network puts into their class y: bool [N]."""
    training = network.training
    network.eval()
    right = [network(data.as_input(a)).argmax(1) == b for a, b in zip(x.split(1000), y.split(1000), strict=True)]
    network.train(training)
    return torch.cat(right)


def accuracy(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of the images x that the network puts into their class."""
    return correctly(network, x, y).float().mean().item()


def evaluate(state: dict[str, torch.Tensor], header: dict) -> dict:
    """Accuracy of saved weights on the test images, in per cent, with a 95 % bootstrap interval over images."""
    try:
        known = {f.name for f in fields(Config)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in header["config"].items() if k in known}
        config = Config(**values)
        images = data.load(config.dataset)
        network = Network(config, tuple(images.test_images.shape[1:]), len(images.classes))
        network.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their own header: {str(error).splitlines()[0]}") from None
    right = 100.0 * correctly(network, images.test_images, images.test_labels).double().numpy()
    low, high = bootstrap_interval(right, resamples=1_000)
    return {"dataset": config.dataset, "images": len(right), "mean": float(right.mean()), "low": low, "high": high}
