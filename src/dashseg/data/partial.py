"""Data sets that name fewer classes, or other ones, than the training: labels by class name.

A label that may be one of several classes is a *merged* label. Of the training's C classes, its id
is C + k: the k-th of the mixture's `Groups`. So labels stay uint8, and 255 stays ignore.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dashseg.config import ExtraData
from dashseg.data.dataset import AsTensors, Dataset, Sample
from dashseg.errors import InputError
from dashseg.labels import IGNORE, UNKNOWN, Classes, Label

Groups = tuple[tuple[int, ...], ...]  # of each merged label, the ids of the classes it may be


@dataclass(frozen=True)
class Relabelled(AsTensors):
    """A `Dataset` with the ids of its labels replaced.

    Args:
        dataset: the labels as they were drawn.
        classes: of the training.
        ids: 256 values: id in `dataset` -> class id, id of a merged label, or 255.
        meaning: what `ids` says, by names: it is part of the fingerprint.
    """

    dataset: Dataset
    classes: Classes
    ids: bytes
    meaning: str

    @property
    def root(self) -> str:
        return self.dataset.root

    @property
    def kind(self) -> str:
        return self.dataset.kind

    @property
    def split(self) -> str:
        return self.dataset.split

    @property
    def resized(self) -> bool:
        return self.dataset.resized

    @property
    def names(self) -> Sequence[str]:
        return self.dataset.names

    @cached_property
    def _table(self) -> Label:
        return np.frombuffer(self.ids, np.uint8)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        return sample._replace(label=np.take(self._table, sample.label))

    def label(self, index: int) -> Label:
        return np.take(self._table, self.dataset.label(index))

    def fingerprint(self) -> str:
        text = f"{self.dataset.fingerprint()} {self.meaning}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def select(self, names: Iterable[str], split: str) -> Relabelled:
        """The frames called `names`, in this data set's order."""
        return replace(self, dataset=self.dataset.select(names, split))

    def check(self) -> None:
        self.dataset.check()


Meanings = Mapping[str, tuple[str, ...]]  # class of a data set -> classes it may be; (): ignore


def meanings(found: Classes, extra: ExtraData, wanted: Classes, owner: str) -> Meanings:
    """What each class of an item of `data.extra` means to the training.

    Args:
        found: the item's classes. wanted: the training's, which are those of `owner`.

    Raises:
        InputError: `only` or `merged` names a class that is not there, or a class of the data set
            that counts has no class of its name in the training.
    """
    where = f"data.extra: {extra.root}"
    for key, named, known, holder in (
        ("only", extra.only or (), found, extra.root),
        ("merged", tuple(extra.merged), found, extra.root),
        ("merged", sum(extra.merged.values(), ()), wanted, owner),
    ):
        if unknown := [name for name in named if name not in known.names]:
            raise InputError(
                f"{where}: {key} names {', '.join(unknown)}; {holder} has {', '.join(known.names)}"
            )
    result: dict[str, tuple[str, ...]] = {}
    for name in found.names:
        counts = extra.only is None or name in extra.only
        result[name] = extra.merged.get(name, (name,)) if counts else ()
    if unused := [name for name in extra.merged if not result[name]]:
        raise InputError(f"{where}: merged has {', '.join(unused)}, which only leaves out")
    if strange := [name for name in found.names if {*result[name]} - {*wanted.names}]:
        raise InputError(
            f"{where} has the classes {', '.join(strange)}; {owner} has {', '.join(wanted.names)}."
            " Give the classes to learn from as only, or say in merged which of these each may be"
        )
    return result


def relabelled(dataset: Dataset, meaning: Meanings, classes: Classes, groups: Groups) -> Dataset:
    """The data set with the training's ids; itself if they are the same."""
    ids = np.full(256, IGNORE, np.uint8)
    for own, name in enumerate(dataset.classes.names):
        members = _ids(meaning[name], classes)
        if len(members) == 1:
            ids[own] = members[0]
        elif members:
            ids[own] = len(classes) + groups.index(members)
    same = np.arange(len(dataset.classes), dtype=np.uint8)
    if dataset.classes.names == classes.names and np.array_equal(ids[: len(same)], same):
        return dataset
    shown = f"{dict(meaning)} of {classes.names}"
    return Relabelled(dataset, classes, ids.tobytes(), shown)


def groups_of(meanings: Iterable[Meanings], classes: Classes) -> Groups:
    """The merged labels of several data sets; the same classes share one.

    Raises:
        InputError: classes and merged labels do not fit in 8 bits.
    """
    found = {
        members
        for meaning in meanings
        for names in meaning.values()
        if len(members := _ids(names, classes)) > 1
    }
    if len(classes) + len(found) > UNKNOWN:
        raise InputError(
            f"data.extra: {len(classes)} classes and {len(found)} merged labels: labels have 8"
            f" bits, and room for {UNKNOWN} of both together"
        )
    return tuple(sorted(found))


def _ids(names: Sequence[str], classes: Classes) -> tuple[int, ...]:
    return tuple(sorted({classes.names.index(name) for name in names}))
