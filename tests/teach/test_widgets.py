"""zoolib.teach.widgets: what reaches the page (how it behaves is tried in the browser test)."""

import base64
import io
import json
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from zoolib.teach import widgets
from zoolib.teach.plot import png


def frame(height):
    fig = plt.figure(figsize=(2, 1))
    fig.add_subplot().plot([0, height])
    return fig


def test_scrubber_carries_every_frame_and_starts_at_the_last(shown):
    figures = [frame(1), png(frame(2)), frame(3)]
    widgets.scrubber(figures, ["one", "<two>", "</script>"], caption='"c"', alt="bars")
    (page,) = shown
    raw = re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1]
    data = json.loads(raw)
    assert data["labels"] == ["one", "<two>", "</script>"] and len(set(data["frames"])) == 3
    assert re.search(r'<img alt="bars" width="200" height="100"[^>]*src="([^"]+)"', page)[1] == data["frames"][2]
    assert 'type="range" min="0" max="2" value="2"' in page
    assert 'aria-label="&quot;c&quot;"' in page and ">&lt;/script&gt;</output>" in page
    assert page.count("<script") == page.count("</script>")


def test_two_scrubbers_on_a_page_have_their_own_ids(shown):
    for height in (1, 2):
        widgets.scrubber([frame(height)], ["a"], caption="c", alt="a")
    first, second = (re.search(r'id="([^"]+)"', page)[1] for page in shown)
    assert first != second


@pytest.mark.parametrize(
    ("frames", "labels", "alt", "says"),
    [([], [], "a", "0"), ([b""], [], "a", "1 and 0"), ([b""], ["x"], "", "alt")],
)
def test_scrubber_says_what_is_missing(shown, frames, labels, alt, says):
    with pytest.raises(ValueError, match=says):
        widgets.scrubber(frames, labels, caption="c", alt=alt)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_latent_map_lays_its_images_out_row_by_row(shown, channels):
    images = np.arange(9, dtype=np.uint8).reshape(3, 3, 1, 1, 1).repeat(channels, 2).repeat(4, 3).repeat(5, 4)
    widgets.latent_map(images, caption="c", alt="from <0> to 8")
    (page,) = shown
    sheet = json.loads(re.search(r'json">(.*?)</script>', page)[1])
    strip = re.search(r'<img src="([^"]+)" alt="from &lt;0&gt; to 8"', page)[1]
    whole, diagonal = (np.array(Image.open(io.BytesIO(base64.b64decode(u.split(",")[1])))) for u in (sheet, strip))
    assert whole.shape[:2] == (12, 15) and diagonal.shape[:2] == (4, 15)
    assert whole[::4, ::5].reshape(9, -1)[:, 0].tolist() == list(range(9))  # row after row
    assert diagonal[0, ::5].reshape(3, -1)[:, 0].tolist() == [0, 4, 8]
    assert page.count('max="2"') == 2 and '<canvas width="5" height="4"' in page


def test_a_latent_map_says_what_is_missing(shown):
    with pytest.raises(ValueError, match=r"square map.*\[2, 3, 1, 4, 4\]"):
        widgets.latent_map(np.zeros((2, 3, 1, 4, 4), np.uint8), caption="c", alt="a")
    with pytest.raises(ValueError, match="alt"):
        widgets.latent_map(np.zeros((2, 2, 1, 4, 4), np.uint8), caption="c", alt=" ")
