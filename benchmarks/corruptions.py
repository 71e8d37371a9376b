"""Makes labels wrong in the ways that people draw them wrong, and records which are.

    python benchmarks/corruptions.py DATA OUT [--share 0.1] [--seed 0] [--keep NAMES]
    python benchmarks/corruptions.py --smoke

Writes OUT/data (layout "folder": the frames linked, the masks new), OUT/truth.json (what was done
to which frame) and OUT/in-fold.json (a split file: --keep, a JSON list of names, is its val side).
Prints how many labels were made wrong. --smoke draws its data and keeps nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml
from common import SMALL, arguments
from numpy.typing import NDArray
from scipy import ndimage

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.data.dataset import FileDataset
from dashseg.errors import InputError
from dashseg.files import write_json
from dashseg.images import encode_png, resize_label
from dashseg.labels import IGNORE, Classes, Label, encode_label
from dashseg.scenes import synthesise

ANOTHER, SHIFTED, VEHICLE, LANE, SWAPPED = (
    "another frame's mask", "shifted", "vehicle erased", "lane marking erased", "classes swapped",
)  # fmt: skip
KINDS = (ANOTHER, SHIFTED, VEHICLE, LANE, SWAPPED)
SHIFTS = (8, 16, 32)  # pixels of a frame 1164 wide, comma10k's

_ROAD, _LANE, _MOVABLE = 0, 1, 3
_SMALLEST_VEHICLE = 5e-4  # of the frame: 22×22 pixels of 1164×874
_SMALLEST_LANE = 2e-4  # 14×14 pixels
_SWAP_SIDE = (0.2, 0.4)  # of the frame's sides
_SWAP_SHARE = 0.1  # of the box that each of the two classes takes at least

Rng = np.random.Generator


def shift(label: Label, pixels: int, rng: Rng) -> Label:
    """Moved in a direction at random; the edge is drawn out over what comes free.

    Args:
        pixels: of a frame 1164 wide; scaled to the label's own width.
    """
    far = pixels * label.shape[1] / 1164
    angle = rng.uniform(0, 2 * np.pi)
    dy, dx = round(far * np.sin(angle)), round(far * np.cos(angle))
    rows = np.clip(np.arange(label.shape[0]) - dy, 0, label.shape[0] - 1)
    columns = np.clip(np.arange(label.shape[1]) - dx, 0, label.shape[1] - 1)
    return label[rows][:, columns]


def erase_vehicle(label: Label, rng: Rng) -> Label | None:
    """One connected movable thing replaced by what is nearest around it."""
    region = _pick_part(label == _MOVABLE, _SMALLEST_VEHICLE, rng)
    if region is None:
        return None
    known = ~((label == _MOVABLE) | (label == IGNORE))
    if not known.any():
        return None
    rows, columns = ndimage.distance_transform_edt(
        ~known, return_distances=False, return_indices=True
    )
    return np.where(region, label[rows, columns], label)


def erase_lane(label: Label, rng: Rng) -> Label | None:
    """One connected piece of lane marking turned into road."""
    region = _pick_part(label == _LANE, _SMALLEST_LANE, rng)
    return None if region is None else np.where(region, np.uint8(_ROAD), label)


def swap_classes(label: Label, rng: Rng) -> Label | None:
    """The two largest classes of a box at random, each painted as the other."""
    for _ in range(50):
        sides = [round(side * rng.uniform(*_SWAP_SIDE)) for side in label.shape]
        top, left = (
            int(rng.integers(0, side - cut)) for side, cut in zip(label.shape, sides, strict=True)
        )
        box = label[top : top + sides[0], left : left + sides[1]]
        counts = np.bincount(box[box != IGNORE], minlength=2)
        second, first = np.argsort(counts, kind="stable")[-2:]
        if counts[second] >= _SWAP_SHARE * box.size:
            swapped = label.copy()
            inside = swapped[top : top + sides[0], left : left + sides[1]]
            inside[box == first], inside[box == second] = second, first
            return swapped
    return None


def corrupt(kind: str, label: Label, other: Label, rng: Rng, shifted: int = 16) -> Label | None:
    """A wrong label, or None where there is nothing to do this to.

    Args:
        kind: one of `KINDS`.
        other: another frame's label.
        shifted: how far, for `SHIFTED`.
    """
    if kind == ANOTHER:
        return resize_label(other, label.shape)
    if kind == SHIFTED:
        return shift(label, shifted, rng)
    return {VEHICLE: erase_vehicle, LANE: erase_lane, SWAPPED: swap_classes}[kind](label, rng)


def another_frame(index: int, count: int, rng: Rng) -> int:
    """A frame far from `index` in the data set's order: neighbours look alike."""
    return int((index + rng.integers(count // 4, 3 * count // 4)) % count)


def _pick_part(mask: NDArray[np.bool_], smallest: float, rng: Rng) -> NDArray[np.bool_] | None:
    """One 8-connected part at random, of at least `smallest` of the frame."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= smallest * mask.size) + 1
    return parts == rng.choice(large) if large.size else None


def choose(
    dataset: FileDataset, names: Sequence[str], share: float, seed: int
) -> dict[str, tuple[str, Label, dict[str, float]]]:
    """Frame name -> (kind, wrong label, details), the kinds in equal parts."""
    rng = np.random.default_rng(seed)
    index_of = {name: index for index, name in enumerate(dataset.names)}
    left = [names[i] for i in rng.permutation(len(names))]
    chosen: dict[str, tuple[str, Label, dict[str, float]]] = {}
    for n in range(round(share * len(names))):
        # The rarest things first, or their frames would be gone.
        kind = (VEHICLE, LANE, SWAPPED, SHIFTED, ANOTHER)[n % len(KINDS)]
        far = SHIFTS[n // len(KINDS) % len(SHIFTS)]
        for name in left:
            index = index_of[name]
            label = dataset.label(index)
            other = dataset.label(another_frame(index, len(dataset), rng))
            wrong = corrupt(kind, label, other, rng, far)
            if wrong is not None:
                break
        else:
            raise InputError(f"{dataset.root}: no frame left for '{kind}'")
        left.remove(name)
        details: dict[str, float] = {"changed": float((wrong != label).mean())}
        if kind == SHIFTED:
            details["pixels_of_1164"] = far
        chosen[name] = kind, wrong, details
    return chosen


def write_folder(dataset: FileDataset, wrong: dict[str, Label], out: Path) -> None:
    """The data set in the layout "folder", with some labels replaced."""
    classes: Classes = dataset.classes
    for part in ("images", "masks"):
        (out / part).mkdir(parents=True)
    palette = {
        "classes": {
            name: list(map(int, c)) for name, c in zip(classes.names, classes.colours, strict=True)
        },
        "ignore": ["#000000"],  # CamVid's void
    }
    (out / "palette.yaml").write_text(yaml.safe_dump(palette, sort_keys=False), "utf-8")
    for index, frame in enumerate(dataset.frames):
        (out / "images" / f"{frame.name}{frame.image.suffix}").symlink_to(frame.image.resolve())
        label = wrong.get(frame.name)
        pixels = encode_label(dataset.label(index) if label is None else label, classes)
        (out / "masks" / f"{frame.name}.png").write_bytes(encode_png(pixels))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=json.loads, default=[], help="names that stay as they are")
    options = parser.parse_args()
    if options.out:
        write_wrong(options.data, options.out, options.share, options.seed, options.keep)
    elif options.smoke:
        with tempfile.TemporaryDirectory() as name:
            synthesise(Path(name) / "scenes", 8, seed=11, workers=1, size=SMALL)
            write_wrong(Path(name) / "scenes", Path(name) / "wrong", share=0.5)
    else:
        parser.error("name DATA and OUT, or use --smoke")


def write_wrong(
    data: Path, out: Path, share: float = 0.1, seed: int = 0, keep: Sequence[str] = ()
) -> None:
    dataset = open_dataset(DataConfig(root=str(data)))
    assert isinstance(dataset, FileDataset)
    names = [name for name in dataset.names if name not in set(keep)]
    chosen = choose(dataset, names, share, seed)
    write_folder(dataset, {n: wrong for n, (_, wrong, _) in chosen.items()}, out / "data")
    truth = {name: {"kind": kind, **details} for name, (kind, _, details) in chosen.items()}
    write_json(out / "truth.json", {"kept": sorted(keep), "wrong": dict(sorted(truth.items()))})
    write_json(out / "in-fold.json", {"train": sorted(names), "val": sorted(keep)})
    print(f"{len(chosen)} of {len(names)} labels made wrong in {out}")


if __name__ == "__main__":
    main()
