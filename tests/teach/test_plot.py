"""zoolib.teach.plot: what reaches the page, and what a learning curve draws."""

import base64
import io
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zoolib.stats import interquartile_mean
from zoolib.teach import plot


@pytest.fixture(autouse=True)
def book_style():
    with plt.rc_context():
        plot.use_style()
        yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    pages = []
    monkeypatch.setattr(plot, "display", lambda page: pages.append(page.data))
    return pages


def contrast(colour, other="#FFFFFF"):
    """WCAG 2 contrast ratio of two colours."""

    def luminance(code):
        parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return np.dot(parts, [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(colour), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_show_gives_a_figure_at_twice_the_density_with_its_texts_escaped(shown):
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    plot.show(fig, caption="a < b & c", alt='a "line"')
    (page,) = shown
    assert page.startswith('<figure class="zoo-figure"><img alt="a &quot;line&quot;" width="640" height="360"')
    assert "<figcaption>a &lt; b &amp; c</figcaption>" in page
    data = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (1280, 720)
    assert not plt.fignum_exists(fig.number)


def test_the_same_figure_gives_the_same_bytes():
    images = set()
    for _ in range(2):
        fig, ax = plt.subplots()
        ax.plot([1, 2])
        images.add(plot.png(fig))
    assert len(images) == 1  # otherwise every build would rewrite every page


def test_show_refuses_a_figure_without_words(shown):
    with pytest.raises(ValueError, match="alt"):
        plot.show(plt.figure(), caption="c", alt=" ")
    assert not shown


def test_text_is_large_and_dark_enough():
    sizes = ["font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"]
    assert min(plt.rcParams[name] for name in sizes) >= 10
    assert contrast(plot.COLOURS["ink"]) > 7 and contrast(plot.COLOURS["grey"]) > 4.5


def test_lines_differ_without_colour():
    fig, ax = plt.subplots()
    styles = {str(ax.plot([0, 1])[0]._dash_pattern) for _ in range(6)}
    assert len(styles) == 6


def record(*levels, steps=None):
    steps = steps or [[0, 10, 20]] * len(levels)
    runs = [{"seed": s, "curve": {"step": steps[s], "validation_return": list(v)}} for s, v in enumerate(levels)]
    return {"runs": runs}


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_learning_curve_draws_seeds_their_middle_and_the_readers_run():
    levels = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [50, 50, 50]]
    ax = plt.figure().add_subplot()
    live = pd.DataFrame({"step": [0, 10, 20], "validation_return": [5.0, np.nan, 7.0]})
    plot.learning_curve(ax, record(*levels), live=live, threshold=2)
    assert labels(ax) == ["95 % interval", "interquartile mean, 4 seeds", "your run", "threshold 2"]
    *seeds, middle, mine, _ = ax.get_lines()
    np.testing.assert_allclose([line.get_ydata() for line in seeds], levels)
    np.testing.assert_allclose(middle.get_ydata(), interquartile_mean(levels))
    np.testing.assert_allclose(mine.get_xydata(), [[0, 5], [20, 7]])
    (band,) = ax.collections
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.min() >= 0 and edges.max() <= 50 and np.ptp(edges) > 1
    assert ax.get_xlabel() == "environment steps" and ax.get_ylabel() == "validation return"


def test_a_seed_that_failed_is_dashed_and_named():
    ax = plt.figure().add_subplot()
    plot.learning_curve(ax, record([0, 5, 9], [0, 5, 10], [0, 20, 1]), threshold=10)
    assert "seed 0 never reached 10" in labels(ax)
    assert [line.get_linestyle() for line in ax.get_lines()[:3]] == ["--", "-", "-"]
    assert sum("never" in text for text in labels(ax)) == 1


def test_runs_of_different_lengths_share_a_grid_and_keep_their_last_value():
    ax = plt.figure().add_subplot()
    plot.learning_curve(ax, record([0, None, 2], [4, 4], steps=[[0, 10, 20], [0, 40]]))
    middle = ax.get_lines()[2]
    at, level = middle.get_data()
    assert at[0] == 0 and at[-1] == 40
    np.testing.assert_allclose(level, (np.minimum(at / 10, 2) + 4) / 2)


def test_a_curve_with_nothing_measured_is_named():
    with pytest.raises(ValueError, match="seed 1 has no measured validation_return"):
        plot.learning_curve(plt.figure().add_subplot(), record([1, 2, 3], [None, None, None]))


def test_a_time_line_draws_what_was_done_and_leaves_waiting_blank():
    lower = [("forward", 7, 1.0, 1.1), ("wait", 7, 1.1, 1.3), ("backward", 7, 1.3, 1.5), ("forward", 8, 9.0, 9.1)]
    upper = [("forward", 7, 1.1, 1.2), ("correct", 6, 1.2, 1.201)]
    _, ax = plt.subplots()
    plot.timeline(ax, [lower, upper], 1.0, 2.0)
    bars = [(bar.get_x(), bar.get_width(), round(bar.get_y() + bar.get_height() / 2)) for bar in ax.patches]
    assert np.allclose(bars, [(0, 100, 0), (300, 200, 0), (100, 100, -1), (200, 1, -1)])
    assert [text.get_text() for text in ax.texts] == ["7", "7", "7"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["worker 1", "worker 2"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["forward", "backward", "correct"]
