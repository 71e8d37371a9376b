"""A stream of scored frames -> the K best and the K worst of them, with their predictions."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from dashseg.evaluation.metrics import Counts
from dashseg.evaluation.scoring import FrameScore
from dashseg.images import decode_pixels
from dashseg.labels import Label


@dataclass(frozen=True)
class Example:
    """A frame to show: its place in the data set and its prediction."""

    index: int
    loss: float
    confusion: Counts  # int64 (C, C)
    encoded: bytes  # the prediction as a PNG of ids: some 20 kB; the array has 1 MB

    @property
    def prediction(self) -> Label:
        """uint8 H×W class ids."""
        return decode_pixels(self.encoded, f"prediction {self.index}")


class Extremes:
    """Keeps the `count` frames of lowest and the `count` of highest native loss.

    Among equal losses the frame that comes first in the data set wins.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._seen = 0
        # Heaps of (rank, -index, example); the example to drop first is on top.
        self._worst: list[tuple[float, int, Example]] = []
        self._best: list[tuple[float, int, Example]] = []

    def offer(self, index: int, score: FrameScore, encode: Callable[[], bytes]) -> None:
        """Consider one frame; its prediction is kept only while it is among the extremes.

        Args:
            encode: makes the PNG of its prediction; called only if it is among the extremes so far.
        """
        loss = score.native.mean
        if loss is None or self._count == 0:
            return
        self._seen += 1
        for heap, rank in ((self._worst, loss), (self._best, -loss)):
            if len(heap) == self._count and (rank, -index) < heap[0][:2]:
                continue
            example = Example(index, loss, score.confusion, encode())
            heapq.heappush(heap, (rank, -index, example))
            if len(heap) > self._count:
                heapq.heappop(heap)

    def kept(self) -> dict[int, bytes]:
        """The PNG of each prediction that is kept, by the frame's index."""
        return {example.index: example.encoded for *_, example in self._worst + self._best}

    def worst(self) -> list[Example]:
        """Highest loss first. Of fewer than 2 × count frames, the worse half."""
        return _ordered(self._worst)[: (self._seen + 1) // 2]

    def best(self) -> list[Example]:
        """Lowest loss first. Of fewer than 2 × count frames, the better half."""
        return _ordered(self._best)[: self._seen // 2]


def _ordered(heap: list[tuple[float, int, Example]]) -> list[Example]:
    return [example for _, _, example in sorted(heap, reverse=True, key=lambda entry: entry[:2])]
