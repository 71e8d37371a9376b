"""A teacher's predictions in a pack: one array for each frame size, beside images and labels.

predictions-437x582.npy   uint8 (N, C, h, w), at the stride of the teacher's logits

A pixel keeps how far each class's logit is below the highest one: `code` means a distance of
`FARTHEST` · (code / 255)². The steps are fine where probabilities are large, and any temperature
can be applied later. A pixel whose codes are all `UNKNOWN` has no prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FARTHEST = 32.0  # e⁻³²: logits farther below the highest one become this far
UNKNOWN = 255


@dataclass(frozen=True)
class Predictions:
    """What pack.json says of them.

    Args:
        model: the teacher's name, without the folders before it.
        digest: of its file of weights.
        classes: its classes' names.
        shapes: (h, w) of the predictions for each of the pack's sizes.
        checksums: of each size's rows, CRC-32 of the codes.
        trained_on: what `dashseg.hub` knows of the teacher's training data; None: not recorded.
    """

    model: str
    digest: str
    classes: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    checksums: tuple[tuple[int, ...], ...]
    trained_on: tuple[dict[str, Any], ...] | None = None


class Predictor(Protocol):
    """The teacher that `dashseg.curate.pack` asks."""

    @property
    def model(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def trained_on(self) -> tuple[dict[str, Any], ...] | None: ...

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RGB frame (H, W, 3) -> codes (C, h, w)."""


def encode(logits: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Finite logits (…, C, h, w) -> codes of the same shape."""
    below = logits.max(-3, keepdims=True) - logits
    codes = np.rint(255 * np.sqrt(np.minimum(below / FARTHEST, 1))).astype(np.uint8)
    return np.ascontiguousarray(codes)  # a network's logits may be channels last
