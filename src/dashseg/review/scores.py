"""What a model sees in a frame + its label -> how well they agree, as one number.

The score is a soft minimum of the probability that the model gives to the class drawn, so that one
bad region is not averaged away by a large good frame. Lad & Mueller ("Estimating label quality and
errors in semantic segmentation data via any model", 2023, arXiv 2307.05080) weigh probabilities
by a softmax; here their logarithms are averaged with a power, which tells a class that is unlikely
from one that is out of the question: see docs/review.md for both, measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dashseg.labels import IGNORE

POWER = 6  # 1: the geometric mean; the larger, the nearer to the smallest
LEAST = 1e-4  # a probability below counts as this: one pixel is not to decide by itself


def drawn_probability(probabilities: Tensor, label: Tensor) -> Tensor:
    """The probability that the model gives to the class drawn at each pixel.

    Args:
        probabilities: float32 (C, h, w).
        label: uint8 (h, w), 255 = ignore.

    Returns:
        float32 (h, w); what stands where the label is to be ignored means nothing.
    """
    drawn = label.masked_fill(label == IGNORE, 0).long()
    return probabilities.gather(0, drawn[None])[0]


def frame_score(drawn: NDArray[np.float32]) -> float | None:
    """Soft minimum: exp(−(mean (−ln p)^POWER)^(1/POWER)).

    A share f of pixels of which the drawn class is out of the question keeps it at or below
    exp(−9.2·f^(1/6)): 0.002 for a tenth of the frame, 0.14 for a ten-thousandth.

    Args:
        drawn: the probabilities of the class drawn at the pixels that count, in any shape.

    Returns:
        0-1, the lower the worse; None without pixels.
    """
    if drawn.size == 0:
        return None
    surprise = -np.log(np.clip(drawn.astype(np.float64), LEAST, 1))
    return float(np.exp(-((surprise**POWER).mean() ** (1 / POWER))))
