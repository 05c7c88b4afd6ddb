"""Samples as pictures: a sheet, a walk through the latent space, and the film of a training."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from PIL import Image

from zoolib import data
from zoolib.generative import gan, sets
from zoolib.generative.networks import Generator

SHEET = 64  # samples on a sheet
STOPS, BETWEEN = 8, 12  # places that a walk visits, and pictures from one to the next
SECOND = 12  # pictures a second


def sheet(samples: torch.Tensor, columns: int = 8, scale: int = 1) -> np.ndarray:
    """Images [N, C, H, W] side by side, row after row: uint8 [rows·H·scale, columns·W·scale, 3]."""
    n, channels, height, width = samples.shape
    rows = -(-n // columns)
    page = torch.zeros(rows * columns, channels, height, width, dtype=torch.uint8)
    page[:n] = samples.cpu()
    page = page.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    page = (
        page.reshape(rows * height, columns * width, channels).expand(-1, -1, 3)
        if channels == 1
        else page.reshape(rows * height, columns * width, channels)
    )
    return page.numpy().repeat(scale, 0).repeat(scale, 1)


def scatter(points: torch.Tensor, name: str, side: int = 448) -> np.ndarray:
    """Points [N, 2] in blue on white, the modes of the set as grey rings: uint8 [side, side, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(side / 100, side / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    modes = sets.centres(name)
    reach = 1.5 * float(modes.abs().max())
    ax = figure.add_axes((0, 0, 1, 1), xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
    ax.scatter(*modes.T, s=250, facecolors="none", edgecolors="#9CA3AF")
    ax.scatter(*points.cpu().T, s=6, color="#0072B2", linewidths=0)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def walk(generator: Generator, stops: int = STOPS, between: int = BETWEEN, seed: int = 0) -> torch.Tensor:
    """What a generator makes on a round trip past `stops` random latent vectors: uint8 [stops·between, C, H, W].

    The way from one to the next is an arc of a great circle, for a straight line would lead through lengths that a
    latent vector hardly ever has (White 2016).
    """
    z = torch.randn(stops, generator.latent, generator=data.generator(seed, 4))
    share = torch.arange(between)[:, None] / between
    path = [arc(z[i], z[(i + 1) % stops], share) for i in range(stops)]
    return gan.decode(generator, torch.cat(path))


def arc(a: torch.Tensor, b: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Spherical interpolation from a [latent] (share 0) to b (share 1); share: [T, 1].  Returns [T, latent]."""
    angle = torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    if angle.sin() < 1e-4:  # one number, or two that lie on a line
        return (1 - share) * a + share * b
    return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()


def film(pictures: list[np.ndarray], path: Path) -> None:
    """Write pictures, uint8 [H, W, 3] each, as a gif or mp4, as the path's ending says."""
    if path.suffix == ".gif":
        first, *rest = [Image.fromarray(picture).quantize(64) for picture in pictures]
        first.save(path, save_all=True, append_images=rest, duration=1000 // SECOND, loop=0, optimize=True)
    else:
        iio.imwrite(path, np.stack(pictures), fps=SECOND, codec="libx264", macro_block_size=2)


def write(trained: gan.Trained, folder: str | Path) -> list[Path]:
    """Write samples.png, training.gif and .mp4 and, of images, walk.png, .gif and .mp4 into `folder`.

    Returns their paths.
    """
    folder = Path(folder)
    name, sample = trained.config.dataset, trained.sample(SHEET if trained.config.dataset not in sets.SPREAD else 2_000)
    if name in sets.SPREAD:
        draw = lambda points: scatter(points, name)  # noqa: E731
    else:
        scale = max(1, 56 // sample.shape[-1])
        draw = lambda images: sheet(images, scale=scale)  # noqa: E731
    Image.fromarray(draw(sample)).save(folder / "samples.png")
    films = {"training": [draw(frame) for _, frame in sorted(trained.frames.items())]}
    if name not in sets.SPREAD:
        images = walk(trained.generator)
        films["walk"] = [sheet(image[None], 1, 4 * scale) for image in images]
        Image.fromarray(sheet(images[:: BETWEEN // 2], 2 * STOPS, scale)).save(folder / "walk.png")
    for title, pictures in films.items():
        if pictures:
            film(pictures, folder / f"{title}.gif")
            film(pictures, folder / f"{title}.mp4")
    return sorted(p for p in folder.iterdir() if p.suffix in (".png", ".gif", ".mp4"))
