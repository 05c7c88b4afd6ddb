"""Synthetic gradients against backprop where the two must agree, the baselines, and the trainer's promises."""

import itertools
import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.rl.test_resume import Interrupted
from zoolib import data
from zoolib.cli import main
from zoolib.dni import training
from zoolib.dni.baselines import LocalHead, NoBackprop
from zoolib.dni.networks import balanced_cuts
from zoolib.dni.synthetic import Synthesiser, gradient_loss, inject
from zoolib.dni.training import Config, Network, correct, cosines, decoupled_loss
from zoolib.run import Run, RunError


@pytest.fixture
def few(monkeypatch):
    """MNIST with 4,000 images to learn from and 1,000 to be judged on."""
    mnist = data.load("mnist")
    cut = data.Images(
        "mnist",
        mnist.classes,
        *(t[:9_000] for t in (mnist.train_images, mnist.train_labels)),
        *(t[:1_000] for t in (mnist.test_images, mnist.test_labels)),
    )
    monkeypatch.setattr(data, "load", lambda name, device="cpu": cut)
    return cut


def batch(n=16, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 28, 28, generator=generator, dtype=dtype)
    return x, torch.randint(10, (n,), generator=generator)


def network(**changes) -> Network:
    torch.manual_seed(0)
    return Network(Config(width=24, **changes), (1, 28, 28), 10).double()


class Exact(nn.Module):
    """A synthesiser that knows the true gradient: it asks the stages above."""

    def __init__(self, above):
        super().__init__()
        self.above = [above]  # in a list, so that they are not trained twice

    def gradient(self, h, y):
        h = h.detach().requires_grad_()
        with torch.enable_grad():
            value = F.cross_entropy(self.above[0](h), y, reduction="sum")
        return torch.autograd.grad(value, h)[0]

    def loss(self, h, y, true, measure):
        self.wrong = measure(self.gradient(h, y), true)
        return None


def exact(net: Network) -> Network:
    cuts = [Exact(nn.Sequential(*net.stages[i + 1 :])) for i in range(len(net.cuts))]
    net.cuts = nn.ModuleList(cuts)
    return net


# ------------------------------------------------------------- the idea


def test_inject_passes_values_up_and_its_own_gradient_down():
    h = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    delta = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    seen = []
    out = inject(h, delta, seen)
    assert torch.equal(out, h)
    (out * torch.tensor([5.0, 7.0])).sum(dim=1).mean().backward()  # each sample's loss is 5 h_1 + 7 h_2
    assert torch.equal(h.grad, delta / 2)  # of the mean over two samples
    assert torch.equal(seen[0], torch.tensor([[5.0, 7.0], [5.0, 7.0]]))  # of a sample's loss


@pytest.mark.parametrize("kind, layers", [("mlp", 3), ("mlp", 5), ("cnn", 4)])
def test_with_exact_synthesisers_dni_is_backprop(kind, layers):
    """To 1e-6 in float64: gradients of a step, and the weights after ten."""
    options = {"network": kind, "layers": layers, "splits": layers - 1}
    nets = [network(method="backprop", **options), exact(network(method="backprop", **options))]
    optimizers = [torch.optim.Adam(net.stages.parameters(), 1e-2) for net in nets]
    for step in range(10):
        x, y = batch(seed=step)
        for net, optimizer in zip(nets, optimizers, strict=True):
            value, at_cuts, _ = decoupled_loss(net, x, y)
            optimizer.zero_grad()
            value.backward()
            correct(net.cuts, at_cuts, gradient_loss) if net is nets[1] else None
            optimizer.step()
        for a, b in zip(*(net.stages.parameters() for net in nets), strict=True):
            assert torch.allclose(a.grad, b.grad, atol=1e-6) and torch.allclose(a, b, atol=1e-6)
    assert max(cut.wrong.max() for cut in nets[1].cuts) < 1e-12  # what came down is what they had said
    assert all(value == pytest.approx(1, abs=1e-9) for value in cosines(nets[1], *batch()))


def test_a_synthesiser_starts_at_zero_and_its_loss_is_the_squared_distance():
    for shape, options in itertools.product([(6,), (3, 4, 4)], [{}, {"hidden": (5,)}, {"rank": 2}]):
        for conditional in (True, False):
            module = Synthesiser(shape, 10, conditional=conditional, **options)
            h, y = torch.randn(7, *shape), torch.randint(10, (7,))
            assert torch.equal(module.gradient(h, y), torch.zeros_like(h))
            true = torch.randn_like(h)
            assert torch.allclose(module.loss(h, y, true, gradient_loss), true.pow(2).flatten(1).sum(1))


def test_a_linear_synthesiser_learns_a_linear_gradient():
    """The scalar case by hand: the loss (h − 3)² / 2 has the gradient h − 3, a line."""
    module = Synthesiser((1,), 10, conditional=False)
    optimizer = torch.optim.Adam(module.parameters(), 0.1)
    y = torch.zeros(64, dtype=torch.int64)
    for _ in range(300):
        h = torch.randn(64, 1) * 2
        optimizer.zero_grad()
        module.loss(h, y, h - 3, gradient_loss).mean().backward()
        optimizer.step()
    assert module.layers[0].weight.item() == pytest.approx(1, abs=0.02)
    assert module.layers[0].bias.item() == pytest.approx(-3, abs=0.02)


def test_only_a_conditional_synthesiser_sees_the_label():
    h = torch.randn(2, 6)
    for conditional in (True, False):
        module = Synthesiser((6,), 10, conditional=conditional)
        nn.init.normal_(module.layers[-1].weight)
        same = torch.equal(module(h, torch.tensor([1, 2])), module(h, torch.tensor([3, 4])))
        assert same is not conditional


# ---------------------------------------------------------- the baselines


def test_backprop_in_stages_is_backprop():
    net = network(method="backprop", layers=4, splits=3)
    x, y = batch()
    F.cross_entropy(net(x), y).backward()
    whole = [p.grad.clone() for p in net.stages.parameters()]
    net.zero_grad()
    decoupled_loss(net, x, y)[0].backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(whole, net.stages.parameters(), strict=True))


def test_a_local_head_trains_the_stage_below_by_its_own_loss_alone():
    net = network(method="dgl", layers=3, splits=2)
    x, y = batch()
    decoupled_loss(net, x, y)[0].backward()
    got = [p.grad.clone() for p in net.stages[0].parameters()]
    net.zero_grad()
    F.cross_entropy(net.cuts[0](net.stages[0](x)), y).backward()
    assert all(torch.allclose(a, p.grad) for a, p in zip(got, net.stages[0].parameters(), strict=True))
    head = LocalHead((8, 5, 5), 10)
    assert head(torch.randn(3, 8, 5, 5)).shape == (3, 10)


def test_without_backprop_the_lower_stages_stay_and_the_last_one_learns(few):
    before = Network(Config(method="no-bp", width=24), (1, 28, 28), 10)
    config = Config(method="no-bp", width=24, epochs=2, batch_size=100)
    torch.manual_seed(0)
    start = Network(config, (1, 28, 28), 10).state_dict()
    after = training.train(config, run=Run(seed=0, progress=False)).network.state_dict()
    assert start.keys() == after.keys() == before.state_dict().keys()
    weights = [name for name in start if name.endswith("weight") and name.startswith("stages")]
    assert all(torch.equal(start[name], after[name]) for name in weights if not name.startswith("stages.2"))
    assert all(not torch.equal(start[name], after[name]) for name in weights if name.startswith("stages.2"))
    assert NoBackprop().loss(torch.zeros(1), None, None, gradient_loss) is None


def test_the_synthetic_input_goes_up_and_the_gradient_there_comes_down():
    net = network(synthetic_inputs=True, layers=3, splits=2)
    x, y = batch()
    _, at_cuts, guesses = decoupled_loss(net, x, y)
    assert [g.shape for g in guesses] == [(16,), (16,)]
    value, at_cuts, guesses = decoupled_loss(net, x, y)
    value.backward()
    leaf = net.inputs[1](x).detach().requires_grad_()  # what the last stage really saw
    F.cross_entropy(net.stages[2](leaf), y, reduction="sum").backward()
    assert torch.allclose(at_cuts[1][2][0], leaf.grad)


# --------------------------------------------------------------- the cuts


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_cuts_are_the_most_even_ones(work, given_data):
    parts = given_data.draw(st.integers(1, len(work)))
    cuts = balanced_cuts(work, parts)

    def heaviest(cuts):
        return max(sum(work[a:b]) for a, b in zip([0, *cuts], [*cuts, len(work)], strict=True))

    assert len(cuts) == parts - 1
    every = itertools.combinations(range(1, len(work)), parts - 1)
    assert heaviest(cuts) == min(heaviest(list(option)) for option in every)


# ------------------------------------------------------------- the trainer


@pytest.mark.parametrize("method", training.METHODS)
def test_every_method_learns(few, method):
    """Seconds each; without backprop the random features below are read by a trained last layer."""
    config = Config(method=method, epochs=6, batch_size=50, width=128, learning_rate=2e-3)
    trained = training.train(config, run=Run(progress=False))
    least = {"backprop": 0.85, "dni": 0.7, "cdni": 0.85, "no-bp": 0.5, "dgl": 0.85}[method]
    assert trained.run.figures["test_accuracy"] > least


def test_late_gradients_and_synthetic_inputs_learn_too(few):
    for changes in ({"delay": 3}, {"synthetic_inputs": True}, {"network": "cnn", "width": 8, "epochs": 3}):
        options = {"epochs": 6, "batch_size": 50, "width": 128, "learning_rate": 2e-3, "splits": 1} | changes
        trained = training.train(Config(**options), run=Run(progress=False, threads=1))
        assert trained.run.figures["test_accuracy"] > 0.75, changes


def test_the_synthetic_gradient_comes_to_point_the_true_way(few):
    config = Config(epochs=4, batch_size=50, splits=1, cosine_every=20)
    cosine = training.train(config, run=Run(progress=False)).run.metrics["cosine_1"].dropna()
    assert abs(cosine.iloc[0]) < 1e-6 and cosine.iloc[-5:].mean() > 0.3


@pytest.mark.parametrize("changes", [{}, {"delay": 2}, {"method": "dgl"}, {"synthetic_inputs": True}])
def test_an_interrupted_run_goes_on_bit_for_bit(few, tmp_path, changes):
    config = Config(width=16, batch_size=100, epochs=2, **changes)
    whole = training.train(config, run=Run(tmp_path / "a", seed=4, progress=False))
    training.train(config, run=Interrupted(tmp_path / "b", seed=4, progress=False))
    again = training.train(config, run=Run(tmp_path / "b", seed=4, progress=False, resume=True))
    assert again.run.step == whole.run.step == 80
    for a, b in zip(whole.network.state_dict().values(), again.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_readers_loss_is_what_trains_and_its_shape_is_checked(few, tmp_path):
    config = Config(width=16, batch_size=100, epochs=1)
    calls = []

    def mine(synthetic, true):
        calls.append(synthetic.shape)
        return (synthetic - true).abs().sum(dim=1)

    training.train(config, loss=mine, run=Run(tmp_path / "a", progress=False))
    assert len(calls) == 2 * 40  # two cuts, forty steps
    with pytest.raises(RunError, match="the source of loss has changed"):
        training.train(config, run=Run(tmp_path / "a", progress=False, resume=True))
    with pytest.raises(RunError, match=r"one number for each of the 100 samples, \[100\]; it has shape \[\]"):
        training.train(config, loss=lambda a, b: (a - b).pow(2).mean(), run=Run(progress=False))


def test_the_command_trains_evaluates_and_does_not_play(few, tmp_path, capsys):
    out = str(tmp_path / "d")
    flags = ["--method", "dgl", "--epochs", "2", "--width", "32", "--batch-size", "100", "--quiet"]
    assert main(["train", "dni", "--dataset", "mnist", *flags, "--seed", "1", "--out", out]) == 0
    figures = json.loads((tmp_path / "d" / "metrics.json").read_text())
    assert figures["test_accuracy"] > 0.2 and figures["samples_per_second"] > 0 and figures["seconds"] > 0
    capsys.readouterr()
    assert main(["evaluate", out, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["mean"] == pytest.approx(100 * figures["test_accuracy"], abs=1e-4)
    assert result["low"] < result["mean"] < result["high"] and result["images"] == 1_000
    assert main(["evaluate", out]) == 0
    assert "% [" in capsys.readouterr().out
    assert main(["play", out, "--video", str(tmp_path / "a.mp4")]) == 2
    assert "there is nothing to play" in capsys.readouterr().err


MISTAKES = {
    ("--dataset", "mnits"): "no data set is called 'mnits'; did you mean mnist?",
    ("--method", "bp"): "method must be one of backprop, dni, cdni, no-bp, dgl, not 'bp'",
    ("--splits", "3"): "3 layers can be cut in at most 2 places, not in 3",
    ("--layers", "1"): "layers must be at least 2, not 1",
    ("--method", "dgl", "--synthetic-inputs"): "synthetic inputs go with dni or cdni, not with dgl",
    ("--learning-rate", "nan"): "learning_rate must be a positive number, not nan",
    ("--budget", "huge"): "no budget is called 'huge'; there are: quick, full",
}


@pytest.mark.parametrize("flags", MISTAKES, ids=" ".join)
def test_a_mistake_gets_one_line(flags, capsys):
    assert main(["train", "dni", *flags]) == 2
    said = capsys.readouterr().err
    assert MISTAKES[flags] in said and len(said.strip().splitlines()) == 1


def test_a_budget_knows_what_each_method_wants():
    blind, seeing = (training.preset("mnist", method, "mlp", "full").config for method in ("dni", "cdni"))
    assert blind.synthesiser_hidden and blind.learning_rate < seeing.learning_rate
    assert not seeing.synthesiser_hidden and blind.epochs == seeing.epochs > Config().epochs
    assert training.preset("mnist", "cdni", "mlp", "quick").config.epochs < seeing.epochs
    with pytest.raises(RunError, match="no budget is called 'huge'; there are: quick, full"):
        training.preset("mnist", "cdni", "mlp", "huge")


def test_a_look_at_the_cosines_changes_nothing():
    """Not even the running statistics of batch normalisation."""
    net = network(method="dni", splits=2, synthesiser_hidden=(8,))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert len(cosines(net, *batch())) == 2
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
