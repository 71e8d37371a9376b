"""How many moved masks `dashseg data check` finds, and how many correct ones it suspects.

    python benchmarks/shifts.py [DATA ...] [--keep CLASS ...] [--smoke]

DATA as for --data; drawn scenes unless given. With `--keep`, all other classes are merged to one.
Each mask is judged as it is, and moved by 8, 16 and 32 pixels (of a frame 1164 wide) in a random
direction. Prints the share that is found, and the share that is found with the right move.
"""

from __future__ import annotations

import cv2
import numpy as np
from common import arguments

from dashseg.config import DataConfig
from dashseg.curate.check.shift import find_shift
from dashseg.data import open_dataset
from dashseg.labels import Label

DISTANCES = 0, 8, 16, 32
CLOSE = 4  # pixels of 1164: the move is right if it comes back that near


def move(label: Label, dy: int, dx: int) -> Label:
    height, width = label.shape
    far = max(abs(dy), abs(dx))
    wide = cv2.copyMakeBorder(label, far, far, far, far, cv2.BORDER_REPLICATE)
    return wide[far - dy : far - dy + height, far - dx : far - dx + width]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--keep", action="append", metavar="CLASS")
    options = parser.parse_args()
    drawn = ["synthetic:1:11" if options.smoke else "synthetic:60:11"]
    for root in options.data or drawn:
        frames = open_dataset(DataConfig(root=root))
        rng = np.random.default_rng(0)
        found = dict.fromkeys(DISTANCES, 0)
        right = dict.fromkeys(DISTANCES, 0)
        merged = np.arange(256, dtype=np.uint8)
        if options.keep:
            kept = [frames.classes.names.index(name) for name in options.keep]
            merged[: len(frames.classes)] = len(kept)
            merged[kept] = np.arange(len(kept))
        for image, drawn_label, _ in frames:
            label = merged[drawn_label]
            scale = label.shape[1] / 1164
            for distance in DISTANCES:
                angle = rng.uniform(0, 2 * np.pi)
                dy, dx = (round(distance * scale * wave(angle)) for wave in (np.sin, np.cos))
                shift = find_shift(image, move(label, dy, dx))
                if shift is not None:
                    found[distance] += 1
                    error = np.hypot(shift.dy + dy, shift.dx + dx) / scale
                    right[distance] += error <= CLOSE
        print(f"{root}: {len(frames)} masks, {found[0]} suspected as they lie")
        for distance in DISTANCES[1:]:
            print(
                f"  moved by {distance}: {found[distance] / len(frames):.3f} found,"
                f" {right[distance] / len(frames):.3f} with the right move"
            )


if __name__ == "__main__":
    main()
