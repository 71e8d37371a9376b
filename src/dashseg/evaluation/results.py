"""What an evaluation states: metrics.json and the rows of per_image.csv."""

from __future__ import annotations

import dataclasses
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashseg.curate.brightness import brightness_group
from dashseg.evaluation.metrics import iou_per_class, mean_iou, pixel_accuracy
from dashseg.evaluation.scoring import FrameScore
from dashseg.labels import Classes

Numbers = dict[str, float | None]


@dataclass(frozen=True, repr=False)
class Metrics:
    """What an evaluation measured: the content of metrics.json. A notebook shows it as a table.

    A number that does not exist, such as the IoU of a class without labels, is None.

    >>> import dashseg
    >>> metrics = dashseg.evaluate("small", data="synthetic:10:1")
    >>> metrics
    Metrics(mIoU ..., cross-entropy ..., 1 frames of synthetic:10:1, val)
    >>> list(metrics.iou)
    ['road', 'lane markings', 'undrivable', 'movable', 'my car']
    """

    data: dict[str, Any]  # root, kind, split, images, unlabelled, fingerprint
    model: str
    weights: str | None  # SHA-256 of the file that the model's weights were read from
    tta: list[str]
    classes: list[str]
    ce: Numbers  # native, padded_896x1184, square_256; nats per pixel
    miou: float | None
    iou: Numbers  # by class
    pixel_accuracy: float | None
    confusion: list[list[int]]  # pixels; rows: label, columns: prediction
    intervals: dict[str, list[float] | None]  # ce_native_95, miou_95: lower and upper bound
    groups: dict[str, dict[str, Any]]  # dark, dim, bright: images, ce_native, miou, iou, …
    throughput: Numbers  # images_per_s, model_images_per_s (its part alone), peak_rss_mb
    dashseg: str  # the version that wrote this
    schema: int = 1
    folder: Path | None = None  # that holds metrics.json and the report; None: nothing was written

    def to_dict(self) -> dict[str, Any]:
        """As metrics.json holds it: plain numbers, lists and strings, `schema` first."""
        values = dataclasses.asdict(self)
        del values["folder"]
        return {"schema": values.pop("schema"), **values}

    @property
    def title(self) -> str:
        """What was measured: "30 frames of scenes, val, flip"."""
        frames = f"{self.data['images']} frames of {self.data['root']}"
        return ", ".join([frames, self.data["split"], *self.tta])

    def rows(self) -> list[tuple[str, str]]:
        """The headline numbers as text: each class's IoU, their mean, the cross-entropies."""
        ious = [*self.iou.items(), ("mIoU", self.miou)]
        losses = [(f"cross-entropy, {name}", ce) for name, ce in self.ce.items() if ce is not None]
        return [(name, "–" if n is None else f"{n:.4f}") for name, n in (*ious, *losses)]

    def __repr__(self) -> str:
        numbers = dict(self.rows())
        ce = numbers.get("cross-entropy, native", "–")
        return f"Metrics(mIoU {numbers['mIoU']}, cross-entropy {ce}, {self.title})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{text}</td></tr>" for name, text in self.rows()
        )
        return f"<table><caption>{html.escape(self.title)}</caption>{rows}</table>"


def per_image_header(classes: Classes) -> list[str]:
    """Columns of per_image.csv."""
    return [
        "name",
        "loss",
        "miou",
        "pixel_accuracy",
        *(f"iou_{name}" for name in classes.names),
        "pixels",
        "luminance",
        "group",
    ]


def per_image_row(name: str, luma: float, score: FrameScore) -> list[str]:
    """One frame's row: its native cross-entropy and its IoUs; undefined cells are empty."""
    numbers = [
        score.native.mean,
        mean_iou(score.confusion),
        pixel_accuracy(score.confusion),
        *iou_per_class(score.confusion),
    ]
    cells = ["" if number is None else f"{number:.6g}" for number in numbers]
    return [name, *cells, str(score.native.pixels), f"{luma:.2f}", brightness_group(luma)]
