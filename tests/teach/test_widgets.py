"""zoolib.teach.widgets.scrubber: what reaches the page (its behaviour is tried in the browser test)."""

import json
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from zoolib.teach import widgets
from zoolib.teach.plot import png


@pytest.fixture
def shown(monkeypatch):
    pages = []
    monkeypatch.setattr(widgets, "display", lambda page: pages.append(page.data))
    return pages


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
