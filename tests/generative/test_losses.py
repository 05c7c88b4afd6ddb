"""The losses of generator and critic, against their equations and known answers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoolib.generative import losses, networks

real = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)
fake = torch.tensor([-3.0, 0.5, 0.0], dtype=torch.float64)


def test_the_original_losses_are_log_probabilities():
    p, q = real.sigmoid(), fake.sigmoid()
    torch.testing.assert_close(losses.cross_entropy_critic(real, fake), -p.log() - (1 - q).log())
    torch.testing.assert_close(losses.non_saturating_generator(fake), -q.log())
    torch.testing.assert_close(losses.saturating_generator(fake), (1 - q).log())


def test_a_sure_critic_silences_the_saturating_loss_and_not_the_other():
    at = torch.tensor([-20.0], requires_grad=True)
    (saturating,) = torch.autograd.grad(losses.saturating_generator(at).sum(), at)
    (other,) = torch.autograd.grad(losses.non_saturating_generator(at).sum(), at)
    assert saturating.abs() < 1e-8 and other.abs() > 0.999


def test_least_squares_and_wasserstein_by_hand():
    assert losses.least_squares_critic(real, fake).tolist() == [0.5 + 4.5, 2 + 0.125, 0.5]
    assert losses.least_squares_generator(fake).tolist() == [8.0, 0.125, 0.5]
    assert losses.wasserstein_critic(real, fake).tolist() == [-5.0, 1.5, 0.0]
    assert losses.wasserstein_generator(fake).tolist() == [3.0, -0.5, 0.0]


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_is_a_number_a_sample(name):
    critic, generator = losses.LOSSES[name]
    assert critic(real, fake).shape == generator(fake).shape == (3,)


@pytest.mark.parametrize("slope, penalty", [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_the_penalty_of_a_linear_critic_is_its_slopes(slope, penalty):
    direction = F.normalize(torch.randn(12, dtype=torch.float64), dim=0)

    def critic(x):
        return slope * (x.flatten(1) @ direction)

    a, b = torch.randn(2, 5, 3, 2, 2, dtype=torch.float64)
    value = losses.gradient_penalty(critic, a, b, torch.rand(5, dtype=torch.float64))
    torch.testing.assert_close(value, torch.full((5,), penalty, dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_penalty_looks_between_real_and_fake_and_teaches_the_critic():
    weight = nn.Parameter(torch.tensor(2.0))

    def critic(x):  # its slope at x is 2 w x
        return weight * x.pow(2).sum(1)

    value = losses.gradient_penalty(critic, torch.tensor([[1.0]]), torch.tensor([[3.0]]), torch.tensor([0.25]))
    at = 0.25 * 1 + 0.75 * 3
    assert value.item() == pytest.approx((2 * 2 * at - 1) ** 2)
    value.sum().backward()
    assert weight.grad.item() == pytest.approx(2 * (4 * at - 1) * 2 * at)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_convolutional_networks_fit_their_images(shape):
    generator, critic = networks.conv_generator(16, shape, 8), networks.conv_critic(shape, 8)
    images = generator(torch.randn(2, 16))
    assert images.shape == (2, *shape) and images.abs().max() <= 1
    assert critic(images).shape == (2,)


def test_fully_connected_networks_make_images_and_points():
    assert networks.mlp_generator(4, (1, 28, 28), 8)(torch.randn(3, 4)).abs().max() <= 1
    points = networks.mlp_generator(4, (2,), 8)(1_000 * torch.randn(3, 4))
    assert points.shape == (3, 2) and points.abs().max() > 1  # no tanh
    assert networks.mlp_critic((2,), 8)(points).shape == (3,)


def test_without_norm_the_critic_sees_each_image_by_itself():
    torch.manual_seed(0)
    images = torch.randn(4, 1, 28, 28)
    for norm in (False, True):
        critic = networks.conv_critic((1, 28, 28), 8, norm)
        alone = torch.cat([critic(image[None]) for image in images])
        assert torch.allclose(critic(images), alone, atol=1e-5) is not norm


def test_a_fair_critic_that_knows_nothing_pays_two_log_two():
    nothing = torch.zeros(1)
    assert losses.cross_entropy_critic(nothing, nothing).item() == pytest.approx(2 * math.log(2))
