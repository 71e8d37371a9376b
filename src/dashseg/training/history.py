"""The figures of the epochs -> metrics.csv, curves.png, and which epoch is the best."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from dashseg.files import write_text
from dashseg.run_directory import RunDirectory
from dashseg.training.curves import draw_curves

COLUMNS = (
    "epoch", "step", "train_loss", "val_loss", "val_miou", "learning_rate", "images_per_s",
)  # fmt: skip

Row = Mapping[str, float | int | None]


def write_history(run: RunDirectory, rows: Sequence[Row]) -> None:
    """Write metrics.csv and curves.png; an epoch without validation has empty cells."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(
        {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
    )
    write_text(run.metrics, text.getvalue())
    draw_curves(run.metrics, run.curves)


def is_best(rows: Sequence[Row], monitor: str) -> bool:
    """Whether the last epoch is better than every earlier one by `monitor`.

    Args:
        monitor: "val_loss" (lower is better) or "val_miou" (higher is better).
    """
    values = [row.get(monitor) for row in rows]
    *earlier, value = (None if v is None or math.isnan(v) else v for v in values)
    if value is None:
        return False
    sign = -1 if monitor == "val_loss" else 1
    return all(sign * value > sign * other for other in earlier if other is not None)
