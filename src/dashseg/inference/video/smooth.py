"""Labels that do not flicker: probabilities averaged over time where the picture stands still.

Also how much labels flicker, before and after.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.labels import Image, Label

_STILL = 4.0  # grey levels of 255: sensor noise after a blur of 2 pixels stays below
_SIGMA = 2.0  # pixels

Grey = NDArray[np.float32]
Logits = NDArray[np.float32]


class Smoother:
    """Averages probabilities over time.

    A pixel's average keeps `strength` of its past where the picture has not changed there since
    the last frame, less where it has: what moves is not smeared.

    Args:
        strength: 0 (off) to below 1; 0.8 remembers about five frames.
    """

    def __init__(self, strength: float) -> None:
        if not 0 <= strength < 1:
            raise InputError(f"--smooth {strength:g}: from 0 (off) to below 1")
        self.strength = strength
        self._mean: Logits | None = None
        self._last: Grey | None = None

    def __call__(self, logits: Logits, grey: Grey) -> Logits:
        """Logits (C, h, w) of the next frame -> those of the average, (C, h, w).

        Args:
            grey: the frame's `small_grey`, of any size from (h, w) up.
        """
        grey = cv2.resize(grey, logits.shape[:0:-1], interpolation=cv2.INTER_AREA)
        mean = np.exp(logits - logits.max(0))
        mean /= mean.sum(0)
        if self._mean is not None and self._last is not None and self._mean.shape == mean.shape:
            change = (grey - self._last) / _STILL
            kept = self.strength * np.exp(-change * change)
            mean += kept * (self._mean - mean)
        self._mean, self._last = mean, grey
        return np.log(mean.clip(min=np.finfo(np.float32).tiny))


class Flicker:
    """Share of still pixels whose class changes from one frame to the next."""

    def __init__(self) -> None:
        self._changed = 0
        self._still = 0
        self._last: tuple[Label, Grey] | None = None

    def add(self, label: Label, grey: Grey) -> None:
        """Take the next frame: its label uint8 (h, w) and its `small_grey` (h, w)."""
        if self._last is not None and self._last[0].shape == label.shape:
            still = np.abs(grey - self._last[1]) < _STILL
            self._still += int(still.sum())
            self._changed += int((still & (label != self._last[0])).sum())
        self._last = label, grey

    @property
    def share(self) -> float | None:
        """0 to 1; None before there are two frames with anything still in them."""
        return self._changed / self._still if self._still else None


def small_grey(image: Image, size: tuple[int, int]) -> Grey:
    """uint8 H×W×3 RGB -> float32 (h, w), 0 to 255, free of sensor noise."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    blurred: Grey = cv2.GaussianBlur(small.astype(np.float32), (0, 0), _SIGMA)
    return blurred
