"""What a model sees in a frame + its label -> how well they agree, as one number.

The score is a soft minimum of the probability that the model gives to the class drawn, so that one
bad region is not averaged away by a large good frame. Lad & Mueller ("Estimating label quality and
errors in semantic segmentation data via any model", 2023, arXiv 2307.05080) weigh probabilities
by a softmax. Here their logarithms are averaged with a power, which tells a class that is unlikely
from one that is out of the question, and pixels count by class: a lane marking that was forgotten
is a large share of the lane markings, if not of the frame. See docs/review.md for all three,
measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dashseg.labels import IGNORE, Label

POWER = 6  # 1: the geometric mean; the larger, the nearer to the smallest
LEAST = 1e-4  # a probability below counts as this: one pixel is not to decide by itself
RAREST = 0.01  # of the frame: a class with a smaller share counts as if it had this

Floats = NDArray[np.float32]


def drawn_probability(probabilities: Floats, label: Label) -> Floats:
    """The probability that the model gives to the class drawn at each pixel.

    Args:
        probabilities: float32 (C, h, w).
        label: uint8 (h, w), 255 = ignore.

    Returns:
        float32 (h, w); what stands where the label is to be ignored means nothing.
    """
    drawn = np.where(label == IGNORE, 0, label).astype(np.intp)
    return np.take_along_axis(probabilities, drawn[None], 0)[0]


def frame_score(probabilities: Floats, label: Label) -> float | None:
    """Soft minimum: exp(−(weighted mean (−ln p)^POWER)^(1/POWER)), p that of the class drawn.

    A share f of the weight of which the drawn class is out of the question keeps it at or below
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
    """What each of n pixels counts: 1 / the frame's share of the class drawn or seen, the rarer.

    A class's share is the larger of what is drawn and what is seen of it: neither a few stray
    pixels nor a class that nobody drew weigh beyond measure.
    """
    pixels = np.maximum(*(np.bincount(ids, minlength=classes) for ids in (drawn, seen)))
    weight = 1 / np.maximum(pixels / drawn.size, RAREST)  # (C,)
    return np.maximum(weight[drawn], weight[seen])
