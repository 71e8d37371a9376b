"""Class ids that lie between two others along edges: the mask was resized with interpolation.

Halfway from id 2 to id 8 interpolation writes 5, which may be a class: nothing in the file shows
that nobody drew it. Such ids form bands of one or two pixels between a lower and a higher id. Thin
things that are drawn, such as poles, form them too, but only along some edges of a pair of ids;
interpolation leaves them along nearly all.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.labels import Label

_BAND = 2  # pixels: the widest band
# Share of a pair's edges, in the median over all edges, that have a band. Drawn masks of CamVid,
# comma10k and synthetic scenes, ids in any order, have 0.09 at most at their own size, and 0.16
# made smaller by nearest pixels; masks that were resized with interpolation mostly have 0.4 and
# more. Made half as large they have 0.24.
_SHARE = 0.2
_FEWEST = 200  # edge pixels of the mask, and a tenth of a pair: fewer tell nothing
_MOST = 0.25  # of the pixels: more are a picture, not edges
_ROUNDS = 4  # bands of four pixels, as enlarging 4 times leaves them, take two

Bools = NDArray[np.bool_]


def without_blends(values: Label) -> tuple[Label, int]:
    """The ids before a mask was resized with interpolation: each is that of the nearer side.

    Args:
        values: uint8 H×W, the ids as they are stored.

    Returns:
        uint8 H×W, and how many pixels changed: 0 if the mask was not interpolated.
    """
    settled = values
    for _ in range(_ROUNDS):
        blended = _find_blended(settled)
        if blended is None:
            break
        settled = _settle(settled, blended)
    return settled, int(np.count_nonzero(settled != values))


def _find_blended(values: Label) -> Bools | None:
    """Where ids come from interpolation, bool H×W; None if the mask was not interpolated."""
    between = np.zeros(values.shape, np.bool_)
    bands, steps = [], []
    both_ways = ((values, between), (values.T, between.T))
    for ids, found in both_ways:
        for width in range(1, _BAND + 1):
            first, last = ids[:, : -width - 1], ids[:, width + 1 :]
            band = ids[:, 1:-width]
            inside = ((first < band) & (band < last)) | ((first > band) & (band > last))
            inside &= band == ids[:, width : ids.shape[1] - 1]
            for start in range(1, width + 1):
                found[:, start : start + inside.shape[1]] |= inside
            bands.append(_pairs(first[inside], last[inside]))
    for ids, found in both_ways:
        first, last = ids[:, :-1], ids[:, 1:]
        apart = cv2.absdiff(first, last) > 1 if first.size else first > last
        apart &= ~(found[:, :-1] | found[:, 1:])
        steps.append(_pairs(first[apart], last[apart]))
    with_band, direct = (
        np.bincount(np.concatenate(pairs), minlength=1 << 16) for pairs in (bands, steps)
    )
    edges = with_band + direct
    counted = np.flatnonzero(edges >= _FEWEST // 10)
    if edges[counted].sum() < _FEWEST:
        return None
    share = with_band[counted] / edges[counted]
    order = np.argsort(share)
    until = np.cumsum(edges[counted][order])
    median = share[order][np.searchsorted(until, until[-1] / 2)]
    return between if median > _SHARE and between.mean() < _MOST else None


def _settle(values: Label, blended: Bools) -> Label:
    """The ids with each blended pixel given that of the nearest one that is not; uint8 H×W."""
    _, nearest = cv2.distanceTransformWithLabels(
        blended.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    id_of = np.zeros(nearest.max() + 1, np.uint8)
    id_of[nearest[~blended]] = values[~blended]
    return id_of[nearest]


def _pairs(first: Label, last: Label) -> NDArray[np.intp]:
    """Ids at both ends of n edges -> (n,) one number for each pair of ids."""
    return np.minimum(first, last).astype(np.intp) << 8 | np.maximum(first, last)
