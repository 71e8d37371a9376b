"""Two ways to train, several seeds each, on the same frames: how far apart their mIoU is.

    python benchmarks/paired_miou.py --data CAMVID --first RUN [RUN ...] --second RUN [RUN ...]
    python benchmarks/paired_miou.py --smoke

Models are whatever `dashseg evaluate` takes; --smoke compares the model that comes with dashseg
with itself. Prints each model's IoUs, and the difference with an interval. The interval is over
the frames, drawn for all models alike, as if they were independent of each other; it says nothing
about other seeds, whose spread the separate figures show.
"""

from __future__ import annotations

import numpy as np
from common import arguments
from numpy.typing import NDArray

import dashseg
from dashseg.config import DataConfig
from dashseg.data import Dataset, open_dataset
from dashseg.data.dataset import check_classes
from dashseg.evaluation.bootstrap import Bootstrap
from dashseg.evaluation.metrics import iou_per_class, mean_iou
from dashseg.evaluation.scoring import score_frame
from dashseg.overlap import ahead

RESAMPLES = 1000


def score(model: str, dataset: Dataset) -> tuple[float, NDArray[np.float64]]:
    """Print a model's IoUs; its mIoU, and that of each resample of the frames."""
    segmenter = dashseg.load(model, device="cpu")
    check_classes(dataset, segmenter.classes, model)
    classes = len(dataset.classes)
    bootstrap = Bootstrap(classes, RESAMPLES, seed=0)
    total = np.zeros((classes, classes), np.int64)
    for index, (image, label, _) in enumerate(
        ahead(range(len(dataset)), dataset.__getitem__, threads=4)
    ):
        frame = score_frame(segmenter.logits(image), label)
        bootstrap.update(index, frame.native, frame.confusion)
        total += frame.confusion
    ious = " | ".join("–" if iou is None else f"{iou:.3f}" for iou in iou_per_class(total))
    miou = mean_iou(total)
    assert miou is not None, "no frame has a label"
    print(f"| {model} | {ious} | {miou:.4f} |", flush=True)
    return miou, bootstrap.mean_ious()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data")
    parser.add_argument("--split", default="val")
    parser.add_argument("--first", nargs="+")
    parser.add_argument("--second", nargs="+")
    options = parser.parse_args()
    if options.smoke:
        options.data = options.data or "synthetic:2:11"
        options.first = options.second = ["small"]
        options.split = "all"
    elif not (options.data and options.first and options.second):
        parser.error("name --data, --first and --second, or use --smoke")
    dataset = open_dataset(DataConfig(root=options.data), options.split)
    print("| model | " + " | ".join(dataset.classes.names) + " | mean |")
    print("| --- |" + " --- |" * (len(dataset.classes) + 1))
    first, second = (
        [score(model, dataset) for model in models] for models in (options.first, options.second)
    )
    means = [np.mean([miou for miou, _ in models]) for models in (first, second)]
    drawn = [np.mean([resamples for _, resamples in models], axis=0) for models in (first, second)]
    low, high = np.percentile(drawn[0] - drawn[1], [2.5, 97.5])
    print(
        f"\nmean over models: {means[0]:.4f} and {means[1]:.4f};"
        f" first − second {means[0] - means[1]:+.4f} (95 % over frames {low:+.4f} to {high:+.4f})"
    )


if __name__ == "__main__":
    main()
