"""MADE: an ordering that holds, probabilities that sum to one, and nats that are those of slow loops."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoolib import data
from zoolib.generative import made
from zoolib.pretrained import load_weights
from zoolib.run import Run, RunError


def small(inputs=6, seed=0, **changes):
    """A MADE with random weights, the direct ones included."""
    torch.manual_seed(seed)
    config = made.Config(**({"hidden": (16,), "direct": True} | changes))
    model = made.MADE(inputs, config, seed).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.use(0)
    return model


def every_image(inputs):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=inputs)), dtype=torch.float64)


@given(st.integers(2, 7), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_an_output_depends_only_on_what_comes_before_it(inputs, hidden, direct, seed):
    model = small(inputs, seed, hidden=tuple(hidden), direct=direct, orderings=3, mask_sets=2)
    for number in range(model.mask_count):
        model.use(number)
        x = torch.rand(inputs, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda v: model(v[None])[0], x)
        later = model.ordering[:, None] <= model.ordering[None, :]  # [output, input]
        assert (jacobian[later] == 0).all()


def test_with_units_enough_every_earlier_pixel_counts():
    model = small(5, hidden=(64,), direct=False)
    model.use(0)
    jacobian = torch.autograd.functional.jacobian(lambda v: model(v[None])[0], torch.full((5,), 0.5).double())
    earlier = model.ordering[:, None] > model.ordering[None, :]
    assert (jacobian[earlier] != 0).double().mean() > 0.7  # ReLU silences some


@pytest.mark.parametrize("orderings, mask_sets", [(1, 1), (4, 1), (2, 3)])
def test_probabilities_sum_to_one(orderings, mask_sets):
    model = small(orderings=orderings, mask_sets=mask_sets)
    total = made.log_likelihood(model, every_image(6)).logsumexp(0)
    assert total.item() == pytest.approx(0, abs=1e-9)


def test_a_mean_of_logits_is_no_probability():
    model, x = small(orderings=4), every_image(6)
    logits = []
    for number in range(4):
        model.use(number)
        logits.append(model(x))
    wrong = -made.nll(torch.stack(logits).mean(0), x)
    assert abs(wrong.logsumexp(0).item()) > 0.05  # what a widely read port does


def test_nll_is_minus_the_log_of_the_product():
    logits, x = torch.randn(3, 4).double(), torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).double()
    p = logits.sigmoid()
    expected = -torch.where(x == 1, p, 1 - p).prod(1).log()
    torch.testing.assert_close(made.nll(logits, x), expected)


def test_samples_have_the_frequencies_of_their_probabilities():
    model = small(3, hidden=(8,))
    x = every_image(3)
    expected = made.log_likelihood(model, x).exp()
    drawn = made.sample(model, 40_000)
    number = (drawn @ torch.tensor([4, 2, 1]).double()).long()
    share = torch.bincount(number, minlength=8) / len(drawn)
    assert (share - expected).abs().max() < 0.015  # five standard errors of the largest
    assert made.sample(model, 9, seed=1).equal(made.sample(model, 9, seed=1))


def test_known_pixels_stay():
    model = small(6)
    known = torch.tensor([True, False, True, False, False, True])
    given_pixels = torch.tensor([[1, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 1]])
    drawn = made.sample(model, 2, known=known, given=given_pixels)
    assert drawn[:, known].equal(given_pixels[:, known].double())


def test_binary_draws_by_grey_value_and_the_same_again():
    grey = torch.tensor([0, 64, 255], dtype=torch.uint8).reshape(1, 1, 1, 3).repeat(20_000, 1, 1, 1)
    drawn = made.binary(grey, 1)
    assert drawn[:, 0].max() == 0 and drawn[:, 2].min() == 1
    assert drawn[:, 1].mean().item() == pytest.approx(64 / 255, abs=0.015)
    assert drawn.equal(made.binary(grey, 1)) and not drawn.equal(made.binary(grey, 2))


@pytest.fixture
def few(monkeypatch):
    """MNIST, cut to a size that trains in seconds."""
    mnist = data.load("mnist")
    cut = (mnist.train_images[:3_000], mnist.train_labels[:3_000], mnist.test_images[:500], mnist.test_labels[:500])
    monkeypatch.setattr(data, "load", lambda name, device="cpu": data.Images("mnist", mnist.classes, *cut))
    monkeypatch.setattr(made, "VALIDATION", 1_000)


CONFIG = made.Config(hidden=(50,), epochs=5, batch_size=50, learning_rate=1e-2, validate_every=20)


def run(path=None, **options):
    return Run(path, threads=1, progress=False, **options)


def test_it_learns_and_its_weights_give_the_same_again(few, tmp_path):
    trained = made.train(CONFIG, run=run(tmp_path))
    assert trained.run.figures["test_nll"] < 200  # 784 log 2 = 543 at the start; seeds give 127 to 139
    state, header = load_weights(tmp_path / "weights.safetensors")
    again = made.evaluate(state, header)
    assert again["mean"] == pytest.approx(trained.run.figures["test_nll"], abs=1e-3)
    assert again["low"] < again["mean"] < again["high"]


@pytest.mark.parametrize("changes", [{}, {"orderings": 2, "mask_sets": 2, "redraw": True, "average": 0.9}])
def test_a_resumed_run_ends_with_the_same_bits(few, tmp_path, changes):
    config = made.Config(**(vars(CONFIG) | changes))
    whole = made.train(config, run=run(tmp_path / "a"))

    count = itertools.count()

    def stop_at(logits, x):
        if next(count) == 37:
            broken.stop("interrupted")
        return made.nll(logits, x)

    broken = run(tmp_path / "b")
    made.train(config, loss=stop_at, run=broken)
    assert broken.step == 38
    resumed = made.train(config, loss=stop_at, run=run(tmp_path / "b", resume=True))
    for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert a.equal(b)


def test_a_loss_of_the_wrong_shape_is_named(few):
    with pytest.raises(RunError, match=r"one number an image, \[50\]; it has shape \[\]"):
        made.train(CONFIG, loss=lambda logits, x: made.nll(logits, x).mean(), run=run())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"hidden": ()}, r"not \(\)"),
        ({"orderings": 0}, "orderings must be at least 1, not 0"),
        ({"average": 1.0}, "1.0"),
    ],
)
def test_a_wrong_number_is_named(changes, words):
    with pytest.raises(RunError, match=words):
        made.Config(**changes)


def test_the_average_of_two_orderings_beats_their_mean(few):
    trained = made.train(made.Config(**(vars(CONFIG) | {"orderings": 2})), run=run())
    x = made.test(data.load("mnist"))
    both = made.log_likelihood(trained.model, x).mean().item()
    each = []
    for number in range(2):
        trained.model.use(number)
        each.append(-made.nll(trained.model(x), x).mean().item())
    assert both > sum(each) / 2 and both > max(each) - math.log(2)
