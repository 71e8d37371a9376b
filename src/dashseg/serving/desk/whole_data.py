"""The data set that some frames are of: all its files, and what tells it from another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from dashseg.config import DataConfig
from dashseg.data import comma10k
from dashseg.data.dataset import FileDataset
from dashseg.data.sources import find_layout
from dashseg.errors import InputError
from dashseg.labels import IGNORE, Classes
from dashseg.review.corrections import mend
from dashseg.serving.desk.frames import UNLABELLED

Files = dict[str, Path]  # by the frame's name


def whole_data(dataset: FileDataset) -> tuple[Files, Files]:
    """Images and masks of the whole data set, whichever split the frames are.

    Raises:
        InputError: a folder cannot be listed, or a name is not UTF-8.
    """
    if dataset.kind == UNLABELLED:
        return {frame.name: frame.image for frame in dataset.frames}, {}
    root = Path(dataset.root)
    _, layout = find_layout(dataset.root, dataset.kind)
    config = DataConfig(root=dataset.root)
    if layout is comma10k:
        parts = comma10k.parts_in(root)
        whole = tuple(part for part in parts if (root / comma10k.MASKS_OF[part]).is_dir())
        config = DataConfig(root=dataset.root, parts=whole)
    images: Files = {}
    masks: Files = {}
    for pair in layout.folders(root, config):
        images.update(pair.image_files())
        masks.update(pair.mask_files())
    return images, masks


def facts_of(dataset: FileDataset, images: Files, masks: Files) -> dict[str, str]:
    """Texts that differ for another data set; "files" also once its files change."""
    sizes = (
        f"{name} {path.stat().st_size}" for files in (images, masks) for name, path in files.items()
    )
    return {
        "root": str(Path(dataset.root).resolve()),
        "kind": dataset.kind,
        "classes": json.dumps([dataset.classes.names, dataset.classes.colours]),
        "names": _digest("\n".join(sorted(images))),
        "files": _digest("\n".join(sorted(sizes))),
    }


def splits_of(dataset: FileDataset) -> dict[str, str]:
    """The split of each frame, by the data set's own rule."""
    if dataset.split != "all" or dataset.kind == UNLABELLED:
        side = dataset.split if dataset.split in ("train", "val", "test") else ""
        return dict.fromkeys(dataset.names, side)
    _, layout = find_layout(dataset.root, dataset.kind)
    sides = layout.splits(dataset.names, DataConfig(root=dataset.root))
    return {name: side for side, names in sides.items() for name in names}


def can_ignore(classes: Classes) -> bool:
    """Whether masks of the data set can hold pixels to ignore."""
    shape = (1, 1) if classes.stored_as == "id" else (1, 1, 3)
    ignored = np.full((1, 1), IGNORE, np.uint8)
    try:
        mend(np.zeros(shape, np.uint8), np.zeros((1, 1), np.uint8), ignored, classes, "")
    except InputError:
        return False
    return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
