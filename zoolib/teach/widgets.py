"""Widgets that need no kernel: HTML with inline JavaScript, alike in Jupyter, on Colab and on the page."""

import base64
import html
import io
import json
import uuid

import numpy as np
from IPython.display import HTML, display
from PIL import Image

from zoolib.teach.plot import png

_SCRUBBER = """<figure class="zoo-figure zoo-scrubber" id="{ident}">
<img alt="{alt}" {size}style="max-width:100%;height:auto" src="{first}">
<div style="display:flex;gap:.75em;align-items:center;max-width:640px">
<input type="range" min="0" max="{last}" value="{start}" step="1" aria-label="{caption}"
 aria-valuetext="{label}" style="flex:1;min-width:8em;height:2em">
<output style="min-width:9em" aria-live="polite">{label}</output></div>
<figcaption>{caption}</figcaption>
<script type="application/json">{data}</script>
<script>
(function () {{
  var box = document.getElementById("{ident}");
  var data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
  var slider = box.querySelector("input"), said = box.querySelector("output");
  var image = box.querySelector("img");
  slider.addEventListener("focus", function () {{  // fetch the frames only for a reader who plays
    data.frames.forEach(function (frame) {{ new Image().src = frame; }});
  }}, {{once: true}});
  slider.addEventListener("input", function () {{
    var i = Number(slider.value);
    image.src = data.frames[i];
    said.textContent = data.labels[i];
    slider.setAttribute("aria-valuetext", data.labels[i]);
  }});
}})();
</script></figure>"""


def scrubber(frames, labels, caption, alt, start=-1):
    """Display a slider that steps through images; without JavaScript the frame `start` stands still.

    frames: list of matplotlib figures (closed afterwards) or PNG bytes.  labels: a short text for each, shown
    and announced as the slider moves.  caption: what the slider changes.  alt: what the images show.
    start: index of the frame shown first, the last one unless told.
    Raises ValueError for no frames, as many labels as frames missing, or an empty alt.
    """
    if not frames or len(frames) != len(labels):
        raise ValueError(f"one label a frame, and at least one frame: got {len(frames)} and {len(labels)}")
    if not alt.strip():
        raise ValueError("alt is empty: say in words what the images show")
    start = range(len(frames))[start]
    images = [frame if isinstance(frame, bytes) else png(frame) for frame in frames]
    width, height = (int.from_bytes(images[0][i : i + 4], "big") // 2 for i in (16, 20))  # PNG header; 2x density
    uris = ["data:image/png;base64," + base64.b64encode(image).decode() for image in images]
    data = json.dumps({"frames": uris, "labels": list(labels)}).replace("</", "<\\/")
    display(
        HTML(
            _SCRUBBER.format(
                ident="zoo-scrubber-" + uuid.uuid5(uuid.NAMESPACE_OID, data).hex[:12],
                alt=html.escape(alt),
                size=f'width="{width}" height="{height}" ',
                first=uris[start],
                last=len(frames) - 1,
                start=start,
                label=html.escape(labels[start]),
                caption=html.escape(caption),
                data=data,
            )
        )
    )


_LATENT_MAP = """<figure class="zoo-figure zoo-latent-map" id="{ident}">
<canvas width="{width}" height="{height}" role="img" aria-label="{alt}"
 style="width:196px;image-rendering:pixelated"></canvas>
<div style="max-width:640px">
<label style="display:flex;gap:.75em;align-items:center">across
<input type="range" min="0" max="{right}" value="0" step="1" style="flex:1;min-width:8em;height:2em"></label>
<label style="display:flex;gap:.75em;align-items:center">down
<input type="range" min="0" max="{bottom}" value="0" step="1" style="flex:1;min-width:8em;height:2em"></label></div>
<img src="{strip}" alt="{alt}" style="width:100%;max-width:640px;image-rendering:pixelated">
<figcaption>{caption}</figcaption>
<script type="application/json">{sheet}</script>
<script>
(function () {{
  var box = document.getElementById("{ident}"), canvas = box.querySelector("canvas");
  var sheet = new Image(), sliders = box.querySelectorAll("input");
  function draw() {{
    canvas.getContext("2d").drawImage(sheet, sliders[0].value * {width}, sliders[1].value * {height},
      {width}, {height}, 0, 0, {width}, {height});
  }}
  sliders.forEach(function (slider) {{ slider.addEventListener("input", draw); }});
  sheet.addEventListener("load", draw);
  sheet.src = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
}})();
</script></figure>"""


def latent_map(images, caption, alt):
    """Display a map of images with a slider for each of its directions, and its diagonal as a still strip.

    images: uint8 tensor or array [rows, columns, C, H, W], as many rows as columns: what a generator makes of a grid of
    latent vectors.  Without JavaScript the strip remains.  caption and alt: see `scrubber`.
    Raises ValueError for another shape, or an empty alt.
    """
    images = np.asarray(images)
    if images.ndim != 5 or images.shape[0] != images.shape[1]:
        raise ValueError(f"images must be a square map [N, N, C, H, W]; they have {list(images.shape)}")
    if not alt.strip():
        raise ValueError("alt is empty: say in words what the images show")
    n, _, _, height, width = images.shape
    rows = [np.concatenate(list(row), axis=2) for row in images]  # [C, H, N·W]
    sheet = _picture(np.concatenate(rows, axis=1))
    strip = _picture(np.concatenate([images[i, i] for i in range(n)], axis=2))
    display(
        HTML(
            _LATENT_MAP.format(
                ident="zoo-latent-map-" + uuid.uuid5(uuid.NAMESPACE_OID, sheet + caption).hex[:12],
                alt=html.escape(alt),
                caption=html.escape(caption),
                sheet=json.dumps(sheet),
                strip=strip,
                width=width,
                height=height,
                right=n - 1,
                bottom=n - 1,
            )
        )
    )


def _picture(image):
    """A uint8 array [C, H, W] with one or three channels as a PNG in a data URI."""
    image = image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
