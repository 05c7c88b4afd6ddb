"""Images a second of DCGAN training: zoolib's trainer, a bare loop of the same step, and the script most people copy.

The script is written after DCGAN in PyTorch's own examples: a data set that makes a tensor of one image at a time, a
loader, BCELoss on a sigmoid, two backward passes of the critic, Adam as it comes, and `.item()` in every step.  All
three train the same networks on batches of the same size, in turns.
"""

import copy
import statistics
import time
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from zoolib import data
from zoolib.generative import gan, sets
from zoolib.run import Run

STEPS, ROUNDS, BATCH = 60, 7, 64
CONFIG = replace(gan.preset("mnist", "dcgan").config, batch_size=BATCH, frames=0)


def main(folder) -> dict:
    torch.set_num_threads(2)
    mnist = sets.load("mnist")
    contestants = {"zoolib": Ours(mnist), "bare_loop": Bare(mnist), "public_script": Public()}
    seconds = {name: [] for name in contestants}
    for turn in range(ROUNDS + 1):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                contestant.step()
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - start)
    rate = {name: STEPS * BATCH / statistics.median(times) for name, times in seconds.items()}
    overhead = [a / b - 1 for a, b in zip(seconds["zoolib"], seconds["bare_loop"], strict=True)]
    faster = [b / a for a, b in zip(seconds["zoolib"], seconds["public_script"], strict=True)]
    return {
        "what": f"DCGAN on MNIST, batches of {BATCH}, {ROUNDS} turns of {STEPS} steps each, two threads",
        "images_per_second": {name: round(value) for name, value in rate.items()},
        "overhead_percent": round(100 * statistics.median(overhead), 1),
        "times_as_fast_as_the_script": round(statistics.median(faster), 2),
        "times_as_fast_by_turn": [round(value, 2) for value in faster],
    }


class Ours:
    """The trainer's own loop, a step at a time: Run, logging and all."""

    def __init__(self, mnist: sets.Set):
        self.pause = iter(self.run(mnist))

    def run(self, mnist):
        from zoolib.generative.losses import LOSSES, gradient_penalty
        from zoolib.parallel import Group

        run = Run(seed=0, threads=2, progress=False).begin("gan", CONFIG)
        state = gan.State(
            gan.make_generator(CONFIG, mnist.shape), gan.make_critic(CONFIG, mnist.shape), CONFIG, run.device
        )
        group, losses = Group(), LOSSES[CONFIG.loss]
        with run.track(state=state):
            for step in run.steps(STEPS * (ROUNDS + 2)):
                gan.update(state, mnist, step, losses, gradient_penalty, CONFIG, run, group)
                yield

    def step(self):
        next(self.pause)


class Bare:
    """The same step without a trainer: nothing is logged, saved or drawn from a seed."""

    def __init__(self, mnist: sets.Set):
        torch.manual_seed(0)
        self.images = mnist.train
        layout = torch.channels_last
        self.generator = gan.make_generator(CONFIG, mnist.shape).to(memory_format=layout)
        self.critic = gan.make_critic(CONFIG, mnist.shape).to(memory_format=layout)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        betas = (CONFIG.beta1, CONFIG.beta2)
        self.of_generator, self.of_critic = (
            torch.optim.Adam(network.parameters(), 1e-3, betas, fused=True) for network in (self.generator, self.critic)
        )

    def step(self):
        x = data.as_input(self.images[torch.randint(len(self.images), (BATCH,))])
        fake = self.generator(torch.randn(BATCH, CONFIG.latent))
        loss = (F.softplus(-self.critic(x)) + F.softplus(self.critic(fake.detach()))).mean()
        self.of_critic.zero_grad()
        loss.backward()
        self.of_critic.step()
        self.critic.requires_grad_(False)
        loss = F.softplus(-self.critic(fake)).mean()
        self.of_generator.zero_grad()
        loss.backward()
        self.critic.requires_grad_(True)
        self.of_generator.step()
        with torch.no_grad():
            for a, b in zip(self.average.state_dict().values(), self.generator.state_dict().values(), strict=True):
                a.lerp_(b, 0.005) if a.is_floating_point() else a.copy_(b)


class Digits(torch.utils.data.Dataset):
    """MNIST an image at a time, through PIL and normalised, as torchvision's data set and transforms do it."""

    def __init__(self):
        self.images = data.load("mnist").train_images[:, 0].numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        from PIL import Image

        pixels = np.array(Image.fromarray(self.images[i], mode="L"), np.uint8, copy=True)
        return torch.from_numpy(pixels)[None].to(torch.float32).div(255).sub_(0.5).div_(0.5)


class Public:
    """The script that most people copy."""

    def __init__(self):
        torch.manual_seed(0)
        shape = (1, 28, 28)
        self.generator = gan.make_generator(CONFIG, shape)
        self.critic = nn.Sequential(gan.make_critic(CONFIG, shape), nn.Sigmoid())
        self.criterion = nn.BCELoss()
        self.of_critic = torch.optim.Adam(self.critic.parameters(), 2e-4, (0.5, 0.999))
        self.of_generator = torch.optim.Adam(self.generator.parameters(), 2e-4, (0.5, 0.999))
        self.loader = torch.utils.data.DataLoader(Digits(), BATCH, shuffle=True, num_workers=2)
        self.batches = iter(self.loader)

    def step(self):
        real = next(self.batches)
        self.critic.zero_grad()
        label = torch.full((len(real),), 1.0)
        output = self.critic(real)
        loss_real = self.criterion(output, label)
        loss_real.backward()
        answer_real = output.mean().item()
        fake = self.generator(torch.randn(len(real), CONFIG.latent))
        label.fill_(0.0)
        output = self.critic(fake.detach())
        loss_fake = self.criterion(output, label)
        loss_fake.backward()
        answer_fake = output.mean().item()
        loss = loss_real + loss_fake
        self.of_critic.step()
        self.generator.zero_grad()
        label.fill_(1.0)
        output = self.critic(fake)
        own = self.criterion(output, label)
        own.backward()
        self.of_generator.step()
        return loss.item(), own.item(), answer_real, answer_fake, output.mean().item()
