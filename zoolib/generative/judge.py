"""What generated samples are worth: beside the real ones, by a classifier that has never seen a generated one."""

from __future__ import annotations

import functools

import torch

from zoolib import data, pretrained
from zoolib.generative import metrics, sets
from zoolib.generative.classifier import judge as classifier
from zoolib.generative.classifier import look

SAMPLES = 10_000  # of each kind in a final judgement
NEIGHBOURS = 5_000  # of each kind for precision and recall, which compare every pair
SURE = 0.9  # a sample is recognised where the classifier gives one class at least this probability
COMPONENTS = 64


def recognised(probabilities: torch.Tensor) -> float:
    """The share of images whose every channel is recognised; probabilities [N, channels, classes]."""
    return (probabilities.amax(2) >= SURE).all(1).double().mean().item()


class Judge:
    """Judges samples of one set: images by features, points by the modes that they cover.

    Where a classifier of the set ships with zoolib, the features are its 128 (of stacked MNIST: those of each channel);
    of any other set they are the 64 leading principal components of its training images.  They are divided by their
    root mean square over training images, so that no figure hangs on a network's units.
    """

    def __init__(self, real: sets.Set):
        self.real, self.points = real, real.name in sets.SPREAD
        named = "mnist" if real.name == "stacked-mnist" else real.name
        self.classifier = f"classifier-{named}" if f"classifier-{named}" in pretrained.names() else None
        if self.classifier:
            self.network = classifier(named).to(real.train.device)
        elif not self.points:
            few = data.as_input(real.train[:SAMPLES]).flatten(1)
            self.mean = few.mean(0)
            _, values, vectors = torch.linalg.svd(few - self.mean, full_matrices=False)
            self.basis = vectors[:COMPONENTS].T
        self.features_of = self.classifier or f"the {COMPONENTS} leading principal components"

        self.scale = 1.0
        if not self.points:
            features, _ = self.see(real.train[:SAMPLES])
            self.scale = features.square().mean().sqrt()
            self.train = features / self.scale  # [N, D]

    def see(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features [N, D] of uint8 images and, where there is a classifier, probabilities [N, channels, classes]."""
        if not self.classifier:
            return (data.as_input(images).flatten(1) - self.mean) @ self.basis / self.scale, None
        n, channels = images.shape[:2]
        split = images.reshape(-1, 1, *images.shape[2:]) if self.real.name == "stacked-mnist" else images
        seen = [look(self.network, data.as_input(part)) for part in split.split(1_000)]
        each = len(split) // n
        features = torch.cat([s.features for s in seen]).reshape(n, -1) / self.scale
        return features, torch.cat([s.probabilities for s in seen]).reshape(n, each, -1)

    @functools.cached_property
    def seen(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What is seen in the test images: see `see`."""
        return self.see(self.real.test[:SAMPLES])

    @property
    def test(self) -> torch.Tensor:
        """Features of the test images [N, D]."""
        return self.seen[0]

    @property
    def recognised_real(self) -> float | None:
        """The share of test images that the classifier recognises."""
        return None if self.seen[1] is None else recognised(self.seen[1])

    @functools.cached_property
    def test_radii(self) -> torch.Tensor:
        """How far each test image is from its third neighbour."""
        return metrics.radii(self.test[:NEIGHBOURS])

    @functools.cached_property
    def training(self) -> metrics.Gaussian:
        """The normal distribution fitted to features of training images."""
        return metrics.gaussian(self.train)

    @functools.cached_property
    def floor(self) -> float:
        """The Fréchet distance of as many training images to the test images: what a perfect generator would have."""
        return metrics.frechet_distance(self.training, metrics.gaussian(self.test))

    def distance(self, samples: torch.Tensor) -> float:
        """The Fréchet distance of uint8 samples to training images, by which weights are chosen; for points, the share
        of modes and points that are missed."""
        if self.points:
            covered, good = metrics.point_coverage(samples, *self._modes())
            return 2 - covered / len(self._modes()[0]) - good
        return metrics.frechet_distance(metrics.gaussian(self.see(samples)[0]), self.training)

    def __call__(self, samples: torch.Tensor, brief: bool = False) -> dict:
        """All figures of uint8 samples [N, C, H, W], or of points [N, 2]; brief: without those that take long."""
        if self.points:
            covered, good = metrics.point_coverage(samples, *self._modes())
            return {"modes": covered, "good": good}
        features, probabilities = self.see(samples)
        figures = {"samples": len(samples), "features": self.features_of} | self._distances(features, brief)
        if probabilities is not None:
            label = probabilities.argmax(2)
            figures |= {"recognised": recognised(probabilities), "recognised_real": self.recognised_real}
            if self.real.name == "stacked-mnist":
                number = (label * torch.tensor([100, 10, 1], device=label.device)).sum(1)
                figures["modes"], figures["kl"] = metrics.mode_coverage(number, 1_000)
            else:
                counts = torch.bincount(label.flatten(), minlength=probabilities.shape[2])
                figures["shares"] = (counts / len(samples)).tolist()
        return figures

    def of_real(self) -> dict:
        """The same figures of real images: training images beside the test images, and what of these is recognised."""
        figures = self._distances(self.train, brief=False)
        return figures | ({} if self.recognised_real is None else {"recognised": self.recognised_real})

    def _distances(self, features: torch.Tensor, brief: bool) -> dict:
        test = self.test
        distance = metrics.frechet_distance(metrics.gaussian(features), metrics.gaussian(test))
        figures = {"distance": distance, "floor": self.floor}
        if not brief:
            near = (test[:NEIGHBOURS], features[:NEIGHBOURS])
            figures["precision"], figures["recall"] = metrics.precision_recall(*near, real_radii=self.test_radii)
            figures["kernel_distance"] = metrics.kernel_distance(test, features)
        return figures

    def _modes(self) -> tuple[torch.Tensor, float]:
        return sets.centres(self.real.name).to(self.real.train.device), sets.SPREAD[self.real.name]
