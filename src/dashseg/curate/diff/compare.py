"""Compare the labels of two data sets frame by frame, in constant memory for unchanged frames."""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dashseg.data.dataset import Dataset, FileDataset
from dashseg.errors import InputError
from dashseg.labels import IGNORE, Classes, require_same_classes
from dashseg.parallel import in_processes

_IGNORE = "ignore"

Moves = Counter[tuple[int, int]]  # (old id, new id) -> pixels


@dataclass(frozen=True)
class Change:
    """A frame whose label or image differs.

    Args:
        name: the frame's.
        moves: (old id, new id) -> pixels that went from one class to another.
        pixels: of the whole label.
        image: the image file differs too.
        sizes: (old, new) sizes (H, W) of labels that cannot be compared; else None.
        unreadable: why one of the two cannot be read; else "".
    """

    name: str
    moves: Moves
    pixels: int
    image: bool = False
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    unreadable: str = ""

    @property
    def changed(self) -> int:
        """Pixels that differ; all of them if the labels cannot be compared."""
        return self.moves.total() if not (self.sizes or self.unreadable) else self.pixels


@dataclass(frozen=True)
class Difference:
    """How two label sets differ.

    Args:
        old, new: where they lie.
        classes: of both.
        frames: number of frames that both have.
        added, gone: names of frames that only the new, or only the old one has.
        changes: frames that differ, those with most changed pixels first.
    """

    old: str
    new: str
    classes: Classes
    frames: int
    added: tuple[str, ...]
    gone: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.gone or self.changes)

    def moves(self) -> Moves:
        """(old id, new id) -> pixels, over all frames."""
        return sum((change.moves for change in self.changes), Counter())

    def to_dict(self) -> dict[str, Any]:
        """For JSON; "schema": 1."""
        return {
            "schema": 1,
            "old": self.old,
            "new": self.new,
            "equal": self.equal,
            "frames": self.frames,
            "added": list(self.added),
            "gone": list(self.gone),
            "moves": self.listed(self.moves()),
            "changed": [
                {
                    "name": change.name,
                    "pixels": change.changed,
                    "share": change.changed / max(1, change.pixels),
                    "image": change.image,
                    "sizes": change.sizes,
                    "unreadable": change.unreadable or None,
                    "moves": self.listed(change.moves),
                }
                for change in self.changes
            ],
        }

    def listed(self, moves: Moves) -> list[dict[str, Any]]:
        """Moves by class name, the largest first."""
        return [
            {"from": self.class_name(old), "to": self.class_name(new), "pixels": pixels}
            for (old, new), pixels in moves.most_common()
        ]

    def class_name(self, class_id: int) -> str:
        """A class's name; "ignore" for 255."""
        return _IGNORE if class_id == IGNORE else self.classes.names[class_id]


def compare_labels(
    old: Dataset,
    new: Dataset,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Difference:
    """Compare the labels of two versions of a data set.

    Frames belong together by name. Files with the same bytes are not decoded.

    Args:
        workers: processes; by default one per core.
        on_progress: called with (frames done, frames that both have).

    Raises:
        InputError: the two have other classes.
    """
    require_same_classes(new.classes, new.root, old.classes, old.root)
    places = {name: index for index, name in enumerate(new.names)}
    pairs = [(i, places[name]) for i, name in enumerate(old.names) if name in places]
    work = partial(_compare, old, new)
    changes = [
        change for change in in_processes(work, pairs, workers, on_progress) if change is not None
    ]
    changes.sort(key=lambda change: (-change.changed, change.name))
    return Difference(
        old.root,
        new.root,
        old.classes,
        len(pairs),
        _without(new.names, old.names),
        _without(old.names, new.names),
        tuple(changes),
    )


def _compare(old: Dataset, new: Dataset, pair: tuple[int, int]) -> Change | None:
    name = old.names[pair[0]]
    image = False
    if isinstance(old, FileDataset) and isinstance(new, FileDataset):
        before, after = old.frames[pair[0]], new.frames[pair[1]]
        try:
            image = not filecmp.cmp(before.image, after.image, shallow=False)
            if filecmp.cmp(before.mask, after.mask, shallow=False) and old.classes == new.classes:
                return Change(name, Counter(), 0, image=True) if image else None
        except OSError as error:
            return Change(name, Counter(), 0, unreadable=f"{error.filename}: {error.strerror}")
    try:
        first, second = old.label(pair[0]), new.label(pair[1])
    except InputError as error:
        return Change(name, Counter(), 0, image, unreadable=str(error))
    if first.shape != second.shape:
        return Change(name, Counter(), second.size, image, (_size(first), _size(second)))
    where = first != second
    codes = first[where].astype(np.int64) << 8 | second[where]
    values, counts = np.unique(codes, return_counts=True)
    moves: Moves = Counter(
        {(int(v) >> 8, int(v) & 255): int(count) for v, count in zip(values, counts, strict=True)}
    )
    return Change(name, moves, first.size, image) if moves or image else None


def _size(label: Any) -> tuple[int, int]:
    return int(label.shape[0]), int(label.shape[1])


def _without(names: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    known = set(others)
    return tuple(name for name in names if name not in known)
