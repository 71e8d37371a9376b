"""Frames that may be chosen: a bounded number of them, however many come by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POOL = 20_000  # candidates in memory: some 50 MB

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom exclusive


@dataclass(frozen=True)
class Candidate:
    """A frame and what the model makes of it.

    Args:
        name: as a label of it would be called.
        source: the file that holds it.
        frame: its number in a video; None for an image file.
        unsure: 0 (sure everywhere) to 1, the mean over its pixels.
        worst: the same of its most unsure region.
        box: that region, in pixels of the frame.
        feature: float16 (D,), of length 1: frames that look alike have features that do.
    """

    name: str
    source: str
    frame: int | None
    unsure: float
    worst: float
    box: Box
    feature: NDArray[np.float16]

    @property
    def score(self) -> float:
        """How unsure the model is, 0 to 1: the mean of the frame's and its worst region's."""
        return (self.unsure + self.worst) / 2


class Pool:
    """Keeps at most `size` candidates.

    When it is full, it keeps the better one of each two that came one after the other, and from
    then on the best of twice as many that come. So a long drive is thinned out evenly in time, and
    every part of the frames keeps its share.

    Args:
        better: of two candidates, the greater is kept; of equals, the earlier.
        size: even, 2 or more.
    """

    def __init__(self, better: Callable[[Candidate], float], size: int = POOL) -> None:
        self._better, self._size = better, size
        self._kept: list[Candidate] = []
        self._window = 1  # frames of which one is kept
        self._seen = 0  # of the window at hand
        self.offered = 0

    def offer(self, candidate: Candidate) -> None:
        """Take the next frame, in the order of time."""
        self.offered += 1
        if self._seen and self._better(candidate) > self._better(self._kept[-1]):
            self._kept[-1] = candidate
        elif not self._seen:
            if len(self._kept) == self._size:
                self._halve()
            self._kept.append(candidate)
        self._seen = (self._seen + 1) % self._window

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def _halve(self) -> None:
        pairs = zip(self._kept[::2], self._kept[1::2], strict=True)
        self._kept = [max(pair, key=self._better) for pair in pairs]
        self._window *= 2
