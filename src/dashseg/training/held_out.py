"""Frames that are held out for validation, and would be trained on through another source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dashseg.data import Dataset
from dashseg.data.dataset import FileDataset, listed
from dashseg.data.mixture import origin
from dashseg.data.pack import PackDataset
from dashseg.data.synthetic import SceneDataset
from dashseg.errors import InputError
from dashseg.training.unlabelled import UnlabelledFrames


def require_held_out(train: Dataset, val: Dataset) -> None:
    """Raise InputError if a training frame is a frame of `val`."""
    if shared := shared_frames(train, val):
        raise InputError(
            f"data.extra: {len(shared)} training frames are held out in data.root:"
            f" {listed(shared)}: leave them out with the split of data.extra"
        )


def without_held_out(unlabelled: Dataset, val: Dataset) -> tuple[Dataset, int]:
    """`unlabelled` without the frames of `val`, and how many those were.

    Raises:
        InputError: none is left.
    """
    shared = {*shared_frames(unlabelled, val)}
    if not shared:
        return unlabelled, 0
    left = [name for name in unlabelled.names if name not in shared]
    if not left:
        raise InputError("data.unlabelled: all of its frames are held out for validation")
    return unlabelled.select(left, unlabelled.split), len(shared)


def shared_frames(dataset: Dataset, val: Dataset) -> list[str]:
    """Names of the frames in `dataset` that are frames of `val` too.

    They are if they come from one image file, through packs or not, or are one frame of a pack or
    one drawn scene. Copies of a file are not recognised.
    """
    held = {key for index in range(len(val)) for key in _origins(val, index)}
    return [
        name
        for index, name in enumerate(dataset.names)
        if not held.isdisjoint(_origins(dataset, index))
    ]


def _origins(dataset: Dataset, index: int) -> Iterator[tuple[str, str]]:
    """What tells a frame from others: its file, its place in a pack, the scene's name."""
    part, number = origin(dataset, index)
    if isinstance(part, FileDataset):
        yield "", os.path.realpath(part.frames[number].image)
    elif isinstance(part, UnlabelledFrames):
        if isinstance(file := part.frames[number], Path):
            yield "", os.path.realpath(file)
    elif isinstance(part, PackDataset):
        row = part.rows[number]
        yield os.path.realpath(part.root), row.name
        if row.files is not None:
            yield "", os.path.realpath(Path(part.source.root, row.files[0]))
    elif isinstance(part, SceneDataset):
        yield f"scenes, varied: {part.varied}", part.names[number]
