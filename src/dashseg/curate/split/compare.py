"""Compare the two sides of a split: what they share, and how much their classes differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashseg.curate.split.choose import LEVELS, Level, Pixels, class_distance, group_of

_EXAMPLES = 5  # unrecognised names that are shown


@dataclass(frozen=True)
class Comparison:
    """What `dashseg data split` prints about a split.

    Args:
        train, val: frames on each side; `left_out` are on neither.
        shared: validation frames whose segment, route or device is in training too.
        unparsed: validation frames with unrecognised names; `examples` are of both sides.
        train_shares, val_shares: (C,) of the labelled pixels; None for a side without any.
        distance: total variation of the two, 0 to 1.
    """

    train: int
    val: int
    left_out: int
    shared: dict[Level, int]
    unparsed: int
    unparsed_train: int
    examples: tuple[str, ...]
    classes: tuple[str, ...]
    train_shares: NDArray[np.float64] | None
    val_shares: NDArray[np.float64] | None
    distance: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; shares are 0 to 1."""
        none = [None] * len(self.classes)
        train = none if self.train_shares is None else self.train_shares.tolist()
        val = none if self.val_shares is None else self.val_shares.tolist()
        return {
            "train": self.train,
            "val": self.val,
            "left_out": self.left_out,
            "shared_with_training": self.shared,
            "unparsed": {
                "train": self.unparsed_train,
                "val": self.unparsed,
                "examples": list(self.examples),
            },
            "classes": [
                {"name": name, "train_share": ours, "val_share": theirs}
                for name, ours, theirs in zip(self.classes, train, val, strict=True)
            ],
            "class_distance": self.distance,
        }


def compare(
    names: Sequence[str],
    pixels: Pixels,
    classes: Sequence[str],
    train: Collection[str],
    val: Collection[str],
) -> Comparison:
    """Compare the two sides of a split.

    Args:
        names: all frames'; `pixels` are theirs, (N, C).
        train, val: names on each side.
    """
    known = {level: {group_of(name, level) for name in train} - {None} for level in LEVELS}
    shared = {level: sum(group_of(name, level) in known[level] for name in val) for level in LEVELS}
    unparsed = [
        [name for name in side if group_of(name, "device") is None] for side in (train, val)
    ]
    sums = [pixels[[name in side for name in names]].sum(0) for side in (set(train), set(val))]
    train_shares, val_shares = (found / found.sum() if found.sum() else None for found in sums)
    return Comparison(
        train=len(train),
        val=len(val),
        left_out=len(names) - len(train) - len(val),
        shared=shared,
        unparsed=len(unparsed[1]),
        unparsed_train=len(unparsed[0]),
        examples=tuple(sorted((*unparsed[0], *unparsed[1]))[:_EXAMPLES]),
        classes=tuple(classes),
        train_shares=train_shares,
        val_shares=val_shares,
        distance=class_distance(*sums),
    )
