"""Candidates -> the frames to label next, one after the other.

Each pick is the frame that is worth most beside those picked before and those labelled already. To
pick the frame that is farthest from them all is the k-centre method of Sener & Savarese ("Active
learning for convolutional neural networks: a core-set approach", 2018, arXiv 1708.00489).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dashseg.curate.select.candidates import Candidate

Way = Literal["uncertainty", "diversity", "both"]
WAYS: tuple[Way, ...] = get_args(Way)

# Frames nearer to each other than this share of the usual distance are near copies: neighbours in
# time, mostly.
NEAR = 0.25
_SAMPLED = 512  # candidates between which the usual distance is measured
_ROWS = 4096  # labelled frames whose distances are computed at a time

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pick:
    """A chosen frame.

    Args:
        candidate: the frame.
        group: its drive, or what else groups were asked for.
        distance: from the nearest frame that is labelled or was picked before: 0, the same, to 2;
            None where there is no such frame.
        nearest: that frame's name.
        share: of all candidates, how many have a lower score; 0 to 1.
    """

    candidate: Candidate
    group: str
    distance: float | None
    nearest: str | None
    share: float


def choose(
    candidates: Sequence[Candidate],
    groups: Sequence[str],
    count: int,
    by: Way = "both",
    labelled: Sequence[Candidate] = (),
    most: int | None = None,
) -> list[Pick]:
    """Choose at most `count` frames, the most useful one first.

    Near copies of frames that are labelled or were picked come only when there are no others.

    Args:
        groups: the group of each candidate.
        by: "uncertainty": the highest score first; "diversity": the farthest from what is labelled
            or picked; "both": the largest product of the two.
        labelled: frames that have labels; their scores do not matter.
        most: frames of a group at most.
    """
    if not candidates:
        return []
    features = _stack(candidates)
    scores = np.array([candidate.score for candidate in candidates], np.float32)
    ranks = scores.argsort().argsort() / len(scores)
    own = np.asarray(groups)
    nearest, distances = _nearest(features, labelled)
    names = [candidate.name for candidate in labelled]
    near = NEAR * usual_distance(features)
    known = set(names)
    free = np.array([candidate.name not in known for candidate in candidates])
    taken: Counter[str] = Counter()
    picks: list[Pick] = []
    while len(picks) < count and free.any():
        apart = free & (distances >= near)
        worth = np.where(apart if apart.any() else free, _worth(by, scores, distances), -1)
        index = int(worth.argmax())
        alone = not names
        pick = Pick(
            candidates[index],
            groups[index],
            None if alone else float(distances[index]),
            None if alone else names[nearest[index]],
            float(ranks[index]),
        )
        picks.append(pick)
        free[index] = False
        taken[pick.group] += 1
        if taken[pick.group] == most:
            free &= own != pick.group
        to_pick = _distance(features @ features[index])
        nearest = np.where(to_pick < distances, len(names), nearest)
        distances = np.minimum(distances, to_pick)
        names.append(pick.candidate.name)
    return picks


def usual_distance(features: Floats) -> float:
    """The median distance between two candidates, of features float32 (N, D) of length 1."""
    step = max(1, len(features) // _SAMPLED)
    sampled = features[::step][:_SAMPLED]
    rows, columns = np.triu_indices(len(sampled), 1)
    if len(rows) == 0:
        return 0.0
    return float(np.median(_distance(sampled @ sampled.T)[rows, columns]))


def _worth(by: Way, scores: Floats, distances: Floats) -> Floats:
    if by == "uncertainty":
        return scores
    # Nothing is labelled or picked: all are equally far, and the first pick is the most unsure.
    far = np.where(np.isinf(distances), np.float32(2), distances)
    if by == "both":
        return far * scores
    return far + np.float32(1e-6) * scores


def _nearest(features: Floats, labelled: Sequence[Candidate]) -> tuple[NDArray[np.intp], Floats]:
    """The index of, and distance from, the nearest labelled frame; infinite where there is none."""
    nearest = np.zeros(len(features), np.intp)
    distances = np.full(len(features), np.inf, np.float32)
    for start in range(0, len(labelled), _ROWS):
        between = _distance(features @ _stack(labelled[start : start + _ROWS]).T)
        closest = between.argmin(1)
        least = between[np.arange(len(features)), closest]
        nearest = np.where(least < distances, start + closest, nearest)
        distances = np.minimum(distances, least)
    return nearest, distances


def _stack(candidates: Sequence[Candidate]) -> Floats:
    return np.stack([candidate.feature for candidate in candidates]).astype(np.float32)


def _distance(cosine: Floats) -> Floats:
    """Between features of length 1, from their product: 0 (the same) to 2 (opposite)."""
    return np.sqrt(np.maximum(0, 2 - 2 * cosine)).astype(np.float32)
