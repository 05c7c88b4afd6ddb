"""The classifier that judges generated images."""

import pytest
import torch

from zoolib import data
from zoolib.generative import classifier
from zoolib.run import Run, RunError


def test_shifted_moves_each_image_and_repeats_the_edge():
    images = torch.arange(32.0).reshape(2, 1, 4, 4)
    assert classifier.shifted(images, 0, data.generator(0)).equal(images)
    moved = classifier.shifted(images, 1, data.generator(0))
    padded = torch.nn.functional.pad(images, (1,) * 4, mode="replicate")
    for image, source in zip(moved, padded, strict=True):
        places = [source[:, r : r + 4, c : c + 4] for r in range(3) for c in range(3)]
        assert any(image.equal(place) for place in places)


def test_look_leaves_the_mode_alone_and_gives_the_networks_own_answers():
    torch.manual_seed(0)
    network = classifier.Classifier((1, 28, 28), 10, 4).train()
    images = torch.randn(7, 1, 28, 28)
    seen = classifier.look(network, images, batch_size=3)
    assert network.training and seen.features.shape == (7, classifier.FEATURES)
    torch.testing.assert_close(seen.probabilities, network.eval()(images).softmax(1))


@pytest.fixture
def small(monkeypatch):
    """MNIST, cut to a size that trains in a second."""
    mnist = data.load("mnist")
    few = data.Images(
        *("mnist", mnist.classes, mnist.train_images[:2_000], mnist.train_labels[:2_000]),
        *(mnist.test_images[:500], mnist.test_labels[:500]),
    )
    monkeypatch.setattr(data, "load", lambda name, device="cpu": few)


def test_it_learns_and_its_weights_give_the_same_again(small, tmp_path):
    config = classifier.Config(width=4, epochs=3, batch_size=50)
    trained = classifier.train(config, run=Run(tmp_path, threads=1, progress=False))
    assert trained.run.figures["test_accuracy"] > 0.6  # chance: 0.1; seeds give 0.8 and more
    state, header = classifier.pretrained.load_weights(tmp_path / "weights.safetensors")
    again = classifier.evaluate(state, header)
    assert again["mean"] == pytest.approx(100 * trained.run.figures["test_accuracy"])
    assert again["low"] <= again["mean"] <= again["high"] and again["images"] == 500
    del header["config"]["width"]
    with pytest.raises(classifier.pretrained.WeightsError, match="do not fit their header"):
        classifier.load(state, header)


@pytest.mark.parametrize("changes, words", [({"epochs": 0}, "epochs must be at least 1, not 0"), ({"shift": -1}, "-1")])
def test_a_wrong_number_is_named(changes, words):
    with pytest.raises(RunError, match=words):
        classifier.Config(**changes)
