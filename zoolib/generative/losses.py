"""What critic and generator minimise: a GAN's name is mostly the name of its loss.

The critic D gives each image a number, its logit; `real` and `fake` are the logits [B] of real images and of generated
ones.  Every loss here is a number a sample, [B], and takes numbers only, so that it can be exchanged in one place.
(Goodfellow et al. call D a discriminator, Arjovsky et al. a critic; here it is the critic everywhere.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def cross_entropy_critic(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """−log σ(D(x)) − log(1 − σ(D(G(z)))): Goodfellow et al. 2014, equation 1, with D's logits.  [B] and [B] to [B]."""
    return F.softplus(-real) + F.softplus(fake)


def non_saturating_generator(fake: torch.Tensor) -> torch.Tensor:
    """−log σ(D(G(z))): Goodfellow et al. 2014, end of section 3.  [B] to [B]."""
    return F.softplus(-fake)


def saturating_generator(fake: torch.Tensor) -> torch.Tensor:
    """log(1 − σ(D(G(z)))), the minimax game: Goodfellow et al. 2014, equation 1.  [B] to [B]."""
    return -F.softplus(fake)


def least_squares_critic(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """½(D(x) − 1)² + ½D(G(z))²: Mao et al. 2017, equation 9 (a = 0, b = 1).  [B] and [B] to [B]."""
    return 0.5 * (real - 1) ** 2 + 0.5 * fake**2


def least_squares_generator(fake: torch.Tensor) -> torch.Tensor:
    """½(D(G(z)) − 1)²: Mao et al. 2017, equation 9 (c = 1).  [B] to [B]."""
    return 0.5 * (fake - 1) ** 2


def wasserstein_critic(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """D(G(z)) − D(x), whose mean is minus the earth mover's distance once D is the best 1-Lipschitz function.

    Arjovsky et al. 2017, equation 2 and algorithm 1.  [B] and [B] to [B].
    """
    return fake - real


def wasserstein_generator(fake: torch.Tensor) -> torch.Tensor:
    """−D(G(z)): Arjovsky et al. 2017, algorithm 1.  [B] to [B]."""
    return -fake


def gradient_penalty(critic: nn.Module, real: torch.Tensor, fake: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """(‖∇D(x̂)‖₂ − 1)² at points x̂ = share · real + (1 − share) · fake: Gulrajani et al. 2017, equation 3.

    real, fake: [B, ...]; share: [B], uniform in [0, 1].  Returns [B], to be multiplied by λ.
    """
    share = share.reshape(-1, *[1] * (real.ndim - 1))
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1) ** 2


# name -> (critic's loss, generator's loss)
LOSSES = {
    "non-saturating": (cross_entropy_critic, non_saturating_generator),
    "saturating": (cross_entropy_critic, saturating_generator),
    "least-squares": (least_squares_critic, least_squares_generator),
    "wasserstein": (wasserstein_critic, wasserstein_generator),
}
