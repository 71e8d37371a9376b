"""A recipe's augmentation as a picture: what the network is shown, beside what was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import Recipe
from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.files import replace_file
from dashseg.images import encode_jpeg, encode_png, resize_image
from dashseg.labels import IGNORE, Classes, Image, Label
from dashseg.training.augment import Augment, Draws
from dashseg.training.frames import WorkingFrames

_HEIGHT = 246  # pixels of each picture on the sheet
_PER_ROW = 2  # frames: with three pictures each, as wide as a screen
_ENCODERS = {".png": encode_png, ".jpg": encode_jpeg, ".jpeg": encode_jpeg}


def augmentation_sheet(dataset: Dataset, recipe: Recipe, count: int, seed: int) -> Image:
    """Draw `count` frames and augment them as one batch.

    Args:
        dataset: the training frames.
        seed: decides which frames are drawn and how they are changed.

    Returns:
        uint8 H×W×3 RGB: of each frame, from left to right, the frame at working size, the frame
        augmented, and that with its label painted over it, dark where it is ignored.

    Raises:
        InputError: a frame cannot be read.
    """
    drawn = np.random.default_rng(seed).permutation(len(dataset))[:count]
    frames = WorkingFrames(dataset, recipe.model.input)
    pairs = [frames[int(index)] for index in drawn]
    size = (max(i.shape[0] for i, _ in pairs), max(i.shape[1] for i, _ in pairs))
    image = torch.stack([_padded(torch.from_numpy(i).permute(2, 0, 1), size, 0) for i, _ in pairs])
    label = torch.stack([_padded(torch.from_numpy(ids), size, IGNORE) for _, ids in pairs])
    augment = Augment(recipe.augment, recipe.model.input.mean_rgb, dataset.classes)
    draws = Draws.of_batch((seed,), range(len(pairs)))
    changed, ids = augment(image, label.long(), draws)
    changed = changed.round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    cells = [
        np.hstack([_fitted(before), _fitted(after), _fitted(_painted(after, own, dataset.classes))])
        for (before, _), after, own in zip(
            pairs, changed.contiguous().numpy(), ids.to(torch.uint8).numpy(), strict=True
        )
    ]
    return _in_rows(cells)


def write_sheet(sheet: Image, path: Path) -> None:
    """Write a sheet as PNG or JPEG, by the path's suffix.

    Raises:
        InputError: as `check_path`, or the folder cannot be written.
    """
    check_path(path)
    with replace_file(path) as temporary:
        temporary.write_bytes(_ENCODERS[path.suffix.lower()](sheet))


def check_path(path: Path) -> None:
    """Raise InputError if no sheet can be written to `path`: another suffix, or it is taken."""
    if path.suffix.lower() not in _ENCODERS:
        raise InputError(f"--out {path}: the name of a picture ends in {', '.join(_ENCODERS)}")
    if path.exists():
        raise InputError(f"{path}: exists already; choose another name or delete it")


def _padded(values: Tensor, size: tuple[int, int], fill: int) -> Tensor:
    """(..., h, w) -> (..., H, W), filled at the right and at the bottom."""
    return F.pad(values, (0, size[1] - values.shape[-1], 0, size[0] - values.shape[-2]), value=fill)


def _painted(image: Image, label: Label, classes: Classes) -> Image:
    colours = classes.palette[label]
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
