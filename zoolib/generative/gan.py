"""Generative adversarial networks: one trainer for GAN, DCGAN, LSGAN, WGAN and WGAN-GP.

Goodfellow et al. 2014, "Generative adversarial nets": algorithm 1.  A generator makes samples of noise, a critic tells
them from real ones, and each learns from the other.  What the papers since have changed are the two losses (`losses`),
the networks (`networks`), and what keeps the critic smooth: a kind of GAN is a line in the table GANS.

Two things are ours, for speed and for samples that do not jump about: both learning rates fall to nothing, and what
samples is a running average of the generator's weights (Yazıcı et al. 2019).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from zoolib import data
from zoolib.generative import networks, sets
from zoolib.generative.judge import SAMPLES, Judge
from zoolib.generative.losses import LOSSES, gradient_penalty
from zoolib.parallel import Group
from zoolib.pretrained import WeightsError, save_weights
from zoolib.run import Run, RunError

SHOWN, SHOWN_POINTS = 64, 1_000  # samples of a frame


@dataclass(frozen=True)
class Config:
    """A generative adversarial network."""

    dataset: str = "mnist"
    """mnist, fashion-mnist, cifar10, stacked-mnist, ring, grid, or the path of a folder of images."""
    gan: str = "dcgan"
    """gan, dcgan, lsgan, wgan or wgan-gp: sets network, loss and what goes with them."""
    network: str = "conv"
    """conv (convolutions) or mlp (fully connected)."""
    loss: str = "non-saturating"
    """non-saturating, saturating, least-squares or wasserstein."""
    steps: int = 800
    """Steps of the generator."""
    critic_steps: int = 1
    """Steps of the critic for each of the generator's."""
    batch_size: int = 32
    """Samples in a step."""
    latent: int = 64
    """Numbers of noise that a sample is made of."""
    width: int = 32
    """Channels of the largest map, or units of a hidden layer."""
    generator_learning_rate: float = 4e-3
    """Adam's step size at the start; it falls to nothing."""
    critic_learning_rate: float = 2e-3
    """The same for the critic."""
    beta1: float = 0.5
    """Adam's first decay: how long a gradient is remembered."""
    beta2: float = 0.99
    """Adam's second decay: how long its size is remembered."""
    critic_norm: bool = True
    """Batch normalisation in a convolutional critic."""
    clip: float = 0.0
    """After each step the critic's weights are clipped to ± this; 0 does not clip."""
    penalty: float = 0.0
    """λ, the weight of the gradient penalty; 0 does without."""
    average: float = 0.995
    """What of the averaged generator is kept in a step; 0 samples from the generator itself."""
    bfloat16: bool = False
    """Compute in bfloat16 on CUDA."""
    image_size: int = 32
    """Pixels a side of images from a folder."""
    frames: int = 60
    """Pictures of the same noise taken on the way, for the film; closer together at the start."""
    judge_every: int = 0
    """Steps between two judgements, by which the best weights are kept. 0 judges ten times in all."""
    judged: int = 1_000
    """Samples in such a judgement. The nearer the samples come to real ones, the more it takes to tell two apart."""

    def __post_init__(self):
        sets.check_name(self.dataset)
        for name, known in (("gan", GANS), ("network", ("conv", "mlp")), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise RunError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        smallest = {"batch_size": 2, "judged": 2} | dict.fromkeys(("steps", "critic_steps", "latent", "width"), 1)
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise RunError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in ("clip", "penalty", "frames", "judge_every"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RunError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in ("generator_learning_rate", "critic_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise RunError(f"{name} must be a positive number, not {getattr(self, name)}")
        for name in ("beta1", "beta2", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise RunError(f"{name} must lie between 0 and 1 (1 excluded), not {getattr(self, name)}")
        if self.network == "conv" and self.dataset in sets.SPREAD:
            raise RunError(f"{self.dataset} is made of points, which convolutions cannot take; set network to mlp")


# What each kind of GAN is: a loss, networks, and what keeps its critic smooth.
GANS = {
    "gan": {
        **{"network": "mlp", "width": 256, "latent": 32, "batch_size": 64, "steps": 2_000},
        **{"generator_learning_rate": 2e-3, "critic_learning_rate": 2e-3},
    },
    "dcgan": {},
    "lsgan": {"loss": "least-squares"},
    "wgan": {"loss": "wasserstein", "clip": 0.03, "beta1": 0.0, "steps": 900},
    "wgan-gp": {"loss": "wasserstein", "penalty": 1.0, "beta1": 0.0, "critic_norm": False, "steps": 550},
}
# Points want small fully connected networks.  The rates of the plain GAN are those of Metz et al. 2017, appendix B: its
# generator outruns its critic, and collapses.  With equal rates it does not.
POINTS = {"network": "mlp", "width": 128, "latent": 8, "batch_size": 256, "average": 0.98, "steps": 1_500}
POINT_RATES = {"generator_learning_rate": 3e-3, "critic_learning_rate": 3e-3}
POINT_CHANGES = {
    "gan": {"generator_learning_rate": 1e-3, "critic_learning_rate": 1e-4},
    "wgan-gp": POINT_RATES | {"penalty": 0.1, "critic_steps": 3},
}
BUDGETS = {
    "quick": ("about a minute on two CPU threads for images of 28 by 28, seconds for points", {}),
    "full": (
        "about an hour on two CPU threads, or some minutes on a GPU",
        {"steps": 45_000, "average": 0.9995, "judged": SAMPLES},
    ),
}
# A long run on digits gains from little noise: of 64, 16, 12, 8 and 6 numbers, 8 came nearest after 4,500 steps without
# losing much recall (distances 1.4, 1.7, 1.5, 1.0, 0.8; recall 0.86, 0.83, 0.81, 0.74, 0.64; one seed each).
FULL_OF = {"mnist": {"latent": 8}}
PRESET_BY = ("dataset", "gan")


class Preset(NamedTuple):
    """A Config, and what it costs in words."""

    config: Config
    words: str


def preset(dataset: str, gan: str = "dcgan", budget: str = "quick") -> Preset:
    """The Config for a set, a kind of GAN and a budget.  Raises RunError or DataError for an unknown one."""
    if budget not in BUDGETS:
        raise RunError(f"no budget is called {budget!r}; there are: {', '.join(BUDGETS)}")
    if gan not in GANS:
        raise RunError(f"gan must be one of {', '.join(GANS)}, not {gan!r}")
    expect, changes = BUDGETS[budget]
    changes = GANS[gan] | changes | (FULL_OF.get(dataset, {}) if budget == "full" else {})
    if dataset in sets.SPREAD:
        changes = GANS[gan] | POINTS | POINT_CHANGES.get(gan, POINT_RATES)
        changes |= {"steps": 15_000} if budget == "full" else {}
    return Preset(Config(dataset=dataset, gan=gan, **changes), f"budget {budget}: {expect}")


def make_generator(config: Config, shape: tuple[int, ...]) -> networks.Generator:
    """The generator of a Config for samples of `shape`."""
    make = networks.conv_generator if config.network == "conv" else networks.mlp_generator
    return make(config.latent, shape, config.width)


def make_critic(config: Config, shape: tuple[int, ...]) -> networks.Critic:
    """The critic of a Config for samples of `shape`."""
    if config.network == "mlp":
        return networks.mlp_critic(shape, config.width)
    return networks.conv_critic(shape, config.width, config.critic_norm)


# ------------------------------------------------------------ the algorithm


def critic_value(critic, loss: Callable, real, fake, config: Config, penalty: Callable, share) -> torch.Tensor:
    """What the critic minimises on a batch, []: its loss and, with λ > 0, the penalty.  No gradient reaches `fake`."""
    fake = fake.detach()
    value = per_sample(loss(critic(real), critic(fake)), len(real), "critic's loss")
    if config.penalty:
        value = value + config.penalty * per_sample(penalty(critic, real, fake, share), len(real), "penalty")
    return value.mean()


def per_sample(value: torch.Tensor, n: int, what: str) -> torch.Tensor:
    """`value`, if it is one number for each of n samples; else RunError says what shape it has."""
    if value.shape != (n,):
        raise RunError(f"the {what} must be one number for each of the {n} samples, [{n}]; it has {list(value.shape)}")
    return value


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Every weight into [−bound, bound]: Arjovsky et al. 2017, algorithm 1, line 7."""
    for parameter in critic.parameters():
        parameter.clamp_(-bound, bound)


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, keep: float) -> None:
    """average ← keep · average + (1 − keep) · network, statistics of batch normalisation included."""
    for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - keep)
        else:
            a.copy_(b)


@torch.no_grad()
def sample(generator: networks.Generator, n: int, seed: int = 0, batch_size: int = 100) -> torch.Tensor:
    """n samples: images as uint8 [n, C, H, W], points as float [n, 2].  The same seed gives the same."""
    return decode(generator, torch.randn(n, generator.latent, generator=data.generator(seed, 3)), batch_size)


@torch.no_grad()
def decode(generator: networks.Generator, z: torch.Tensor, batch_size: int = 100) -> torch.Tensor:
    """What a generator, in evaluation mode, makes of latent vectors z [n, latent]; see `sample`."""
    training, device = generator.training, next(generator.parameters()).device
    generator.eval()
    made = torch.cat([generator(part.to(device)).float() for part in z.split(batch_size)])
    generator.train(training)
    return made.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8) if made.ndim == 4 else made


# ------------------------------------------------------------------- train


@dataclass
class Trained:
    """What training gives."""

    generator: networks.Generator
    """The averaged generator where it was best."""
    last: networks.Generator
    """The averaged generator at the end."""
    critic: networks.Critic
    config: Config
    run: Run
    judge: Judge
    """It judges more samples of the same set without looking at the real ones again."""
    frames: dict[int, torch.Tensor]
    """What the same noise became after so many steps: step -> samples [64, ...]."""

    def sample(self, n: int, seed: int = 0) -> torch.Tensor:
        """n samples of the best generator, uint8 [n, C, H, W] or float [n, 2]."""
        return sample(self.generator, n, seed)


def train(
    config: Config,
    *,
    critic_loss: Callable | None = None,
    generator_loss: Callable | None = None,
    penalty: Callable = gradient_penalty,
    generator: Callable = make_generator,
    critic: Callable = make_critic,
    judge: Judge | None = None,
    run: Run | None = None,
) -> Trained:
    """Train a generator against a critic.

    critic_loss(real, fake) and generator_loss(fake) take logits [B] and give a loss per sample [B]; penalty(critic,
    real, fake, share) gives [B] too: see `losses`.  generator(config, shape) and critic(config, shape) make networks.
    judge: of the same set, where there is one already, such as an earlier `Trained.judge`.

    Raises RunError for a loss of another shape, and for a judge of another set.
    """
    if judge and judge.real.name != config.dataset:
        raise RunError(f"the judge has seen {judge.real.name}, and the run learns from {config.dataset}; leave it out")
    losses = (critic_loss or LOSSES[config.loss][0], generator_loss or LOSSES[config.loss][1])
    group = Group()
    hooks = {"critic_loss": losses[0], "generator_loss": losses[1], "penalty": penalty}
    hooks |= {"generator": generator, "critic": critic}
    run = group.run(run).begin("gan", config, tiny=config.dataset in sets.SPREAD, hooks=hooks)
    real = judge.real if judge else sets.load(config.dataset, run.device, config.image_size)
    state = State(generator(config, real.shape), critic(config, real.shape), config, run.device)
    judge = judge or Judge(real)
    with run.track(state=state):
        group.agree(run, [state.generator, state.average, state.critic], state.optimizers)
        for step in run.steps(config.steps):
            update(state, real, step, losses, penalty, config, run, group)
            if step + 1 in state.due:
                with run.untimed():
                    state.keep_frame(step + 1)
            every = config.judge_every or max(1, config.steps // 10)
            if (step + 1) % every == 0 or step + 1 == config.steps:
                with run.untimed():
                    run.log(validation_distance=state.keep_best(step + 1, judge, config.judged))
            group.stop_together(run)
        if run.stopped != "interrupted" and group.rank == 0:
            with run.untimed():
                state.report(judge, run, config)
    if run.out is not None:
        for name, network in (("weights", state.best_generator()), ("last", state.average)):
            header = {
                "algorithm": "gan",
                "config": asdict(config),
                "shape": real.shape,
                "seed": run.seed,
                **run.figures,
            }
            save_weights(Path(run.out) / f"{name}.safetensors", network.state_dict(), header)
    group.end()
    return Trained(state.best_generator(), state.average, state.critic, config, run, judge, state.frames)


def update(state: State, real: sets.Set, step: int, losses, penalty, config: Config, run: Run, group: Group) -> None:
    """One step of the generator, and before it the critic's: Goodfellow et al. 2014, algorithm 1."""
    critic_loss, generator_loss = losses
    left = 1 - step / config.steps
    for optimizer, rate in zip(
        state.optimizers, (config.generator_learning_rate, config.critic_learning_rate), strict=True
    ):
        optimizer.param_groups[0]["lr"] = rate * left
    cast = torch.autocast(run.device.type, torch.bfloat16, enabled=config.bfloat16 and run.device.type == "cuda")
    for k in range(config.critic_steps):
        at = step * config.critic_steps + k
        random = data.generator(run.seed, 2, at)
        z = group.share(torch.randn(config.batch_size, config.latent, generator=random)).to(run.device)
        share = group.share(torch.rand(config.batch_size, generator=random)).to(run.device)
        x = real.inputs(group.share(data.rows_of(at, len(real.train), config.batch_size, run.seed)))
        last = k == config.critic_steps - 1
        with cast, torch.set_grad_enabled(last):  # the generator learns from the samples that the critic saw last
            fake = state.generator(z)
        with cast:
            value = critic_value(state.critic, critic_loss, x, fake, config, penalty, share)
        state.optimizers[1].zero_grad()
        value.backward()
        group.average(state.critic)
        state.optimizers[1].step()
        if config.clip:
            clip_weights(state.critic, config.clip)
    state.critic.requires_grad_(False)
    with cast:
        own = per_sample(generator_loss(state.critic(fake)), len(fake), "generator's loss").mean()
    state.optimizers[0].zero_grad()
    own.backward()
    state.critic.requires_grad_(True)
    group.average(state.generator)
    state.optimizers[0].step()
    move_average(state.average, state.generator, min(config.average, (1 + step) / (10 + step)))
    run.log(critic_loss=value, generator_loss=own)


class State:
    """All that a checkpoint holds: networks, optimisers, the best weights so far, and the frames of the film."""

    def __init__(self, generator: networks.Generator, critic: networks.Critic, config: Config, device: torch.device):
        layout = torch.channels_last if config.network == "conv" else torch.preserve_format
        self.generator, self.critic = (n.to(device, memory_format=layout) for n in (generator, critic))
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        betas = (config.beta1, config.beta2)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), rate, betas, fused=True)
            for network, rate in ((generator, config.generator_learning_rate), (critic, config.critic_learning_rate))
        ]
        self.best: dict = {"step": 0, "distance": math.inf, "weights": {}}
        self.shown = SHOWN_POINTS if config.dataset in sets.SPREAD else SHOWN
        self.frames: dict[int, torch.Tensor] = {0: sample(self.average, self.shown)} if config.frames else {}
        self.due = {max(1, round(config.steps * (i / config.frames) ** 2)) for i in range(1, config.frames + 1)}

    def keep_frame(self, step: int) -> None:
        self.frames[step] = sample(self.average, self.shown)

    def keep_best(self, step: int, judge: Judge, n: int) -> float:
        """Judge n samples of the averaged generator, and keep it if it is the best so far; returns its distance."""
        distance = judge.distance(sample(self.average, n, seed=1))
        if distance < self.best["distance"]:
            weights = {name: tensor.clone() for name, tensor in self.average.state_dict().items()}
            self.best = {"step": step, "distance": distance, "weights": weights}
        return distance

    def best_generator(self) -> networks.Generator:
        """The averaged generator where it was best."""
        best = copy.deepcopy(self.average)
        if self.best["weights"]:
            best.load_state_dict(self.best["weights"])
        return best

    def report(self, judge: Judge, run: Run, config: Config) -> None:
        """Note the figures of the best weights and, with `last_` before their names, of the last."""
        run.figures |= judge(sample(self.best_generator(), SAMPLES, seed=2)) | {"best_step": self.best["step"]}
        last = run.figures
        if self.best["step"] != run.step:
            last = judge(sample(self.average, SAMPLES, seed=2), brief=True)
        run.figures |= {f"last_{name}": last[name] for name in ("distance", "recognised", "modes") if name in last}
        run.figures["images_per_second"] = round(run.step * config.batch_size / max(run.seconds, 1e-9))

    def state_dict(self) -> dict:
        parts = {name: getattr(self, name).state_dict() for name in ("generator", "critic", "average")}
        return parts | {
            "optimizers": [o.state_dict() for o in self.optimizers],
            "best": self.best,
            "frames": self.frames,
        }

    def load_state_dict(self, state: dict) -> None:
        for name in ("generator", "critic", "average"):
            getattr(self, name).load_state_dict(state[name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.best, self.frames = state["best"], state["frames"]


def load(state: dict[str, torch.Tensor], header: dict) -> tuple[networks.Generator, Config]:
    """The generator and Config of saved weights.  Raises WeightsError where the two do not fit."""
    try:
        known = {f.name for f in fields(Config)}
        config = Config(**{name: value for name, value in header["config"].items() if name in known})
        generator = make_generator(config, tuple(header["shape"]))
        generator.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their header: {str(error).splitlines()[0]}") from None
    return generator.eval(), config


def evaluate(state: dict[str, torch.Tensor], header: dict) -> dict:
    """All figures of 10,000 new samples from saved weights: see `judge.Judge`."""
    generator, config = load(state, header)
    return {"dataset": config.dataset} | Judge(sets.load(config.dataset))(sample(generator, SAMPLES, seed=4))


def says(result: dict) -> str:
    """The result of `evaluate` in a line."""
    if "good" in result:
        return f"{result['dataset']}: {result['modes']} modes covered, {result['good']:.1%} of points near one"
    line = "{dataset}: distance {distance:.1f} (real against real {floor:.1f}), "
    line += "precision {precision:.2f}, recall {recall:.2f}"
    if "recognised" in result:
        line += ", {recognised:.1%} recognised (real test images {recognised_real:.1%})"
    if "modes" in result:
        line += ", {modes} modes covered"
    return f"{line.format(**result)}; on features of {result['features']}"
