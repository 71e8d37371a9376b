"""What an evaluation states: metrics.json and the rows of per_image.csv."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

from dashseg.curate.brightness import brightness_group
from dashseg.evaluation.metrics import iou_per_class, mean_iou, pixel_accuracy
from dashseg.evaluation.scoring import FrameScore
from dashseg.labels import Classes

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Metrics:
    """metrics.json. A number that does not exist, such as an absent class's IoU, is None."""

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
    groups: dict[str, dict[str, Any]]  # night, dusk, day: images, ce_native, miou, iou, …
    throughput: Numbers  # images_per_s, model_images_per_s (its part alone), peak_rss_mb
    dashseg: str  # the version that wrote this
    schema: int = 1

    def to_dict(self) -> dict[str, Any]:
        """As metrics.json holds it: plain numbers, lists and strings, `schema` first."""
        values = dataclasses.asdict(self)
        return {"schema": values.pop("schema"), **values}


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
    """One frame's row: its own native cross-entropy and IoUs, empty cells where undefined."""
    numbers = [
        score.native.mean,
        mean_iou(score.confusion),
        pixel_accuracy(score.confusion),
        *iou_per_class(score.confusion),
    ]
    cells = ["" if number is None else f"{number:.6g}" for number in numbers]
    return [name, *cells, str(score.native.pixels), f"{luma:.2f}", brightness_group(luma)]


def peak_rss_mb() -> float | None:
    """Largest resident memory of this process so far, in 10⁶ bytes; None where not measured."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
