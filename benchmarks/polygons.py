"""What simplifying polygons saves and what it costs.

    python benchmarks/polygons.py [DATA ...] [--smoke]

DATA as for --data; drawn scenes unless given. Every label is written as regions, simplified by each
tolerance, and drawn again. Prints corners per frame, the IoU of each class with the label, and the
time of both ways.
"""

from __future__ import annotations

import time

import numpy as np
from common import arguments

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.formats.drawing import to_label
from dashseg.formats.regions import find_regions
from dashseg.formats.source import Shape, Shapes
from dashseg.labels import IGNORE

TOLERANCES = 0.0, 0.5, 1.0, 1.5, 2.0


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("data", nargs="*")
    options = parser.parse_args()
    drawn = ["synthetic:2:11" if options.smoke else "synthetic:40:11"]
    for root in options.data or drawn:
        frames = open_dataset(DataConfig(root=root))
        count = len(frames.classes)
        targets = np.array([*range(count), IGNORE], np.uint8)
        print(f"{root}: {len(frames)} labels, classes {', '.join(frames.classes.names)}")
        for tolerance in TOLERANCES:
            confusion = np.zeros((count, count + 1), np.int64)
            corners, seconds = 0, [0.0, 0.0]
            for index in range(len(frames)):
                label = frames.label(index)
                start = time.process_time()
                regions = find_regions(label, tolerance)
                middle = time.process_time()
                shapes = [Shape(min(r.class_id, count), (r.ring,)) for r in regions]
                again = to_label(Shapes(shapes, None), (label.shape[0], label.shape[1]), targets)
                seconds[0] += middle - start
                seconds[1] += time.process_time() - middle
                corners += sum(len(region.ring) for region in regions)
                known = label != IGNORE
                pairs = label[known].astype(int) * (count + 1) + np.minimum(again[known], count)
                confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
            both = np.diag(confusion)
            either = confusion.sum(axis=1) + confusion.sum(axis=0)[:count] - both
            ious = " ".join(f"{b / e:.4f}" if e else "-" for b, e in zip(both, either, strict=True))
            there, back = (1000 * part / len(frames) for part in seconds)
            print(
                f"tolerance {tolerance}: {corners / len(frames):.0f} corners, IoU {ious},"
                f" {there:.0f} ms to polygons, {back:.0f} ms back"
            )


if __name__ == "__main__":
    main()
