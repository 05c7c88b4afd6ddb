"""Figures for the book: one colour set, one style, crisp images with alternative text, learning curves.

The colours are Okabe and Ito's set (2008), told apart by colour-blind readers; the style pairs each with its
own line style, so that a figure also reads in grey.  Figures are 6.4 x 3.6 inches with type of 12 points or
more: they fill the page and still read when a phone shrinks them to 360 pixels.
"""

import base64
import html
import io

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import HTML, display

from zoolib.stats import bootstrap_interval, interquartile_mean

COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "ink": "#1F2933",
    "grey": "#6B7280",
}

_CSS_PIXELS_PER_INCH = 100
_DENSITY = 2  # image pixels per CSS pixel


def use_style():
    """Set matplotlib's defaults for the book.  Call once, in a chapter's set-up cell."""
    lines = {
        "color": [COLOURS[name] for name in ("blue", "vermillion", "green", "orange", "purple", "sky")],
        "linestyle": ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))],
    }
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": _CSS_PIXELS_PER_INCH,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "font.size": 13,
            "axes.titlesize": 14,
            "axes.labelsize": 13,
            "xtick.labelsize": 12,
            "ytick.labelsize": 12,
            "legend.fontsize": 12,
            "legend.frameon": False,
            "axes.prop_cycle": cycler(**lines),
            "axes.edgecolor": COLOURS["grey"],
            "axes.labelcolor": COLOURS["ink"],
            "axes.titlecolor": COLOURS["ink"],
            "text.color": COLOURS["ink"],
            "xtick.color": COLOURS["ink"],
            "ytick.color": COLOURS["ink"],
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#E5E7EB",
            "lines.linewidth": 2,
            "lines.markersize": 6,
            "image.cmap": "viridis",
        }
    )


def png(fig):
    """The figure as PNG bytes at twice the density of the page; closes the figure."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=_CSS_PIXELS_PER_INCH * _DENSITY, metadata={"Software": None})
    plt.close(fig)
    return buffer.getvalue()


def show(fig, caption, alt):
    """Display `fig` as an HTML figure and close it: the same in Jupyter, on Colab and on the page.

    caption: one or two sentences under the figure (plain text).
    alt: what the figure shows, for a reader who cannot see it.  ValueError where it is empty.
    """
    if not alt.strip():
        raise ValueError("alt is empty: say in words what the figure shows")
    width, height = (round(inches * _CSS_PIXELS_PER_INCH) for inches in fig.get_size_inches())
    data = base64.b64encode(png(fig)).decode()
    display(
        HTML(
            f'<figure class="zoo-figure"><img alt="{html.escape(alt)}" width="{width}" height="{height}" '
            f'style="max-width:100%;height:auto" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption, quote=False)}</figcaption></figure>"
        )
    )


def learning_curve(ax, record_variant, x="step", y="validation_return", live=None, threshold=None):
    """Draw recorded runs, their interquartile mean with a bootstrap 95 % band, and the reader's own run.

    ax: matplotlib axes.  record_variant: one of a record's variants (see zoolib.records), with
    {"runs": [{"seed": 0, "curve": {x: [...], y: [...]}}, ...]}; entries of y may be None or nan where it was
    not measured.  x: "step" or "seconds".  live: a pandas table with columns x and y, drawn on top.
    threshold: a level worth reaching; runs that never do are dashed and named in the legend.

    Runs measured at different x are joined by straight lines between their points and keep their last value
    after their end; where all share their x, the band stands on those points.
    Raises KeyError for a curve without x or y, ValueError for a run with no measured y.
    """
    curves = {run["seed"]: _measured(run["curve"], x, y, f"seed {run['seed']}") for run in record_variant["runs"]}
    grid = _common_grid([at for at, _ in curves.values()])
    values = np.stack([np.interp(grid, at, level) for at, level in curves.values()])

    for seed, (at, level) in curves.items():
        failed = threshold is not None and level.max() < threshold
        label = f"seed {seed} never reached {threshold:g}" if failed else None
        colour = COLOURS["vermillion"] if failed else COLOURS["grey"]
        style = "--" if failed else "-"
        ax.plot(at, level, style, color=colour, linewidth=1.2 if failed else 0.8, alpha=0.6, label=label)
    low, high = bootstrap_interval(values, interquartile_mean, resamples=2_000)
    ax.fill_between(grid, low, high, color=COLOURS["blue"], alpha=0.2, linewidth=0, label="95 % interval")
    middle = interquartile_mean(values)
    ax.plot(grid, middle, "-", color=COLOURS["blue"], label=f"interquartile mean, {len(curves)} seeds")
    if live is not None:
        at, level = _measured(live, x, y, "the live run")
        ax.plot(at, level, "--o", color=COLOURS["orange"], markersize=4, label="your run")
    if threshold is not None:
        ax.axhline(threshold, color=COLOURS["ink"], linestyle=":", linewidth=1.2, label=f"threshold {threshold:g}")
    ax.set_xlabel({"step": "environment steps", "seconds": "seconds of training"}.get(x, x))
    ax.set_ylabel(y.replace("_", " "))
    ax.legend()


_WORK = {
    "forward": {"facecolor": COLOURS["blue"]},
    "backward": {"facecolor": COLOURS["orange"]},
    "correct": {"facecolor": COLOURS["green"], "hatch": "///"},
}


def timeline(ax, timeline, start, end):
    """Draw which worker did what between two moments: a row of bars each, with the number of the batch on them.

    ax: matplotlib axes.  timeline: for each worker, its events [(what, batch, start, end), ...] in seconds, what
    being "forward", "backward" or "correct"; any other ("wait") stays blank.  start, end: seconds.
    """
    drawn = []
    for row, events in enumerate(timeline):
        for what, batch, a, b in events:
            if what not in _WORK or b < start or a > end:
                continue
            at, ms = 1e3 * (a - start), 1e3 * (b - a)
            ax.barh(-row, ms, 0.7, left=at, edgecolor="white", **_WORK[what])
            drawn.append(what)
            if what != "correct" and b - a > 0.07 * (end - start):
                colour = "white" if what == "forward" else COLOURS["ink"]
                ax.text(at + ms / 2, -row, str(batch), color=colour, ha="center", va="center", clip_on=True)
    ax.set_yticks([-row for row in range(len(timeline))], [f"worker {row + 1}" for row in range(len(timeline))])
    ax.set(xlim=(0, 1e3 * (end - start)), xlabel="milliseconds")
    ax.grid(axis="y", visible=False)
    kinds = [what for what in _WORK if what in drawn]
    bars = [plt.Rectangle((0, 0), 1, 1, edgecolor="white", **_WORK[what]) for what in kinds]
    ax.legend(bars, kinds, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _measured(curve, x, y, whose):
    at, level = (np.asarray(list(curve[name]), dtype=float) for name in (x, y))
    kept = np.isfinite(at) & np.isfinite(level)
    if not kept.any():
        raise ValueError(f"{whose} has no measured {y}")
    return at[kept], level[kept]


def _common_grid(positions):
    first = positions[0]
    if all(len(at) == len(first) and np.array_equal(at, first) for at in positions):
        return first
    return np.linspace(min(at[0] for at in positions), max(at[-1] for at in positions), 200)
