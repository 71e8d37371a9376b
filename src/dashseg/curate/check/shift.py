"""Find masks that fit their frame clearly better when moved.

A mask's boundaries should lie on edges of the frame that run the same way. Both are turned into a
field of edge directions: strength, and twice the angle, so that dark-to-bright and bright-to-dark
are the same direction. Their cross-correlation over all small moves, by one Fourier transform
each, has its peak where the mask fits best. A peak away from zero counts if most parts of the
frame, each by itself, agree with it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.labels import IGNORE, Image, Label

_COARSE, _FINE = 200, 400  # widths of the fields; the fine one only if the coarse peak is not at 0
_REACH = 0.05  # of the width: the largest move, 58 pixels in a frame of 1164
_BLOCK = 16  # pixels of the fine field: the side of the parts that must agree
# Mean gain of the parts over its standard error. Of CamVid's masks as they were drawn none exceeds
# 2 with 5, 11 or 32 classes; with 2, where a kerb has two parallel edges, 1 in 12 does, and _KEPT
# leaves 1 in 60. Moved by 2 % of the width, 9 in 10 are found with 2 classes: benchmarks/shifts.py.
_AGREEMENT = 2.0
SURE = 4.0  # none of 2,800 drawn masks of 2 to 32 classes exceeds it; half of the moved ones do
_KEPT = 0.8  # of the best fit: a mask that fits so well where it lies is drawn as well as another
_SIGMA = 0.8  # field pixels: a staircase of pixels is no edge direction
_STRONGEST = 3.0  # times the edges around it: a windscreen's rim counts no more than a kerb
_BORDER = 0.02  # of the width: a mask that ends at the picture's rim has no edge there

Field = NDArray[np.float32]  # (h, w, 2): strength × (cos, sin) of twice the angle
Plane = NDArray[np.float32]  # (h, w)


class Shift(NamedTuple):
    """The move that makes a mask fit: `dy` pixels down, `dx` to the right (either may be < 0)."""

    dy: int
    dx: int
    agreement: float  # mean gain of the frame's parts over its standard error


def find_shift(image: Image, label: Label) -> Shift | None:
    """Find the move of at most 5 % of the width that makes a label fit its frame.

    Args:
        image: uint8 H×W×3 RGB.
        label: uint8 H×W class ids; edges of ignored regions (255) do not count.

    Returns:
        None if the label fits best where it is, or nearly: moves below half a percent of the width
        (6 pixels of 1164) are within the accuracy of drawing by hand, and a fit of 80 % of the best
        one is as good, unless nearly all parts of the frame agree. None also for frames narrower
        than 200 pixels, or more than 12.5 times as wide as high.
    """
    height, width = label.shape
    if width < _COARSE or height * _FINE < 2 * _BLOCK * width:  # moves would leave the frame
        return None
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if _peak(*_fields(grey, label, _COARSE))[:2] == (0, 0):
        return None
    drawn, seen = _fields(grey, label, _FINE)
    dy, dx, kept = _peak(drawn, seen)
    farthest = max(abs(dy), abs(dx))
    if farthest <= 1:
        return None
    gain = _overlap(drawn, seen, dy, dx) - _overlap(drawn, seen, 0, 0)
    agreement = _agreement(gain)
    at_rim = farthest == round(_REACH * _FINE)  # the peak may lie beyond, or be none
    if agreement <= (SURE if at_rim or kept > _KEPT else _AGREEMENT):
        return None
    scale = label.shape[1] / _FINE
    return Shift(round(dy * scale), round(dx * scale), agreement)


def _fields(grey: NDArray[np.uint8], label: Label, width: int) -> tuple[Field, Field]:
    """Edges of the label and of the frame, both (h, width, 2)."""
    size = width, max(1, round(label.shape[0] * width / label.shape[1]))
    return _label_edges(label, size), _image_edges(grey, size)


def _image_edges(grey: NDArray[np.uint8], size: tuple[int, int]) -> Field:
    while grey.shape[1] >= 2 * size[0]:  # halving is fast, and then bilinear misses no pixel
        grey = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    field, strength = _directions(*_products(small))
    window = round(size[0] / 12)
    around = cv2.blur(strength, (window, window)) + 0.3 * strength.mean() + 1e-3
    field *= (np.minimum(strength / around, _STRONGEST) / strength)[..., None]
    return field


def _label_edges(label: Label, size: tuple[int, int]) -> Field:
    small = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
    ignored = small == IGNORE
    small[ignored] = 0
    # Ids become points on a circle: then no two of them are close, as 0 and 1 of 0 to 4 would be.
    angle = 2 * np.pi * np.arange(256) / (int(small.max()) + 1)
    cosine, sine = (
        _products(np.take(wave(angle).astype(np.float32), small)) for wave in (np.cos, np.sin)
    )
    field, _ = _directions(*(a + b for a, b in zip(cosine, sine, strict=True)))
    if ignored.any():
        field[cv2.dilate(ignored.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0] = 0
    border = max(1, round(_BORDER * size[0]))
    field[:border] = field[-border:] = field[:, :border] = field[:, -border:] = 0
    return field


def _products(picture: Plane) -> tuple[Plane, Plane, Plane]:
    """Of the gradient (across, down): across², down², across · down."""
    smooth = cv2.GaussianBlur(picture, (5, 5), _SIGMA)
    across = cv2.Scharr(smooth, cv2.CV_32F, 1, 0)
    down = cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    return across * across, down * down, across * down


def _directions(xx: Plane, yy: Plane, xy: Plane) -> tuple[Field, Plane]:
    """The field, and its strength (h, w), above 0 everywhere."""
    strength = np.sqrt(xx + yy) + 1e-6
    field = cv2.merge((xx - yy, 2 * xy))
    field /= strength[..., None]
    return field, strength


def _peak(drawn: Field, seen: Field) -> tuple[int, int, float]:
    """The move of `drawn` (down, right) at which the sum of drawn · seen is largest.

    The third number is the share of that sum which `drawn` has where it lies, or one pixel off;
    both sums are counted from the median over all moves.
    """
    height, width = drawn.shape[:2]
    reach = round(_REACH * width)
    rows, columns = cv2.getOptimalDFTSize(height + reach), cv2.getOptimalDFTSize(width + reach)
    spectra = []
    for field in (drawn, seen):  # as complex numbers, whose product holds both components' sum
        padded = np.zeros((rows, columns, 2), np.float32)
        padded[:height, :width] = field
        spectra.append(cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT, nonzeroRows=height))
    product = cv2.mulSpectrums(spectra[1], spectra[0], 0, conjB=True)
    fit = cv2.dft(product, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)[..., 0]
    moves = np.arange(-reach, reach + 1)
    around = fit[np.ix_(moves, moves)]  # negative moves lie at the other end
    best = np.unravel_index(int(around.argmax()), around.shape)
    here = around[reach - 1 : reach + 2, reach - 1 : reach + 2].max()
    by_chance = np.median(around)
    kept = (here - by_chance) / max(1e-9, around[best] - by_chance)
    return int(best[0]) - reach, int(best[1]) - reach, float(kept)


def _overlap(drawn: Field, seen: Field, dy: int, dx: int) -> Plane:
    """drawn · seen at each pixel of `drawn`, moved; 0 for those moved out of the frame."""
    height, width = drawn.shape[:2]
    top, bottom = max(0, -dy), min(height, height - dy)
    left, right = max(0, -dx), min(width, width - dx)
    moved = seen[top + dy : bottom + dy, left + dx : right + dx]
    overlap = np.zeros((height, width), np.float32)
    overlap[top:bottom, left:right] = (drawn[top:bottom, left:right] * moved).sum(-1)
    return overlap


def _agreement(gain: Plane) -> float:
    """Sum over blocks / root of the sum of squares: mean over its standard error about zero."""
    rows, columns = (side // _BLOCK * _BLOCK for side in gain.shape)
    blocks = gain[:rows, :columns].reshape(rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    parts = blocks.sum((1, 3))
    return float(parts.sum() / max(1e-9, np.sqrt((parts * parts).sum())))
