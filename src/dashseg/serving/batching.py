"""Frames of many requests -> the network, some at a time: `Batcher`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dashseg.inference import Result, Segmenter
from dashseg.input_size import working_size
from dashseg.labels import Image


class Full(Exception):
    """There is no room for one more: the client should try again later."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    image: Image
    size: tuple[int, int]  # at which the network sees it
    result: asyncio.Future[Result]


class Batcher:
    """Runs one network: neighbours of one working size together, in the order they came.

    Args:
        batch: frames at once, at most.
        wait_ms: how long a frame waits for others while the network is idle.
        queue: frames that wait, at most.
        on_batch: called with the size of each batch.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        batch: int = 8,
        wait_ms: float = 0,
        queue: int = 64,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.segmenter = segmenter
        self._batch, self._wait, self._queue = batch, wait_ms / 1000, queue
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._more = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "network")

    @property
    def waiting(self) -> int:
        """Frames that the network has not begun."""
        return len(self._waiting)

    async def segment(self, image: Image) -> Result:
        """Segment a uint8 H×W×3 RGB frame. Cancelled while it waits, it never reaches the network.

        Raises:
            Full: `queue` frames wait already.
            InputError: the network cannot compute this frame.
        """
        if len(self._waiting) >= self._queue:
            raise Full
        size = working_size(image.shape[:2], self.segmenter.input)
        item = _Waiting(image, size, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._more.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        try:
            return await item.result
        finally:
            if item in self._waiting:
                self._waiting.remove(item)

    def close(self) -> None:
        """Stop; the batch at work is waited for."""
        if self._worker is not None:
            self._worker.cancel()
        self._thread.shutdown()

    async def _work(self) -> None:
        while self._waiting:
            if self._wait and len(self._waiting) < self._batch:
                await self._gather()
            batch = self._next()
            if batch:
                await self._run(batch)
        self._worker = None

    async def _gather(self) -> None:
        """Wait until a batch is full, or the time is over."""
        try:
            async with asyncio.timeout(self._wait):
                while len(self._waiting) < self._batch:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pass

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._batch:
            if batch and self._waiting[0].size != batch[0].size:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        self._on_batch(len(batch))
        compute = asyncio.get_running_loop().run_in_executor
        try:
            images = [item.image for item in batch]
            results = await compute(self._thread, self.segmenter.batch, images)
        except Exception as error:
            if len(batch) > 1:  # one of them is to blame: it must not harm the others
                for item in batch:
                    await self._run([item])
            elif not batch[0].result.done():
                batch[0].result.set_exception(error)
            return
        for item, result in zip(batch, results, strict=True):
            if not item.result.done():  # cancelled while the network ran
                item.result.set_result(result)
