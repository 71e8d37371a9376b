"""metrics.csv -> a picture of loss and mIoU over the epochs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from dashseg.files import replace_file
from dashseg.tables import read_table

# Shares of the figure. To lay it out by its contents takes as long as to draw it.
_MARGINS = {"left": 0.09, "right": 0.98, "bottom": 0.15, "top": 0.95, "wspace": 0.13}


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draw a run's metrics.csv as a PNG: losses on the left, mIoU on the right.

    Raises:
        InputError: `metrics` cannot be read, or `picture` cannot be written.
    """
    rows = read_table(metrics)
    figure = Figure(figsize=(10, 3.6))
    losses, mious = figure.subplots(1, 2, gridspec_kw=_MARGINS)
    for axes, column, text in (
        (losses, "train_loss", "train loss"),
        (losses, "val_loss", "val CE"),
        (mious, "val_miou", "val mIoU"),
    ):
        points = [(int(row["epoch"]) + 1, float(row[column])) for row in rows if row[column]]
        if points:
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, values, marker="." if len(points) < 40 else None, label=text)
    losses.set(xlabel="epoch", ylabel="nats")
    mious.set(xlabel="epoch", ylim=(0, 1))
    for axes in (losses, mious):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    with replace_file(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
