"""A recipe's augmentation as a picture: frames before and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dashseg.config import Recipe
from dashseg.data import Dataset
from dashseg.data.mixture import merged_labels
from dashseg.data.partial import Groups
from dashseg.errors import InputError
from dashseg.files import replace_file
from dashseg.images import encode_jpeg, encode_png, resize_image
from dashseg.labels import IGNORE, Classes, Image, Label
from dashseg.training.augment import Augment, Draws
from dashseg.training.batches import stack
from dashseg.training.frames import WorkingFrames

_HEIGHT = 246  # pixels, of each picture on the sheet
_PER_ROW = 2  # frames of three pictures: together as wide as a screen
_ENCODERS: dict[str, Callable[[Image], bytes]] = {
    ".png": encode_png,
    ".jpg": encode_jpeg,
    ".jpeg": encode_jpeg,
}


def augmentation_sheet(dataset: Dataset, recipe: Recipe, count: int, seed: int) -> Image:
    """Choose `count` random frames and augment them as one batch.

    Args:
        dataset: the training frames.
        seed: for the choice of frames and the augmentation.

    Returns:
        uint8 H×W×3 RGB. For each frame, from left to right: the frame at working size, the
        augmented frame, and the augmented frame under its label (dark where ignored).

    Raises:
        InputError: a frame cannot be read.
    """
    drawn = np.random.default_rng(seed).permutation(len(dataset))[:count]
    frames = WorkingFrames(dataset, recipe.model.input)
    pairs = [frames[int(index)] for index in drawn]
    batch = stack(pairs, np.zeros(3, np.uint8))
    groups = merged_labels(dataset)
    augment = Augment(recipe.augment, recipe.model.input.mean_rgb, dataset.classes, groups)
    palette = _palette(dataset.classes, groups)
    draws = Draws.of_batch((seed,), range(len(pairs)))
    changed, ids = augment(batch.image, batch.label.long(), draws)
    changed = changed.round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    cells = [
        np.hstack([_fitted(before), _fitted(after), _fitted(_painted(after, own, palette))])
        for (before, _), after, own in zip(
            pairs, changed.contiguous().numpy(), ids.to(torch.uint8).numpy(), strict=True
        )
    ]
    return _in_rows(cells)


def write_sheet(sheet: Image, path: Path) -> None:
    """Write a sheet as PNG or JPEG, depending on the path's suffix.

    Raises:
        InputError: as `check_path`, or the folder is not writable.
    """
    check_path(path)
    with replace_file(path) as temporary:
        temporary.write_bytes(_ENCODERS[path.suffix.lower()](sheet))


def check_path(path: Path) -> None:
    """Raise InputError if `path` exists or has another suffix than PNG's and JPEG's."""
    if path.suffix.lower() not in _ENCODERS:
        raise InputError(f"--out {path}: the name must end in {', '.join(_ENCODERS)}")
    if path.exists():
        raise InputError(f"{path} exists already; choose another name or delete it")


def _palette(classes: Classes, groups: Groups) -> NDArray[np.uint8]:
    """uint8 (256, 3): the classes' colours, then of each merged label the mean of its classes'."""
    palette = classes.palette.copy()
    for label, members in enumerate(groups, len(classes)):
        palette[label] = palette[list(members)].mean(0)
    return palette


def _painted(image: Image, label: Label, palette: NDArray[np.uint8]) -> Image:
    colours = palette[label]
    mixed = image // 2 + colours // 2
    mixed[label == IGNORE] = image[label == IGNORE] // 4
    return mixed


def _fitted(image: Image) -> Image:
    width = max(1, round(image.shape[1] * _HEIGHT / image.shape[0]))
    return resize_image(np.ascontiguousarray(image), (_HEIGHT, width))


def _in_rows(cells: list[Image]) -> Image:
    widest = max(cell.shape[1] for cell in cells)
    cells = [np.pad(cell, ((0, 4), (0, widest - cell.shape[1] + 4), (0, 0))) for cell in cells]
    columns = min(_PER_ROW, len(cells))
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])
