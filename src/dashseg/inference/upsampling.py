"""Logits of any size -> logits, or only the label, at the frame's own size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.labels import IGNORE, Label

if TYPE_CHECKING:
    from torch import Tensor

Logits = NDArray[np.float32]


def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of logits (C, h, w) -> (C, H, W)."""
    from torch.nn import functional as F

    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]


def label_at(size: tuple[int, int], logits: Tensor | Logits) -> Label:
    """The most likely class of each pixel, at another size; of equal classes the first.

    It is the argmax of `upsample`, but for pixels where two classes tie up to float32's rounding:
    OpenCV rounds differently, which changes less than one pixel in a million
    (`benchmarks/labels.py`). One class is resized at a time, so memory does not grow with C.

    Args:
        size: H, W.
        logits: float32 (C, h, w), C up to 255; for a tensor on a GPU the label is made there.

    Returns:
        uint8 H×W.

    Raises:
        InputError: logits on a GPU that are not finite.
    """
    if isinstance(logits, np.ndarray):
        return _from_array(logits, size)
    if logits.device.type == "cpu":
        return _from_array(logits.float().numpy(), size)
    return _on_device(logits, size)


def _from_array(logits: Logits, size: tuple[int, int]) -> Label:
    height, width = size
    planes = np.ascontiguousarray(logits, np.float32)
    best = cv2.resize(planes[0], (width, height), interpolation=cv2.INTER_LINEAR)  # (H, W)
    label = np.zeros(size, np.uint8)
    other, ids = np.empty_like(best), np.empty_like(label)
    for class_id, plane in enumerate(planes[1:], 1):
        cv2.resize(plane, (width, height), dst=other, interpolation=cv2.INTER_LINEAR)
        ids.fill(class_id)
        cv2.copyTo(ids, cv2.compare(other, best, cv2.CMP_GT), label)  # copies where it is larger
        cv2.max(best, other, dst=best)
    return label


def _on_device(logits: Tensor, size: tuple[int, int]) -> Label:
    import torch

    label = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    best = upsample(logits[:1], size)[0]  # (H, W)
    for class_id in range(1, len(logits)):
        other = upsample(logits[class_id : class_id + 1], size)[0]
        label.masked_fill_(other > best, class_id)
        torch.maximum(best, other, out=best)
    # Told by the label itself: reading one more value would wait for the GPU once more.
    label.masked_fill_(~logits.sum().isfinite(), IGNORE)
    found = label.cpu().numpy()
    if found[0, 0] == IGNORE:
        raise InputError("the network gives NaN or infinity: its weights are damaged")
    return found
