"""Frames from files to results: read, segmented and finished in threads, in order, a few at a time.

With a network that computes several frames at once (`Runtime.parallel`) each thread takes a frame
through all three steps: no step waits for another, whatever their times. Otherwise threads read
ahead, one thread computes batches, and threads finish behind it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from dashseg.errors import InputError
from dashseg.inference.runtime import cores
from dashseg.overlap import AHEAD, ahead

if TYPE_CHECKING:
    from dashseg.inference.segmenter import Result, Segmenter
    from dashseg.labels import Image

Item = TypeVar("Item")
Data = TypeVar("Data")
Made = TypeVar("Made")


class Loaded(NamedTuple, Generic[Data]):
    """A frame, what came with it, and the frame as `Segmenter.resize` returns it."""

    image: Image
    data: Data
    resized: Image


Network = Callable[[Sequence[Loaded[Any]]], list["Result"]]

READERS = 4  # at least, beside a GPU: one PNG takes longer than a GPU needs for its frame
_GPU_BATCH = 8


@dataclass(frozen=True)
class Pace:
    """How many frames are worked on at once.

    Args:
        batch_size: frames of one size that the network gets at once; None: 1 on a CPU, where more
            are no faster, and 8 on a GPU.
        workers: threads that read, and as many that finish; None: by the cores there are.
    """

    batch_size: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 1:
                raise InputError(f"{name} {value}: 1 or more")

    @property
    def one_by_one(self) -> bool:
        """Whether a CPU gets frames one at a time: then load the model with `many`."""
        return self.batch_size in (None, 1)


def run(
    segmenter: Segmenter,
    items: Iterable[Item],
    read: Callable[[Item], tuple[Image, Data]],
    finish: Callable[[Data, Result], Made],
    pace: Pace | None = None,
    on_network: Callable[[float], object] | None = None,
) -> Generator[Made | InputError, None, None]:
    """Yield `finish(data, result)` of each item, in order.

    Closing this generator, which also happens when an error or Ctrl-C leaves the loop around it,
    stops the threads.

    Args:
        items: iterated in the background, by one thread at a time.
        read: item -> frame, uint8 H×W×3 RGB, and what `finish` needs with it; called by several
            threads at once. If it raises InputError, that is yielded in the item's place.
        finish: called by several threads at once; what it raises is raised here.
        on_network: called with the seconds that the network took for a batch; of several
            batches at once each has its share.

    Raises:
        InputError: the network cannot compute a frame; what `finish` and `items` raise.
    """
    pace = pace or Pace()
    workers = pace.workers or cores() + 1  # one more: some wait for the disk
    clock = _Clock(segmenter, on_network)
    network = clock.network
    try_read = reader(segmenter, read)

    def finish_readable(entry: tuple[Data, Result] | InputError) -> Made | InputError:
        return entry if isinstance(entry, InputError) else finish(*entry)

    def whole(item: Item) -> Made | InputError:
        loaded = try_read(item)
        if isinstance(loaded, InputError):
            return loaded
        (result,) = network([loaded])
        return finish(loaded.data, result)

    if segmenter.runtime.parallel > 1 and pace.one_by_one:
        yield from ahead(items, whole, size=workers + 1, threads=workers)
        return
    batch_size = pace.batch_size or usual_batch(segmenter)
    size = max(AHEAD, batch_size)
    readers = pace.workers or max(READERS, workers if segmenter.on_gpu else 0)
    loaded = ahead(items, try_read, size=max(size, readers), threads=readers)
    results = in_batches(segmenter, loaded, batch_size, network)
    # A thread of its own: PyTorch starts a set of threads for each thread that calls it.
    through = ahead(results, lambda entry: entry, size=1)
    yield from ahead(through, finish_readable, size=max(size, workers), threads=workers)
    clock.settle(wait=True)


def reader(
    segmenter: Segmenter, read: Callable[[Item], tuple[Image, Data]]
) -> Callable[[Item], Loaded[Data] | InputError]:
    """`read` and resize, for threads that do so beside the network; an error is returned."""

    def try_read(item: Item) -> Loaded[Data] | InputError:
        try:
            image, data = read(item)
            return Loaded(image, data, segmenter.resize(image))
        except InputError as error:
            return error

    return try_read


def usual_batch(segmenter: Segmenter) -> int:
    """How many frames it takes at once: on a CPU more than one are no faster."""
    return _GPU_BATCH if segmenter.on_gpu else 1


def in_batches(
    segmenter: Segmenter,
    loaded: Generator[Loaded[Data] | InputError, None, None],
    batch_size: int,
    network: Network | None = None,
) -> Generator[tuple[Data, Result] | InputError, None, None]:
    """Yield what came with each frame, and its result; neighbours of one size go together."""
    network = network or _Clock(segmenter, None).network
    with closing(loaded):
        for batch in _batches(segmenter, loaded, batch_size):
            readable = [entry for entry in batch if not isinstance(entry, InputError)]
            results = iter(network(readable) if readable else [])
            for entry in batch:
                yield entry if isinstance(entry, InputError) else (entry.data, next(results))


def _batches(
    segmenter: Segmenter, loaded: Iterable[Loaded[Data] | InputError], batch_size: int
) -> Iterator[list[Loaded[Data] | InputError]]:
    """Neighbours of one working size; errors keep their places among them."""
    batch: list[Loaded[Data] | InputError] = []
    size = None
    for entry in loaded:
        own = size if isinstance(entry, InputError) else segmenter.size_for(entry.image)
        if batch and size is not None and own != size:
            yield batch
            batch = []
        batch.append(entry)
        size = own
        if len(batch) == batch_size:
            yield batch
            batch, size = [], None
    if batch:
        yield batch


class _Clock:
    """The network, timed if somebody wants to know.

    On an NVIDIA GPU by its own events: waiting for each batch would leave the GPU idle meanwhile.
    """

    def __init__(self, segmenter: Segmenter, on_network: Callable[[float], object] | None) -> None:
        self.segmenter, self.on_network = segmenter, on_network
        self._begun: deque[tuple[Any, Any]] = deque()  # events before and after a batch
        device = getattr(segmenter.runtime, "device", None)
        self._cuda = device if device is not None and device.type == "cuda" else None

    def network(self, frames: Sequence[Loaded[Any]]) -> list[Result]:
        """The results of frames of one working size."""
        images, resized = [frame.image for frame in frames], [frame.resized for frame in frames]
        if self.on_network is None:
            return self.segmenter.batch(images, resized)
        if self._cuda is None:
            started = time.perf_counter()
            results = self.segmenter.batch(images, resized)
            self.segmenter.wait()
            self.on_network((time.perf_counter() - started) / self.segmenter.runtime.parallel)
            return results
        import torch

        stream = torch.cuda.current_stream(self._cuda)
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        before.record(stream)
        results = self.segmenter.batch(images, resized)
        after.record(stream)
        self._begun.append((before, after))
        self.settle()
        return results

    def settle(self, wait: bool = False) -> None:
        """Report the batches that are done; or all of them, when they are."""
        while self.on_network and self._begun and (wait or self._begun[0][1].query()):
            before, after = self._begun.popleft()
            after.synchronize()
            self.on_network(before.elapsed_time(after) / 1e3)
