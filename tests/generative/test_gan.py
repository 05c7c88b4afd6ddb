"""The trainer of GANs: who learns from what, resuming, several processes, and what a kind of GAN changes."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys

import pytest
import torch

from zoolib import data
from zoolib.generative import gan, judge, losses, sets
from zoolib.pretrained import WeightsError, load_weights
from zoolib.run import Run, RunError

SMALL = {"width": 4, "latent": 8, "steps": 30, "batch_size": 8, "frames": 5, "judge_every": 10, "judged": 200}


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Judge by few samples of a small MNIST."""
    mnist = data.load("mnist")
    cut = (mnist.train_images[:2_000], mnist.train_labels[:2_000], mnist.test_images[:500], mnist.test_labels[:500])
    monkeypatch.setattr(data, "load", lambda name, device="cpu": data.Images("mnist", mnist.classes, *cut))
    monkeypatch.setattr(gan, "SAMPLES", 300)
    monkeypatch.setattr(judge, "SAMPLES", 300)
    monkeypatch.setattr(sets, "POINTS", 1_000)


def config(kind="dcgan", dataset="mnist", **changes):
    small = SMALL if dataset == "mnist" else SMALL | {"width": 16}
    return dataclasses.replace(gan.preset(dataset, kind).config, **(small | changes))


def run(path=None, **options):
    return Run(path, threads=1, progress=False, **options)


def weights(trained):
    return {f"{n}.{k}": v for n in ("generator", "last", "critic") for k, v in getattr(trained, n).state_dict().items()}


@pytest.mark.parametrize("kind", gan.GANS)
@pytest.mark.parametrize("dataset", ["mnist", "ring", "stacked-mnist"])
def test_every_kind_trains_and_is_judged(kind, dataset):
    if dataset == "stacked-mnist" and kind != "dcgan":
        pytest.skip("one kind is enough")
    trained = gan.train(config(kind, dataset), run=run())
    figures = trained.run.figures
    assert trained.sample(7).shape[0] == 7 and trained.sample(7).equal(trained.sample(7))
    assert sorted(trained.frames)[0] == 0 and sorted(trained.frames)[-1] == 30
    if dataset == "ring":
        assert 0 <= figures["modes"] <= 8 and 0 <= figures["good"] <= 1
    else:
        assert figures["distance"] > figures["floor"] > 0 and 0 <= figures["recognised"] <= 1
        assert {
            "precision",
            "recall",
            "kernel_distance",
            "recognised_real",
            "images_per_second",
            "last_distance",
        } < set(figures)
        assert figures["features"] == "classifier-mnist"
    if dataset == "mnist":
        assert sum(figures["shares"]) == pytest.approx(1)
    json.dumps(figures)


def test_the_critic_learns_to_tell_and_the_generator_moves_towards_the_data():
    fast = {"generator_learning_rate": 4e-3, "critic_learning_rate": 2e-3, "average": 0.9}
    trained = gan.train(config("lsgan", steps=150, batch_size=32, width=8, judge_every=150, **fast), run=run())
    real = sets.load("mnist").inputs(torch.arange(200))
    start = gan.make_generator(trained.config, (1, 28, 28))
    with torch.no_grad():
        critic = trained.critic.eval()
        assert critic(real).mean() > critic(data.as_input(gan.sample(start, 200))).mean()
    grey = [x.float().mean().item() for x in (gan.sample(start, 99), trained.sample(99))]
    assert grey[0] > 90 and grey[1] < 65  # digits have 33; seeds give 102 to 127, and 36 to 45


def test_no_gradient_of_the_critics_step_reaches_the_generator():
    c = config("wgan-gp")
    generator, critic = gan.make_generator(c, (1, 28, 28)), gan.make_critic(c, (1, 28, 28))
    fake = generator(torch.randn(8, c.latent))
    real = torch.rand(8, 1, 28, 28)
    value = gan.critic_value(critic, losses.wasserstein_critic, real, fake, c, losses.gradient_penalty, torch.rand(8))
    value.backward()
    assert all(p.grad is None for p in generator.parameters())
    assert all(p.grad is not None for p in critic.parameters() if p.ndim > 1)


def test_the_generators_step_leaves_no_gradient_in_the_critic():
    seen = []

    def generator_loss(fake):
        seen.append(fake)
        return losses.non_saturating_generator(fake)

    trained = gan.train(config(steps=3), generator_loss=generator_loss, run=run())
    assert len(seen) == 3 and all(p.requires_grad for p in trained.critic.parameters())


def test_clipped_weights_stay_in_their_bounds():
    trained = gan.train(config("wgan", clip=0.02), run=run())
    largest = max(p.abs().max().item() for p in trained.critic.parameters())
    assert largest == pytest.approx(0.02)
    free = gan.train(config("wgan", clip=0.0), run=run())
    assert max(p.abs().max() for p in free.critic.parameters()) > 0.1


def test_a_loss_of_your_own_is_what_trains():
    mine = gan.train(config("dcgan"), critic_loss=losses.least_squares_critic,
                     generator_loss=losses.least_squares_generator, run=run())  # fmt: skip
    theirs = gan.train(config("lsgan"), run=run())
    other = gan.train(config("dcgan"), run=run())
    assert all(a.equal(b) for a, b in zip(weights(mine).values(), weights(theirs).values(), strict=True))
    assert not weights(mine)["critic.layers.0.weight"].equal(weights(other)["critic.layers.0.weight"])


def test_networks_of_your_own_are_what_trains():
    from zoolib.generative import networks

    trained = gan.train(
        config(),
        generator=lambda c, shape: networks.mlp_generator(c.latent, shape, 16),
        critic=lambda c, shape: networks.mlp_critic(shape, 16),
        run=run(),
    )
    assert len(list(trained.generator.parameters())) == 6 and trained.sample(3).shape == (3, 1, 28, 28)


@pytest.mark.parametrize("which", ["critic_loss", "generator_loss", "penalty"])
def test_a_loss_of_the_wrong_shape_is_named(which):
    with pytest.raises(RunError, match=r"one number for each of the 8 samples, \[8\]; it has \[\]"):
        gan.train(config("wgan-gp"), **{which: lambda *args: torch.zeros((), requires_grad=True)}, run=run())


def test_a_judge_of_another_set_is_refused():
    see = judge.Judge(sets.load("ring"))
    with pytest.raises(RunError, match="the judge has seen ring, and the run learns from mnist"):
        gan.train(config(), judge=see, run=run())


@pytest.mark.parametrize("kind, dataset", [("dcgan", "mnist"), ("wgan-gp", "mnist"), ("wgan", "ring")])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, kind, dataset):
    c = config(kind, dataset)
    calls = itertools.count()

    def stop_once(fake):
        if next(calls) == 16:
            broken.stop("interrupted")
        return losses.LOSSES[c.loss][1](fake)

    whole = gan.train(c, run=run())
    broken = run(tmp_path)
    gan.train(c, generator_loss=stop_once, run=broken)
    assert broken.step == 17 and not (tmp_path / "metrics.json").read_text().count("distance")
    resumed = gan.train(c, generator_loss=stop_once, run=run(tmp_path, resume=True))
    for name, tensor in weights(whole).items():
        assert tensor.equal(weights(resumed)[name]), name
    assert sorted(whole.frames) == sorted(resumed.frames)
    assert all(whole.frames[step].equal(resumed.frames[step]) for step in whole.frames)


def test_best_and_last_are_both_kept(tmp_path):
    trained = gan.train(config(), run=run(tmp_path))
    for name, network in (("weights", trained.generator), ("last", trained.last)):
        state, header = load_weights(tmp_path / f"{name}.safetensors")
        again, _ = gan.load(state, header)
        assert gan.sample(again, 5).equal(gan.sample(network, 5))
    figures = gan.evaluate(*load_weights(tmp_path / "weights.safetensors"))
    assert figures["dataset"] == "mnist" and "distance" in gan.says(figures) and "recognised" in gan.says(figures)
    del header["shape"]
    with pytest.raises(WeightsError, match="do not fit their header: 'shape'"):
        gan.load(state, header)


def test_the_best_is_the_one_with_the_smallest_distance(monkeypatch):
    distances = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(judge.Judge, "distance", lambda self, samples: next(distances))
    trained = gan.train(config(), run=run())
    assert trained.run.figures["best_step"] == 20
    assert not weights(trained)["generator.layers.0.weight"].equal(weights(trained)["last.layers.0.weight"])


def test_the_average_follows_and_copies_counters():
    a, b = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    b.weight.data += 1
    b.num_batches_tracked += 5
    gan.move_average(a, b, 0.75)
    assert a.weight.tolist() == [1.25, 1.25] and a.num_batches_tracked == 5


SCRIPT = """
import sys, torch
from zoolib import data
from zoolib.generative import gan, sets, judge
from zoolib.run import Run
torch.set_num_threads(1)
sets.POINTS, gan.SAMPLES = 1000, 300
steps = int(sys.argv[2])
config = gan.Config(dataset="ring", gan="wgan-gp", network="mlp", loss="wasserstein", penalty=1.0, width=16, latent=2,
                    batch_size=32, steps=30, critic_steps=2, frames=3, judge_every=15, judged=200)
run = Run(sys.argv[1] or None, threads=1, progress=False, resume=bool(sys.argv[1]))
def generator_loss(fake, count=[0]):
    count[0] += 1
    if count[0] == steps:
        run.stop("interrupted")
    return -fake
trained = gan.train(config, generator_loss=generator_loss, run=run)
torch.save(trained.last.state_dict(), sys.argv[3])
"""


def together(tmp_path, folder, steps, world):
    """Train in `world` processes, as torchrun would start them; the last weights of each."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29_500 + os.getpid() % 2_000), "WORLD_SIZE": str(world)}
    command = [sys.executable, "-c", SCRIPT, folder, str(steps)]
    children = [
        subprocess.Popen([*command, str(tmp_path / f"{rank}.pt")], env=os.environ | place | {"RANK": str(rank)})
        for rank in range(world)
    ]
    assert [child.wait(120) for child in children] == [0] * world
    return [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(world)]


def test_two_processes_learn_what_one_does_and_resume(tmp_path):
    (alone,) = together(tmp_path, "", 0, 1)
    first, second = together(tmp_path, "", 0, 2)
    together(tmp_path, str(tmp_path / "run"), 11, 2)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["ended"] == "interrupted"
    third, fourth = together(tmp_path, str(tmp_path / "run"), 0, 2)
    for name, tensor in alone.items():
        assert first[name].equal(second[name]) and third[name].equal(fourth[name]), name
        assert first[name].equal(third[name]), name
        torch.testing.assert_close(first[name], tensor, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"gan": "bigan"}, "gan must be one of gan, dcgan, lsgan, wgan, wgan-gp, not 'bigan'"),
        ({"loss": "hinge"}, "loss must be one of non-saturating, .* not 'hinge'"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"average": 1.0}, "average must lie between 0 and 1"),
        ({"critic_learning_rate": float("nan")}, "critic_learning_rate must be a positive number, not nan"),
        ({"dataset": "ring"}, "ring is made of points, which convolutions cannot take"),
        ({"dataset": "mnits"}, "no data set is called 'mnits'; did you mean mnist?"),
    ],
)
def test_a_wrong_setting_is_named(changes, words):
    with pytest.raises((RunError, data.DataError), match=words):
        gan.Config(**changes)


def test_an_unknown_kind_or_budget_lists_the_known():
    with pytest.raises(RunError, match="wgan-gp, not 'gann'"):
        gan.preset("mnist", "gann")
    with pytest.raises(RunError, match="there are: quick, full"):
        gan.preset("mnist", "gan", "huge")
