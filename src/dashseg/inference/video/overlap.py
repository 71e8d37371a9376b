"""Reading ahead and writing behind in a thread each, with a few items in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")

_DEPTH = 4  # frames between two stages: enough to even out their pace, at 3-7 MB each
_POLL = 0.2  # seconds between looks at whether the other side is still there


class _End:
    """The last item: the other side is done, or failed with an error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Iterate over `items` in a thread of its own; its errors are raised here.

    Closing this generator ends the thread; the iterator of `items` is closed in it.
    """
    queue: Queue[Item | _End] = Queue(_DEPTH)
    stop = threading.Event()

    def put(item: Item | _End) -> bool:
        while not stop.is_set():
            try:
                queue.put(item, timeout=_POLL)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        error = None
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as caught:
            error = caught
        put(_End(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


class _Behind(Generic[Item]):
    def __init__(self, consume: Callable[[Item], None]) -> None:
        self._consume = consume
        self._queue: Queue[Item | _End] = Queue(_DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __call__(self, item: Item) -> None:
        self._raise()
        self._queue.put(item)

    def finish(self) -> None:
        self._queue.put(_End(None))
        self._thread.join()
        self._raise()

    def _work(self) -> None:
        while not isinstance(item := self._queue.get(), _End):
            if (
                self._error is None
            ):  # after an error the queue is only emptied, so that nobody waits
                try:
                    self._consume(item)
                except BaseException as error:
                    self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


@contextmanager
def behind(consume: Callable[[Item], None]) -> Iterator[Callable[[Item], None]]:
    """Yield a function that hands an item to `consume`, which runs in a thread of its own.

    Its errors are raised by the next call, or at the end of the block, at which all items are done.
    """
    worker = _Behind(consume)
    try:
        yield worker
    except BaseException:
        worker._queue.put(_End(None))
        worker._thread.join()
        raise
    worker.finish()
