"""Names and class pixels -> the frames to hold out, in whole segments, routes or devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dashseg.data.frame_names import parse_name
from dashseg.errors import InputError

Level = Literal["segment", "route", "device"]
LEVELS: tuple[Level, ...] = get_args(Level)

_ORDERS = 50  # 200 gained 1 % of the distance at most on 10,000 made-up frames of 400 devices

Pixels = NDArray[np.int64]  # (N, C): of each class in each frame


def choose(
    names: Sequence[str], pixels: Pixels, by: Level, share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose the frames to hold out.

    A group is all frames of a segment, route or device; a frame whose name does not tell is one of
    its own. Groups are offered in many random orders; each is taken if that brings the number of
    frames nearer to the share asked for. Of these choices the one is kept that misses the share
    least and whose class shares differ least from the rest's, 1 % of the frames asked for counting
    as much as 1 % of the pixels.

    Args:
        share: of all frames, above 0 and below 1.
        seed: the same one makes the same choice.

    Returns:
        bool (N,), whether a frame is held out. Neither side is empty.

    Raises:
        InputError: a share that is none, or all frames are of one group.
    """
    if not 0 < share < 1:
        raise InputError(f"--val {share:g}: a share above 0 and below 1, such as 0.1")
    of_frame, frames = _groups(names, by)
    if len(frames) < 2:
        raise InputError(
            f"all {len(names)} frames are of one {by}, so none can be held out without it:"
            " split by something smaller"
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
    """The segment, route or device that a frame's name tells; None: of no known form."""
    parsed = parse_name(name)
    return None if parsed is None else getattr(parsed, by)


def class_distance(a: NDArray[np.number], b: NDArray[np.number]) -> float | None:
    """Total variation of two sides' class shares: of the pixels, that much would have to change.

    Args:
        a: (C,) pixels of each class; b: the other side's.

    Returns:
        0 to 1; None where a side has no labelled pixel.
    """
    if not (a.sum() and b.sum()):
        return None
    return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)


def _groups(names: Sequence[str], by: Level) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Of each frame the group's number, (N,); of each group how many frames it has, (G,)."""
    # The form of a key says which kind it is: a name never counts as a segment of that name.
    keys = [(group, "") if (group := group_of(name, by)) else ("", name) for name in names]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    of_frame = np.array([number[key] for key in keys], np.intp)
    return of_frame, np.bincount(of_frame)


def _fill(frames: NDArray[np.int64], goal: float, order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Offer groups in an order; (G,) -> bool (G,), neither all nor none of them."""
    chosen = np.zeros(len(frames), bool)
    count = 0
    for group in order:
        if abs(goal - count - frames[group]) < abs(goal - count):
            chosen[group] = True
            count += frames[group]
    if not chosen.any():  # each has more than twice the frames asked for
        chosen[frames.argmin()] = True
    if chosen.all():
        chosen[frames.argmin()] = False
    return chosen
