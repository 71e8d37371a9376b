"""Probabilities + label -> how well they agree, as one number.

The score is a soft minimum of the probability that the model gives to the class drawn: one bad
region counts, however large the good rest of the frame. Lad & Mueller ("Estimating label quality
and errors in semantic segmentation data via any model", 2023, arXiv 2307.05080) weigh
probabilities by a softmax. Here the logarithms are averaged with a power, which separates unlikely
classes from impossible ones, and pixels count by class: a forgotten lane marking is a large share
of the lane markings, though a small one of the frame. docs/review.md compares all three.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dashseg.inference.unsureness import RAREST, rarity
from dashseg.labels import IGNORE, Label

__all__ = ["LEAST", "POWER", "RAREST", "drawn_probability", "frame_score"]

POWER = 6  # 1: the geometric mean; the larger, the nearer to the smallest
LEAST = 1e-4  # smaller probabilities count as this: no single pixel decides the score

Floats = NDArray[np.float32]


def drawn_probability(probabilities: Floats, label: Label) -> Floats:
    """The probability that the model gives to the class drawn at each pixel.

    Args:
        probabilities: float32 (C, h, w).
        label: uint8 (h, w), 255 = ignore.

    Returns:
        float32 (h, w); undefined where the label is 255.
    """
    drawn = np.where(label == IGNORE, 0, label).astype(np.intp)
    return np.take_along_axis(probabilities, drawn[None], 0)[0]


def frame_score(probabilities: Floats, label: Label) -> float | None:
    """Soft minimum: exp(−(weighted mean (−ln p)^POWER)^(1/POWER)), p that of the class drawn.

    If the drawn class is impossible in a share f of the weight, the score is at most
    exp(−9.2·f^(1/6)): 0.002 for a tenth, 0.14 for a ten-thousandth.

    Args:
        probabilities: float32 (C, h, w).
        label: uint8 (h, w), 255 = ignore.

    Returns:
        0-1, the lower the worse; None if no pixel is labelled.
    """
    counted = label != IGNORE
    if not counted.any():
        return None
    p = drawn_probability(probabilities, label)[counted].astype(np.float64)
    surprise = -np.log(np.clip(p, LEAST, 1))
    weights = _weights(label[counted], probabilities.argmax(0)[counted], len(probabilities))
    mean = np.average(surprise**POWER, weights=weights)
    return float(np.exp(-(mean ** (1 / POWER))))


def _weights(drawn: Label, seen: NDArray[np.intp], classes: int) -> NDArray[np.float64]:
    """Weights of n pixels: 1 / the frame's share of the class drawn or seen, whichever is rarer.

    A class's share is the larger of its drawn and its seen share, so that neither a few stray
    pixels nor a class that nobody drew get an excessive weight.
    """
    pixels = np.maximum(*(np.bincount(ids, minlength=classes) for ids in (drawn, seen)))
    weight = rarity(pixels, drawn.size)  # (C,)
    return np.maximum(weight[drawn], weight[seen])
