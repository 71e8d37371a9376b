"""Metrics and examples -> report/index.html and its pictures, which open from disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashseg.curate.brightness import group_bounds
from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.evaluation.charts import loss_histogram, training_curves
from dashseg.evaluation.examples import Example
from dashseg.evaluation.metrics import Counts, iou_per_class, mean_iou, pixel_accuracy
from dashseg.evaluation.pictures import encode_pictures
from dashseg.evaluation.results import Metrics
from dashseg.images import fitting_size
from dashseg.labels import Classes, hex_colour
from dashseg.pages import environment

# Each average of the loss: its key in metrics.json, title, meaning, and who published on comma10k.
_AVERAGES = (
    (
        "native",
        "native",
        "over the labelled pixels of every frame at its own size",
        "SegFormer-B3 0.0345 (flip TTA), DDRNet-39 0.0428, DDRNet-23-slim 0.0448",
    ),
    (
        "padded_896x1184",
        "padded to 896×1184",
        "the same sum over the pixels of the padded frame, the padding counted as solved",
        "U-Net EfficientNet-B4 0.044–0.046",
    ),
    (
        "square_256",
        "squashed to 256×256",
        "label squashed to 256×256 by nearest neighbour, logits resized to it",
        "the original DeepLabV3 0.0505",
    ),
)

RESIZED = (
    "These frames were resized when they were packed, and scored at that size: not comparable with"
    " published scores. For those, evaluate on the original data set."
)


def write_report(
    folder: Path,
    metrics: Metrics,
    dataset: Dataset,
    loss_counts: Counts,
    *,
    worst: Sequence[Example],
    best: Sequence[Example],
    curves: Path | None,
) -> None:
    """Make `folder`, and write index.html and the files that it shows into it.

    Args:
        loss_counts: int64, frames in each bin of `totals.LOSS_EDGES`.
        worst: frames to show, worst first; their images are read from `dataset` again.
        best: frames to show, best first.
        curves: metrics.csv of the run that the model is from, if there is one.
    """
    folder.mkdir()
    charts = _write_charts(folder, metrics, loss_counts, curves)
    page = environment("dashseg.evaluation").get_template("report.html")
    html = page.render(
        metrics=metrics,
        averages=_AVERAGES,
        published=dataset.kind == "comma10k" and not dataset.resized,
        resized=RESIZED if dataset.resized else None,
        classes=_class_rows(metrics, dataset.classes),
        confusion=_confusion_rows(metrics),
        group_bounds=group_bounds(),
        charts=charts,
        worst=list(_write_examples(folder, "worst", worst, dataset)),
        best=list(_write_examples(folder, "best", best, dataset)),
        written=datetime.now(UTC),
    )
    (folder / "index.html").write_text(html, encoding="utf-8")


def _write_charts(
    folder: Path, metrics: Metrics, loss_counts: Counts, curves: Path | None
) -> set[str]:
    """Write losses.svg and, if there are any, curve-loss.svg and curve-miou.svg."""
    charts = {}
    if metrics.ce["native"] is not None:
        charts["losses.svg"] = loss_histogram(loss_counts, metrics.ce["native"])
    if curves is not None and curves.is_file():
        charts |= {f"curve-{name}.svg": svg for name, svg in training_curves(curves).items()}
    for name, svg in charts.items():
        (folder / name).write_text(svg, encoding="utf-8")
    return set(charts)


def _write_examples(
    folder: Path, side: str, examples: Sequence[Example], dataset: Dataset
) -> Iterator[dict[str, Any]]:
    """Write the examples' pictures; yield what the page says about each."""
    for rank, example in enumerate(examples, 1):
        try:
            image, label, name = dataset[example.index]
        except InputError:  # it was read and scored, and is gone since: a report without it
            continue
        pictures = encode_pictures(image, label, example.prediction, dataset.classes)
        for picture, data in pictures.items():
            (folder / f"{side}-{rank}-{picture}").write_bytes(data)
        height, width = fitting_size(*label.shape)
        ious = zip(dataset.classes.names, iou_per_class(example.confusion), strict=True)
        yield {
            "id": f"{side}-{rank}",
            "rank": rank,
            "name": name,
            "loss": example.loss,
            "miou": mean_iou(example.confusion),
            "wrong": 1 - (pixel_accuracy(example.confusion) or 0.0),
            "ious": [(name, iou) for name, iou in ious if iou is not None],
            "width": width,
            "height": height,
        }


def _class_rows(metrics: Metrics, classes: Classes) -> list[dict[str, Any]]:
    """Name, colour, IoU and share of the labelled pixels of each class."""
    labelled = [sum(row) for row in metrics.confusion]
    total = sum(labelled)
    return [
        {
            "name": name,
            "colour": hex_colour(colour),
            "iou": metrics.iou[name],
            "share": pixels / total if total else None,
        }
        for name, colour, pixels in zip(classes.names, classes.colours, labelled, strict=True)
    ]


def _confusion_rows(metrics: Metrics) -> list[dict[str, Any]]:
    """Each label's name and pixels, and the share of them that was predicted as each class."""
    rows = []
    for name, counts in zip(metrics.classes, metrics.confusion, strict=True):
        pixels = sum(counts)
        cells = [{"pixels": count, "share": count / pixels if pixels else None} for count in counts]
        rows.append({"name": name, "pixels": pixels, "cells": cells})
    return rows
