"""Choose the frames to hold out: whole segments, routes or devices, with balanced classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dashseg.data.frame_names import parse_name
from dashseg.errors import InputError

Level = Literal["segment", "route", "device"]
LEVELS: tuple[Level, ...] = get_args(Level)

_ORDERS = 50  # 200 lower the error by 1 % at most (10,000 synthetic names, 400 devices)

Pixels = NDArray[np.int64]  # (N, C): of each class in each frame


def choose(
    names: Sequence[str], pixels: Pixels, by: Level, share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose the frames to hold out.

    A group is all frames of a segment, route or device; a frame with an unrecognised name is a
    group of its own. In each of many random orders, a group is taken if that brings the number of
    held-out frames closer to `share`. The choice with the smallest error wins: the relative error
    of the number of frames plus the difference in class shares (`class_distance`).

    Args:
        share: of all frames, above 0 and below 1.
        seed: the same seed gives the same choice.

    Returns:
        bool (N,), whether a frame is held out. Neither side is empty.

    Raises:
        InputError: `share` is out of range, or all frames are of one group.
    """
    if not 0 < share < 1:
        raise InputError(f"--val {share:g}: a share above 0 and below 1, such as 0.1")
    of_frame, frames = _groups(names, by)
    if len(frames) < 2:
        raise InputError(
            f"all {len(names)} frames are of one {by}, so it cannot be divided: split by something"
            " smaller"
        )
    totals = np.zeros((len(frames), pixels.shape[1]))
    np.add.at(totals, of_frame, pixels)
    goal = share * len(names)
    rng = np.random.default_rng(seed)
    best, least = np.zeros(0, bool), np.inf
    for _ in range(_ORDERS):
        chosen = _fill(frames, goal, rng.permutation(len(frames)))
        missed = abs(frames[chosen].sum() - goal) / goal
        differ = class_distance(totals[chosen].sum(0), totals[~chosen].sum(0)) or 0.0
        if missed + differ < least:
            best, least = chosen, missed + differ
    return best[of_frame]


def group_of(name: str, by: Level) -> str | None:
    """The segment, route or device in a frame's name; None if the name is not recognised."""
    parsed = parse_name(name)
    return None if parsed is None else getattr(parsed, by)


def class_distance(a: NDArray[np.number], b: NDArray[np.number]) -> float | None:
    """Total variation distance between the class shares of two sides.

    Args:
        a: (C,) pixels of each class; b: the other side's.

    Returns:
        0 to 1; None where a side has no labelled pixel.
    """
    if not (a.sum() and b.sum()):
        return None
    return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)


def _groups(names: Sequence[str], by: Level) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The group of each frame, (N,), and the number of frames of each group, (G,)."""
    # Two kinds of keys, so that a name is never taken for a segment of the same text.
    keys = [(group, "") if (group := group_of(name, by)) else ("", name) for name in names]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    of_frame = np.array([number[key] for key in keys], np.intp)
    return of_frame, np.bincount(of_frame)


def _fill(frames: NDArray[np.int64], goal: float, order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Take groups in this order while they help; (G,) -> bool (G,), neither all nor none."""
    chosen = np.zeros(len(frames), bool)
    count = 0
    for group in order:
        if abs(goal - count - frames[group]) < abs(goal - count):
            chosen[group] = True
            count += frames[group]
    if not chosen.any():  # each has more than twice the frames wanted
        chosen[frames.argmin()] = True
    if chosen.all():
        chosen[frames.argmin()] = False
    return chosen
