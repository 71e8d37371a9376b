"""dashseg's training loop with a clock, for train_throughput.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from torch import Tensor

from dashseg.training.batches import Batch
from dashseg.training.loop import Loop


class Enough(Exception):
    """All steps that were asked for are done."""


class TimedLoop(Loop):
    """dashseg's training, which notes each step's seconds waited for the batch, and in all."""

    times: list[list[float]]
    steps: int

    def train(self, steps: int, clock: Callable[[], float]) -> list[list[float]]:
        self.times, self.steps, self.clock = [], steps, clock
        self.end = clock()
        with self.progress, suppress(Enough):
            while True:
                self.train_epoch()
                self.epoch, self.batch = self.epoch + 1, 0
        return self.times

    def train_batch(self, batch: Batch) -> Tensor:
        ready = self.clock()
        loss = super().train_batch(batch)
        end = self.clock()
        self.times.append([ready - self.end, end - self.end])
        self.end = end
        if len(self.times) == self.steps:
            raise Enough
        return loss
