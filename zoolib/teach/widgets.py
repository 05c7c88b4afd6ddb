"""Widgets that need no kernel: HTML with inline JavaScript, alike in Jupyter, on Colab and on the page."""

import base64
import html
import json
import uuid

from IPython.display import HTML, display

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
