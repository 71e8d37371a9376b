"""How much of a model's accuracy is left on blurred, compressed, noisy, dark frames; worn paint.

    python benchmarks/robustness.py --pair MODEL DATA [--pair MODEL DATA] [--only contrast]
    python benchmarks/robustness.py --smoke

Each model is scored on all frames of its data; pixels of several pairs are added up, so that folds
give one table. Prints the IoU of each class and, where there are lane markings, their recall and
precision: on the frames as they are, then with one change at a time. Masks stay as they are.
--smoke scores the model that comes with dashseg on a small drawn scene.

Worn paint is made here by OpenCV, apart from the augmentation `augment.paint`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from common import SMALL, arguments
from numpy.typing import NDArray
from torch import Tensor

import dashseg
from dashseg.evaluation.metrics import ConfusionMatrix, iou_per_class, mean_iou
from dashseg.images import decode_image, encode_jpeg
from dashseg.inference import Segmenter
from dashseg.labels import Classes, Label
from dashseg.scenes import synthesise

Image = NDArray[np.uint8]
ROAD, PAINT = "road", "lane markings"
UNCHANGED = "as they are"
REACH = 12.0  # pixels of 1164: deviation of the blur that carries the road under the paint


def blurred(image: Image, sigma: float) -> Image:
    """`sigma`: pixels of a frame 1164 wide."""
    return _bytes(cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1] / 1164))


def compressed(image: Image, quality: int) -> Image:
    return decode_image(encode_jpeg(image, quality), "a compressed frame")


def noisy(image: Image, deviation: float) -> Image:
    noise = np.random.default_rng(0).normal(0, deviation, image.shape)
    return _bytes(image + noise)


def dark(image: Image, light: float) -> Image:
    """A share of the light, where pixels are light to the power of 1 / 2.2."""
    return _bytes(image * light ** (1 / 2.2))


def worn(image: Image, label: Label, classes: Classes, lost: float) -> Image:
    """Lane markings that have lost a share of their contrast to the road beside them."""
    paint = (label == classes.names.index(PAINT)).astype(np.float32)
    bare = cv2.erode(1 - paint, np.ones((5, 5))) * (label == classes.names.index(ROAD))
    bare, pixels = bare.astype(np.float32), image.astype(np.float32)
    reach = REACH * image.shape[1] / 1164
    near = cv2.GaussianBlur(bare, (0, 0), reach)
    road = cv2.GaussianBlur(pixels * bare[..., None], (0, 0), reach) / (near + 1e-4)[..., None]
    cover = cv2.GaussianBlur(cv2.dilate(paint, np.ones((3, 3))), (0, 0), 1.0) * (near > 1e-3)
    return _bytes(pixels + (road - pixels) * (lost * cover)[..., None])


def _bytes(pixels: NDArray[np.generic]) -> Image:
    return np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8))


Change = Callable[[Image, Label, Classes], Image]
CHANGES: dict[str, Change] = {
    UNCHANGED: lambda image, label, classes: image,
    "blur, 1.5 pixels": lambda image, label, classes: blurred(image, 1.5),
    "blur, 2.5 pixels": lambda image, label, classes: blurred(image, 2.5),
    "JPEG, quality 30": lambda image, label, classes: compressed(image, 30),
    "JPEG, quality 10": lambda image, label, classes: compressed(image, 10),
    "noise, 10 of 255": lambda image, label, classes: noisy(image, 10),
    "a quarter of the light": lambda image, label, classes: dark(image, 0.25),
}
WEAR: dict[str, Change] = {  # for data with classes of these names
    "half of the paint's contrast": lambda image, label, classes: worn(image, label, classes, 0.5),
    "a quarter of its contrast": lambda image, label, classes: worn(image, label, classes, 0.75),
}


def score(
    model: Segmenter, data: str, changes: dict[str, Change], counts: dict[str, ConfusionMatrix]
) -> None:
    """Add the frames of `data`, changed in each way, to the counts of that way."""
    dataset = dashseg.open_dataset(data, split="all")
    if dataset.classes.names != model.classes.names:
        sys.exit(f"{data} has other classes than the model")
    for frame in dataset:
        label = torch.from_numpy(frame.label)
        for name, change in changes.items():
            seen = model(change(frame.image, frame.label, dataset.classes)).label
            counts[name].update(torch.from_numpy(seen), label)


def row(name: str, confusion: Tensor, lane: int | None) -> str:
    values = [*iou_per_class(confusion), mean_iou(confusion)]
    if lane is not None:
        right = float(confusion[lane, lane])
        values += [right / max(1, int(confusion.sum(axis)[lane])) for axis in (1, 0)]
    cells = ["" if value is None else f"{value:.3f}" for value in values]
    return f"| {name} | {' | '.join(cells)} |"


def compare(pairs: list[tuple[str, str]], only: str) -> None:
    models = [(dashseg.load(model, device="cpu"), data) for model, data in pairs]
    classes = models[0][0].classes
    lane = classes.names.index(PAINT) if {ROAD, PAINT} <= set(classes.names) else None
    every = CHANGES if lane is None else CHANGES | WEAR
    changes = {name: every[name] for name in every if name == UNCHANGED or only in name}
    counts = {name: ConfusionMatrix(len(classes)) for name in changes}
    for model, data in models:
        score(model, data, changes, counts)
    heads = [*classes.names, "mIoU", *([] if lane is None else ["paint's recall", "precision"])]
    print(f"| frames | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}")
    for name, matrix in counts.items():
        print(row(name, matrix.compute(), lane))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pair", nargs=2, action="append", metavar=("MODEL", "DATA"))
    parser.add_argument("--only", default="", help="only changes whose name has this in it")
    options = parser.parse_args()
    if options.pair:
        compare(options.pair, options.only)
    elif options.smoke:
        with tempfile.TemporaryDirectory() as name:
            synthesise(Path(name) / "scenes", 1, seed=5, workers=1, size=SMALL)
            compare([("small", str(Path(name) / "scenes"))], "half of")
    else:
        parser.error("name --pair MODEL DATA, or use --smoke")


if __name__ == "__main__":
    main()
