"""Logits at the working size -> logits, or only the label, at the frame's own size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.labels import Label

if TYPE_CHECKING:
    from torch import Tensor


def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of logits (C, h, w) -> (C, H, W)."""
    from torch.nn import functional as F

    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]


def label_at(size: tuple[int, int], logits: Tensor | NDArray[np.float32]) -> Label:
    """The most likely class of each pixel, at another size; of equal classes the first.

    Classes are enlarged one at a time and only the largest logit so far is kept, so that memory
    takes two maps of that size, however many classes there are.

    Args:
        size: H, W.
        logits: float32 (C, h, w). A tensor gives the argmax of `upsample`, pixel for pixel. An
            array is enlarged by OpenCV, in a third of the time and without PyTorch: the same
            bilinear weights, rounded at another place, which at 1164×874 decides one pixel or two
            where classes are equal to the fourth digit.

    Returns:
        uint8 H×W.
    """
    return _from_array(logits, size) if isinstance(logits, np.ndarray) else _of(logits, size)


def _of(logits: Tensor, size: tuple[int, int]) -> Label:
    import torch

    logits = logits.contiguous()  # of channels last, a single class would be rounded otherwise
    label = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    best = upsample(logits[:1], size)[0]  # (H, W)
    for class_id in range(1, len(logits)):
        other = upsample(logits[class_id : class_id + 1], size)[0]
        label.masked_fill_(other > best, class_id)
        torch.maximum(best, other, out=best)
    return label.cpu().numpy()


def _from_array(logits: NDArray[np.float32], size: tuple[int, int]) -> Label:
    height, width = size
    label = np.zeros(size, np.uint8)
    value = np.empty(size, np.uint8)  # what cv2.copyTo copies from: the class's id everywhere
    best = _enlarge(logits[0], width, height)
    for class_id in range(1, len(logits)):
        other = _enlarge(logits[class_id], width, height)
        value.fill(class_id)
        cv2.copyTo(value, cv2.compare(other, best, cv2.CMP_GT), label)
        cv2.max(best, other, dst=best)
    return label


def _enlarge(logits: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    return cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
