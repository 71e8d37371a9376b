"""What is lost of a label that is packed smaller and enlarged again, lane markings above all.

    python benchmarks/label_sizes.py [DATA ...] [--smoke]

DATA as for --data; 60 drawn scenes unless given. Sizes are a half, a third and a quarter of the
frame's. Prints the IoU of each packed label with itself over all frames, after it was enlarged as
a network's output is (each class bilinearly, then the largest). Beside it stands what two other
rules give: the nearest pixel, and the class that covers most of the new pixel.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from common import arguments
from numpy.typing import NDArray

from dashseg.config import DataConfig
from dashseg.curate.pack import pack
from dashseg.data import Dataset
from dashseg.data.sources import open_whole
from dashseg.labels import IGNORE, Label
from dashseg.scenes import synthesise

LANE = "lane markings"
Way = Callable[[int], Label]  # the number of a frame -> its label, shrunk
Planes = NDArray[np.float32]  # (H, W, C)


def planes(label: Label, classes: int) -> Planes:
    return (label[..., None] == np.arange(classes)).astype(np.float32)


def nearest(label: Label, size: tuple[int, int]) -> Label:
    return cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def most_covered(label: Label, size: tuple[int, int]) -> Label:
    values = [*range(int(label[label != IGNORE].max()) + 1), IGNORE]
    shares = [
        cv2.resize((label == value).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        for value in values
    ]
    return np.array(values, np.uint8)[np.argmax(shares, axis=0)]


def enlarge(label: Label, size: tuple[int, int], classes: int) -> Label:
    smooth = [
        cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)
        for plane in np.moveaxis(planes(label, classes), -1, 0)
    ]
    return np.argmax(smooth, axis=0).astype(np.uint8)


class Confusion:
    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, label: Label, other: Label) -> None:
        classes = len(self.counts)
        counted = label != IGNORE
        pairs = label[counted].astype(np.int64) * classes + other[counted]
        self.counts += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def iou(self) -> NDArray[np.float64]:
        hits = np.diag(self.counts)
        return hits / (self.counts.sum(0) + self.counts.sum(1) - hits).clip(1)


def shrunk(frames: Dataset, packed: Dataset, size: tuple[int, int]) -> dict[str, Way]:
    return {
        "nearest": lambda index: nearest(frames.label(index), size),
        "most covered": lambda index: most_covered(frames.label(index), size),
        "packed": packed.label,
    }


def compare(root: str) -> None:
    frames, splits = open_whole(DataConfig(root=root))
    classes = len(frames.classes)
    shown = frames.classes.names.index(LANE) if LANE in frames.classes.names else None
    height, width = frames.label(0).shape
    print(f"{root}: {len(frames)} labels of {width}×{height}")
    for part in (2, 3, 4):
        size = height // part, width // part
        with tempfile.TemporaryDirectory() as name:
            ways = shrunk(frames, pack(frames, Path(name) / "pack", splits, size, "squash"), size)
            confusions = {way: Confusion(classes) for way in ways}
            for index in range(len(frames)):
                label = frames.label(index)
                for way, shrink in ways.items():
                    confusions[way].add(label, enlarge(shrink(index), label.shape, classes))
        for way, confusion in confusions.items():
            iou = confusion.iou()
            present = confusion.counts.sum(1) > 0
            lane = "" if shown is None else f"lane IoU {iou[shown]:.3f}, "
            print(f"  {size[1]}×{size[0]} {way}: {lane}mIoU {iou[present].mean():.3f}", flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("data", nargs="*")
    options = parser.parse_args()
    if options.smoke:
        with tempfile.TemporaryDirectory() as name:
            synthesise(Path(name) / "scenes", 3, seed=11, workers=1, size=(128, 172))
            compare(str(Path(name) / "scenes"))
        return
    for root in options.data or ["synthetic:60:11"]:
        compare(root)


if __name__ == "__main__":
    main()
