"""What can be wrong with a data set: the codes, and a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# In the order in which they are shown: what breaks training first.
CODES = {
    "missing-mask": "an image without a mask",
    "missing-image": "a mask without an image",
    "unreadable": "empty, truncated, damaged, not an image, or not permitted to be read",
    "size-mismatch": "mask and image differ in size",
    "unknown-colour": "mask pixels outside the palette",
    "absent-class": "a class of the palette that no mask shows",
    "interpolated-ids": "class ids between two others along edges, left by resizing the mask",
    "wrong-depth": "16 bits, fewer than 8 bits, or grey where colour is expected",
    "misplaced-file": "an image or mask in the wrong folder",
    "bad-name": "a name that matches no other file, or is unlike all others",
    "duplicate-content": "two files with the same content",
    "suspect-shift": "the mask fits its image clearly better when moved",
    "single-class": "the whole mask is one class",
    "unexpected-size": "an image whose size differs from the rest of its part",
    "alpha": "an alpha channel with transparent pixels",
    "palette-png": "a palette PNG",
    "stray-file": "a file that is neither an image nor a mask",
}
# These may be right: `--fix` keeps the frames. All others are errors.
WARNINGS = frozenset(
    {"absent-class", "suspect-shift", "single-class", "unexpected-size", "stray-file"}
)


class FrameKey(NamedTuple):
    """A frame in the inventory: which pair of folders, and its name."""

    pair: int
    name: str


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file.

    Args:
        code: one of CODES.
        file: relative to the data set's folder, with "/".
        detail: what exactly, for people.
        numbers: the same for programs; JSON has its keys beside code, file and detail.
        repairable: whether `--fix` can repair it without a guess.
        frames: the frames that cannot be used unless it is repaired; none for a file that belongs
            to no frame.
    """

    code: str
    file: str
    detail: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    repairable: bool = False
    frames: tuple[FrameKey, ...] = ()

    @property
    def severity(self) -> str:
        """ "error" or "warning"."""
        return "warning" if self.code in WARNINGS else "error"

    @property
    def loses_frames(self) -> bool:
        """Whether `--fix` leaves its frames out: for an error, if only a guess could repair it."""
        return not self.repairable and self.code not in WARNINGS

    def to_json(self) -> dict[str, Any]:
        """The JSON of one problem."""
        shown = {"code": self.code, "severity": self.severity}
        shown |= {"file": self.file, "detail": self.detail}
        return {**shown, **self.numbers, "repairable": self.repairable}


def in_order(problems: list[Problem]) -> list[Problem]:
    """By code, suspected shifts by how sure they are, then by file: the same for any workers."""
    rank = {code: index for index, code in enumerate(CODES)}

    def place(problem: Problem) -> tuple[int, float, str, str]:
        sure = problem.numbers.get("agreement", 0.0)
        return rank[problem.code], -sure, problem.file, problem.detail

    return sorted(problems, key=place)
