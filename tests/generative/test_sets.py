"""Points on a ring and a grid, stacked digits, folders; and the judge of samples."""

import pytest
import torch
from PIL import Image

from zoolib import data
from zoolib.generative import judge, metrics, sets


@pytest.mark.parametrize("name, modes", [("ring", 8), ("grid", 25)])
def test_real_points_cover_every_mode(name, modes):
    points = sets.points(name, 5_000, 0)
    covered, good = metrics.point_coverage(points, sets.centres(name), sets.SPREAD[name])
    assert covered == modes and good == pytest.approx(0.989, abs=0.01)  # 1 − exp(−9/2)
    assert points.equal(sets.points(name, 5_000, 0)) and not points.equal(sets.points(name, 5_000, 1))
    real = sets.load(name)
    assert real.shape == (2,) and real.inputs(torch.tensor([3, 1])).equal(real.train[[3, 1]])


def test_stacked_digits_are_three_digits():
    mnist = data.load("mnist").test_images[:20]
    stacks = sets.stacked(mnist, 0)
    assert stacks.shape == (20, 3, 28, 28)
    for channel in stacks[0]:
        assert any(channel.equal(image) for image in mnist[:, 0])


def test_the_judge_sees_the_thousand_modes():
    real = sets.load("stacked-mnist")
    real = real._replace(train=real.train[:3_000], test=real.test[:5_000])
    figures = judge.Judge(real)(real.test)
    assert figures["modes"] > 950 and figures["kl"] < 0.2 and figures["recognised"] > 0.9  # e**-5 of the modes miss out


def test_the_judge_recognises_real_digits_and_puts_noise_far_away():
    real = sets.load("mnist")
    real = real._replace(train=real.train[:3_000], test=real.test[:3_000])
    see = judge.Judge(real)
    figures = see(real.test)
    assert figures["recognised"] > 0.985 and figures["distance"] == pytest.approx(0, abs=0.01)
    assert min(figures["shares"]) > 0.08 and figures["precision"] == figures["recall"] == 1
    assert see.of_real()["distance"] == see.floor and see.of_real()["recognised"] == figures["recognised"]
    assert figures["recognised_real"] == figures["recognised"]  # these samples are the test images
    noise = torch.randint(0, 256, (500, 1, 28, 28), dtype=torch.uint8, generator=data.generator(0))
    assert see.distance(noise) > 100 * see.floor and see(noise)["recall"] < 0.1  # a classifier alone is sure of noise


def test_a_set_without_a_classifier_is_judged_by_its_components(tmp_path):
    generator = data.generator(0)
    for i in range(400):
        pixels = torch.randint(0, 256, (3, 3, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).resize((16, 16)).save(tmp_path / f"{i}.png")
    real = sets.load(str(tmp_path), size=16)
    see = judge.Judge(real)
    figures = see(real.test)
    assert figures["features"] == "the 64 leading principal components" and "recognised" not in figures
    assert see.distance(real.train[:200]) < see.distance(torch.zeros(200, 3, 16, 16, dtype=torch.uint8)) / 5


def test_an_unknown_name_lists_all_there_are():
    with pytest.raises(data.DataError, match="there are: mnist, .* also learns from stacked-mnist, ring, grid"):
        sets.load("imagenet")
