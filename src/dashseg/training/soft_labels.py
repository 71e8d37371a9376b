"""A teacher's predictions that a pack stores -> logits for a training step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import IN_PACK
from dashseg.data import Dataset
from dashseg.data.mixture import origins
from dashseg.data.pack import PackDataset
from dashseg.data.pack.predictions import FARTHEST, UNKNOWN, Predictions, encode
from dashseg.errors import InputError

Codes = NDArray[np.uint8]  # (C, h, w), see `dashseg.data.pack.predictions`


class SoftLabels(NamedTuple):
    """logits: float32 (B, C, h, w). known: bool (B, h, w), where there is a prediction."""

    logits: Tensor
    known: Tensor

    def without(self, hidden: Tensor) -> SoftLabels:
        """None where a pixel of bool (B, H, W) is True, which covers the same frames."""
        shares = F.interpolate(hidden.unsqueeze(1).float(), self.known.shape[-2:], mode="area")
        return self._replace(known=self.known & (shares.squeeze(1) == 0))


def decode(codes: Tensor) -> SoftLabels:
    """Codes uint8 (B, C, h, w) -> logits whose highest is 0."""
    known = (codes != UNKNOWN).any(1)
    return SoftLabels(codes.float().div(255).square().mul(-FARTHEST), known)


def stack_codes(codes: Sequence[Codes], sizes: Sequence[tuple[int, ...]]) -> Tensor:
    """Codes of a batch's frames -> uint8 (B, C, h, w) for the batch's height and width.

    Args:
        sizes: (H, W) of each frame. Smaller frames have a border at the right and at the bottom,
            where nothing is predicted.
    """
    if len({*sizes}) == len({frame.shape for frame in codes}) == 1:
        return torch.from_numpy(np.stack(codes))
    canvas = [max(size[side] for size in sizes) for side in (0, 1)]
    shape = [  # as of the tallest and of the widest frame
        max(c.shape[1 + side] for s, c in zip(sizes, codes, strict=True) if s[side] == canvas[side])
        for side in (0, 1)
    ]
    # Centres of the batch's pixels, in pixels of the frames.
    y, x = ((torch.arange(n) + 0.5) * side / n for n, side in zip(shape, canvas, strict=True))
    placed = np.full((len(codes), len(codes[0]), *shape), UNKNOWN, np.uint8)
    for i, ((height, width), frame) in enumerate(zip(sizes, codes, strict=True)):
        rows, columns = y[y < height], x[x < width]
        grid = torch.stack(torch.meshgrid(columns / width, rows / height, indexing="xy"), -1)
        logits = F.grid_sample(
            decode(torch.from_numpy(np.array(frame)).unsqueeze(0)).logits, 2 * grid[None] - 1,
            padding_mode="border", align_corners=False,
        )  # fmt: skip
        placed[i, :, : len(rows), : len(columns)] = encode(logits[0].numpy())
    return torch.from_numpy(placed)


def stored_predictions(datasets: Iterable[Dataset], classes: tuple[str, ...]) -> Predictions:
    """Whose predictions the packs hold.

    Args:
        classes: names of the training's.

    Raises:
        InputError: a data set that is no pack or has no predictions, two teachers, or one of other
            classes.
    """
    found: dict[str, Predictions] = {}
    for dataset in (part for each in datasets for part in origins(each)):
        where = f"loss.teacher.model={IN_PACK}: {dataset.root}"
        if not isinstance(dataset, PackDataset):
            raise InputError(
                f"{where} is no pack: dashseg data pack {dataset.root} OUT --predictions MODEL"
            )
        if dataset.predictions is None:
            raise InputError(
                f"{where} has no predictions: pack the data again with --predictions MODEL"
            )
        if dataset.predictions.classes != classes:
            raise InputError(
                f"{where} has predictions of {dataset.predictions.model}, whose classes are"
                f" {', '.join(dataset.predictions.classes)}; the training has"
                f" {', '.join(classes)}. They must be the same, in the same order"
            )
        found[dataset.root] = dataset.predictions
    first, *others = found
    for other in others:
        if found[other].digest != found[first].digest:
            raise InputError(
                f"loss.teacher.model={IN_PACK}: {first} has predictions of {found[first].model},"
                f" {other} of {found[other].model} with other weights: pack both with one teacher"
            )
    return found[first]
