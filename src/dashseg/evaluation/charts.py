"""Losses and a run's metrics.csv -> charts as SVG text, legible on a light and on a dark page."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from dashseg.errors import InputError
from dashseg.evaluation.metrics import Counts
from dashseg.evaluation.totals import LOSS_EDGES
from dashseg.tables import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#7d7f85"  # contrast of 4 : 1 with a white page and with a black one
_BLUE, _ORANGE = "#3b82f6", "#ea8a2f"
_SIZE = (4.8, 2.7)  # inches: as wide as a phone at the text's own size
# Shares of the figure. To lay it out by its contents takes as long as to draw it.
_MARGINS = {"left": 0.15, "right": 0.98, "bottom": 0.18, "top": 0.97}

# Chart -> the lines in it: column of metrics.csv, name, colour.
_CURVES = {
    "loss": (("train_loss", "training", _BLUE), ("val_loss", "validation", _ORANGE)),
    "miou": (("val_miou", "validation", _ORANGE),),
}


def loss_histogram(counts: Counts, mean: float) -> str:
    """How many frames have which loss; a line marks the data set's cross-entropy.

    Args:
        counts: int64, frames in each bin of `LOSS_EDGES`; at least one frame.
        mean: the data set's cross-entropy.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    figure, axes = _empty_chart()
    used = counts.nonzero()[0]
    low, high = used[0], used[-1] + 1
    axes.stairs(counts[low:high], LOSS_EDGES[low : high + 1], fill=True, color=_BLUE)
    axes.axvline(mean, color=_ORANGE, linewidth=2, label=f"data set: {mean:.4f}")
    axes.set(xscale="log", xlabel="cross-entropy of one frame", ylabel="frames")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _svg(figure, axes)


def training_curves(metrics: Path) -> dict[str, str]:
    """Charts "loss" and "miou" over the epochs; one without any number is left out.

    Args:
        metrics: a run's metrics.csv; cells are empty where nothing was measured. There are no
            charts of a damaged one.
    """
    from matplotlib.ticker import MaxNLocator

    try:
        rows = read_table(metrics)
    except InputError:
        return {}
    charts = {}
    for chart, lines in _CURVES.items():
        figure, axes = _empty_chart()
        for column, name, colour in lines:
            points = _points(rows, column)
            if points:
                marker = "." if len(points) < 40 else ""  # more would blot out the line
                axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=name)
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            charts[chart] = _svg(figure, axes)
    return charts


def _points(rows: list[dict[str, str]], column: str) -> list[tuple[float, float]]:
    """(epoch counted from 1, value) of the rows that have both."""
    pairs = ((_number(row.get("epoch")), _number(row.get(column))) for row in rows)
    return [(epoch + 1, value) for epoch, value in pairs if epoch is not None and value is not None]


def _number(cell: str | None) -> float | None:
    """A cell's finite number. A run that was stopped may end in half a line."""
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _empty_chart() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # not pyplot, which would keep every figure

    figure = Figure(figsize=_SIZE)
    axes = figure.subplots(gridspec_kw=_MARGINS)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(_INK)
    axes.tick_params(which="both", colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(color=_INK, alpha=0.2)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, axes: Axes) -> str:
    import matplotlib

    axes.legend(frameon=False, labelcolor=_INK)
    text = io.StringIO()
    # Letters as text rather than as outlines: small, and found by the browser's search.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dashseg"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()
