"""A video in a chapter: fetched only when played, with a still and words for those who do not play it."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import imageio.v3 as iio
from IPython.display import HTML, display
from PIL import Image


def show(path: str | Path, caption: str, alt: str, poster_at: float = 0.5) -> None:
    """Display an mp4 with controls and a poster: the frame at the share `poster_at` of its length.

    alt: what the video shows, for a reader who cannot see it.  ValueError where it is empty.
    """
    if not alt.strip():
        raise ValueError("alt is empty: say in words what the video shows")
    frames = iio.imread(path, plugin="FFMPEG")
    poster = io.BytesIO()
    Image.fromarray(frames[int(poster_at * (len(frames) - 1))]).save(poster, "PNG", optimize=True)
    height, width = frames.shape[1:3]
    movie, still = (base64.b64encode(data).decode() for data in (Path(path).read_bytes(), poster.getvalue()))
    display(
        HTML(
            f'<figure class="zoo-figure"><video controls preload="none" playsinline loop width="{width}" '
            f'height="{height}" style="max-width:100%;height:auto" aria-label="{html.escape(alt)}" '
            f'poster="data:image/png;base64,{still}" src="data:video/mp4;base64,{movie}"></video>'
            f"<figcaption>{html.escape(caption, quote=False)}</figcaption></figure>"
        )
    )
