"""Training frames of several data sets as one: `open_training_set(config.data)`.

Each data set's share of an epoch is its number of frames times its `repeat`. Every frame of the
mixture comes once an epoch, so seed and epoch alone decide the order.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashseg.config import DataConfig
from dashseg.data.dataset import AsTensors, Dataset, Sample
from dashseg.data.pack import PackDataset
from dashseg.data.partial import Groups, Relabelled, groups_of, meanings, relabelled
from dashseg.data.sources import open_dataset
from dashseg.labels import Classes, Label


@dataclass(frozen=True)
class Mixture(AsTensors):
    """A `Dataset` of others, one after the other; a repeated one is in `parts` as often.

    Labels may have ids from `len(classes)` on: the merged labels of `groups`, in turn.
    """

    parts: tuple[Dataset, ...]
    groups: Groups = ()
    split: str = "train"
    kind: str = "mixture"

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """Of each part, the number of its first frame."""
        return tuple(accumulate((len(part) for part in self.parts[:-1]), initial=0))

    @property
    def root(self) -> str:
        return " + ".join(dict.fromkeys(part.root for part in self.parts))

    @property
    def resized(self) -> bool:
        return any(part.resized for part in self.parts)

    @property
    def classes(self) -> Classes:
        return self.parts[0].classes

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Each with its part's number before it: two data sets may share a name."""
        return tuple(f"{i}/{name}" for i, part in enumerate(self.parts) for name in part.names)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int) -> Sample:
        part, number = self.place(index)
        return part[number]._replace(name=self.names[index])

    def label(self, index: int) -> Label:
        part, number = self.place(index)
        return part.label(number)

    def fingerprint(self) -> str:
        digests = " ".join(part.fingerprint() for part in self.parts)
        return hashlib.sha256(digests.encode()).hexdigest()[:16]

    def select(self, names: Iterable[str], split: str) -> Mixture:
        """The frames called `names`, in this data set's order."""
        wanted = set(names)
        parts = []
        for i, part in enumerate(self.parts):
            own = [name for name in part.names if f"{i}/{name}" in wanted]
            parts.append(part.select(own, split))
        return Mixture(tuple(parts), self.groups, split)

    def check(self) -> None:
        for part in self.parts:
            part.check()

    def place(self, index: int) -> tuple[Dataset, int]:
        """The part that has a frame, and the frame's number in it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = bisect_right(self._starts, index) - 1
        return self.parts[part], index - self._starts[part]


def parts_of(dataset: Dataset) -> tuple[Dataset, ...]:
    """The data sets of a mixture; any other data set is its own only part."""
    return dataset.parts if isinstance(dataset, Mixture) else (dataset,)


def origins(dataset: Dataset) -> list[Dataset]:
    """The data sets that hold the frames, whatever their labels become."""
    return [part.dataset if isinstance(part, Relabelled) else part for part in parts_of(dataset)]


def origin(dataset: Dataset, index: int) -> tuple[Dataset, int]:
    """The data set that holds a frame, and the frame's number in it."""
    if isinstance(dataset, Mixture):
        dataset, index = dataset.place(index)
    return (dataset.dataset if isinstance(dataset, Relabelled) else dataset), index


def merged_labels(dataset: Dataset) -> Groups:
    """Of each merged label in a data set, the ids of the classes it may be."""
    return dataset.groups if isinstance(dataset, Mixture) else ()


def sources(dataset: Dataset) -> list[dict[str, Any]]:
    """Root, kind and number of frames of each data set in a mixture; a pack's kind is its origin's.

    They tell later what a model has learnt from.
    """
    distinct = {part.root: part for part in origins(dataset)}.values()
    return [
        {
            "root": part.root,
            "kind": part.source.kind if isinstance(part, PackDataset) else part.kind,
            "images": len(part),
        }
        for part in distinct
    ]


def distinct_places(dataset: Dataset) -> NDArray[np.int64]:
    """int64 (N,): each frame's number among the distinct frames; repeats share one number."""
    starts: dict[int, int] = {}  # by the part's id: a repeated part is the same object
    places, count = [], 0
    for part in parts_of(dataset):
        if id(part) not in starts:
            starts[id(part)] = count
            count += len(part)
        places.append(starts[id(part)] + np.arange(len(part)))
    return np.concatenate(places)


def open_training_set(config: DataConfig) -> Dataset:
    """The training frames of `config.root` and of `config.extra`, each as often as its `repeat`.

    Classes are joined by name: an extra data set may have fewer of them, or list them in another
    order.

    Raises:
        InputError: as `open_dataset`, or as `meanings` of a data set's classes.
    """
    first = open_dataset(config, "train")
    parts = [first] * config.repeat
    extras = []
    for extra in config.extra:
        update = {"root": extra.root, "dataset": extra.dataset, "split": extra.split}
        part = open_dataset(config.model_copy(update=update), extra.take)
        extras.append((part, meanings(part.classes, extra, first.classes, first.root)))
    groups = groups_of((meaning for _, meaning in extras), first.classes)
    for extra, (part, meaning) in zip(config.extra, extras, strict=True):
        parts += [relabelled(part, meaning, first.classes, groups)] * extra.repeat
    return first if len(parts) == 1 else Mixture(tuple(parts), groups)
