"""Mask pixels outside the palette: antialiased edges, or colours of their own.

An antialiased pixel is a mix of palette colours nearby: its colour lies on the line between two of
them (in the triangle of three, where three regions meet), and both occur within a few pixels. If a
line is too thin to keep one pure pixel, one of the two occurs elsewhere in the mask. The pixel gets
the colour that it contains most of, so that no class appears that is not there. Wide blurs are
resolved from their edges inwards. Everything else is a colour of its own, including a mix that
somebody painted with: a brush leaves flat patches, a filter does not. What it means is unknown.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.labels import UNKNOWN, Classes, Label, colour_code, stored_values

_REACH = 6  # pixels to a palette colour: how far a Lanczos filter rings when it doubles a mask
_ROUNDS = 4  # each goes one reach farther from what is known
_TOLERANCE = 12.0  # distance in RGB from the line: resizing twice rounds twice
_OVERSHOOT = 0.35  # beyond the ends of the line: sharpening filters ring
_FLAT = 3  # pixels: a square of one colour that no filter leaves
_CROWDED = 0.005  # of the strays: where four regions or two filters meet, no mix fits
_ALIKE = 16  # pixels: a colour that more pixels share is no accident
_SHOWN = 5  # colours kept to be shown

_NONE = 255  # no palette colour

Codes = NDArray[np.uint32]  # 0xRRGGBB
Colours = NDArray[np.float32]  # (n, 3) RGB, 0-255


class Strays(NamedTuple):
    """The pixels of a mask that are outside the palette."""

    kind: str  # "antialiased", or "own" when any pixel is
    antialiased: int  # pixels
    own: int  # pixels
    colours: int  # different colours outside the palette
    most: tuple[tuple[str, int], ...]  # the commonest: those of their own first if there are any


def describe_strays(pixels: NDArray[np.uint8], label: Label, classes: Classes) -> Strays:
    """Tell apart the pixels that `look_up` marks UNKNOWN.

    Args:
        pixels: of the mask, as `look_up` takes them.
        label: uint8 H×W, UNKNOWN somewhere.
    """
    values = stored_values(pixels, classes)
    unknown = label == UNKNOWN
    colours = len(np.unique(values[unknown]))
    if classes.stored_as == "id":  # a mix of ids is another id: nothing to see between them
        own, antialiased = unknown, 0
    else:
        own = snap(values.astype(np.uint32), unknown, classes)[1]
        antialiased = int(np.count_nonzero(unknown & ~own))
    shown, counts = np.unique(values[own if own.any() else unknown], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SHOWN]
    most = tuple(
        (str(shown[i]) if classes.stored_as == "id" else f"#{shown[i]:06x}", int(counts[i]))
        for i in order
    )
    kind = "own" if own.any() else "antialiased"
    return Strays(kind, antialiased, int(np.count_nonzero(own)), colours, most)


def snap(
    codes: Codes, unknown: NDArray[np.bool_], classes: Classes
) -> tuple[Codes, NDArray[np.bool_]]:
    """Give each antialiased pixel the palette colour that it contains most of.

    Args:
        codes: uint32 H×W.
        unknown: bool H×W, where codes are outside the palette.

    Returns:
        The codes with antialiased pixels snapped, and bool H×W: where a pixel is no mix of what
        lies around it and keeps its colour.
    """
    known = np.array(sorted({colour_code(c) for c in (*classes.colours, *classes.aliases)}))
    palette = _rgb(known)
    index = np.searchsorted(known, codes).clip(max=len(known) - 1).astype(np.uint8)
    index[unknown] = _NONE  # uint8 H×W: which palette colour
    strays = codes[unknown]
    colours = _rgb(strays)
    choice = np.full(len(strays), _NONE, np.uint8)
    painted = np.isin(strays, _painted(codes, unknown, palette))
    rows, columns = np.nonzero(unknown)
    for _ in range(_ROUNDS):
        left = np.flatnonzero((choice == _NONE) & ~painted)
        near = _near(index, rows[left], columns[left])
        choice[left] = _unmix(colours[left], near, palette)
        if (choice[left] == _NONE).all():
            break
        index[unknown] = choice
    left = np.flatnonzero((choice == _NONE) & ~painted)
    alike = np.unique(strays[left], return_counts=True)[1].max(initial=0)
    if 0 < len(left) <= _CROWDED * len(strays) and alike <= _ALIKE:
        choice[left] = _nearest(colours[left], _near(index, rows[left], columns[left]), palette)
    own = unknown.copy()
    own[unknown] = choice == _NONE
    snapped = codes.copy()
    snapped[unknown] = np.where(choice == _NONE, strays, known[choice.clip(max=len(known) - 1)])
    return snapped, own


def rgb_of(codes: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Codes 0xRRGGBB of any shape -> uint8 (…, 3) RGB."""
    return np.stack((codes >> 16, codes >> 8 & 0xFF, codes & 0xFF), axis=-1).astype(np.uint8)


def _rgb(codes: NDArray[np.integer]) -> Colours:
    return rgb_of(codes).astype(np.float32)


def _painted(codes: Codes, unknown: NDArray[np.bool_], palette: Colours) -> Codes:
    """The stray colours that fill a flat square somewhere, unless they are nearly a palette's."""
    square = np.ones((_FLAT, _FLAT), np.uint8)
    same_right = np.zeros(codes.shape, np.uint8)
    same_right[:, 1:] = codes[:, 1:] == codes[:, :-1]
    same_down = np.zeros(codes.shape, np.uint8)
    same_down[1:] = codes[1:] == codes[:-1]
    flat = cv2.erode(same_right, square[:, 1:], anchor=(0, 1)) & cv2.erode(
        same_down, square[1:], anchor=(1, 0)
    )
    colours = np.unique(codes[unknown & flat.view(bool)])
    away = np.linalg.norm(_rgb(colours)[:, None] - palette, axis=2).min(axis=1, initial=np.inf)
    return colours[away > _TOLERANCE]


def _near(
    index: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> dict[int, NDArray[np.bool_]]:
    """For each palette colour in the mask: which of the n pixels have it within reach."""
    kernel = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    present = np.flatnonzero(np.bincount(index.ravel(), minlength=256)[:_NONE])
    return {
        int(i): cv2.dilate((index == i).view(np.uint8), kernel)[rows, columns].view(bool)
        for i in present
    }


def _unmix(
    colours: Colours, near: dict[int, NDArray[np.bool_]], palette: Colours
) -> NDArray[np.uint8]:
    """(n, 3) colours -> (n,) the palette colour that each contains most of; _NONE: no mix."""
    choice = np.full(len(colours), _NONE, np.uint8)
    # The simplest explanation first: (how many colours are mixed, how many of them are near).
    for parts, seen in ((2, 2), (3, 3), (2, 1)):
        error = np.full(len(colours), _TOLERANCE, np.float32)
        undecided = choice == _NONE
        for mixed in combinations(near, parts):
            beside = np.sum([near[i] for i in mixed], axis=0) >= seen
            here = np.flatnonzero(undecided & beside)
            if not here.size:
                continue
            shares, distance = _fit(colours[here], palette[list(mixed)])
            better = (distance < error[here]) & (shares.min(axis=1) >= -_OVERSHOOT)
            error[here[better]] = distance[better]
            choice[here[better]] = np.array(mixed, np.uint8)[shares[better].argmax(axis=1)]
    return choice


def _nearest(
    colours: Colours, near: dict[int, NDArray[np.bool_]], palette: Colours
) -> NDArray[np.uint8]:
    """(n, 3) colours -> (n,) the most similar palette colour within reach; _NONE: there is none."""
    ids = np.array(list(near), np.uint8)
    away = np.linalg.norm(colours[:, None] - palette[ids], axis=2)  # (n, ids)
    away[~np.column_stack(list(near.values()))] = np.inf
    return np.where(np.isinf(away).all(axis=1), _NONE, ids[away.argmin(axis=1)]).astype(np.uint8)


def _fit(colours: Colours, ends: Colours) -> tuple[Colours, NDArray[np.float32]]:
    """(n, 3) colours as mixes of 2 or 3: shares (n, 2|3) that sum to 1, and what is left over.

    A filter that rings goes beyond 0 and 255, where the file cuts it off: those channels only
    have to agree that it does.
    """
    axes = ends[1:] - ends[0]
    shares = (colours - ends[0]) @ np.linalg.pinv(axes)
    distance = _distance(colours, ends[0] + shares @ axes)
    if len(ends) == 2:
        free = ((colours > 0) & (colours < 255)) * axes  # (n, 3): channels that are not cut off
        cut = ((colours - ends[0]) * free).sum(axis=1) / (free * free).sum(axis=1).clip(1e-6)
        distance_cut = _distance(colours, ends[0] + cut[:, None] * axes)
        closer = distance_cut < distance
        shares[closer, 0] = cut[closer]
        distance[closer] = distance_cut[closer]
    return np.column_stack((1 - shares.sum(axis=1), shares)), distance


def _distance(colours: Colours, mixes: Colours) -> NDArray[np.float32]:
    return np.linalg.norm(colours - mixes.clip(0, 255), axis=1)
