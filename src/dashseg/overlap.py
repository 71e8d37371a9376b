"""Work done in threads ahead of whoever needs its results, with a few items in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

AHEAD = 4  # items between two stages: enough to even out their pace, at 3-7 MB a frame


def ahead(
    items: Iterable[Item],
    make: Callable[[Item], Made],
    *,
    size: int = AHEAD,
    threads: int = 1,
) -> Generator[Made, None, None]:
    """Yield `make(item)` for each item, in order, made before it is asked for.

    An error, of `make` or of the iterator of `items`, is raised where its item would have come.
    Closing this generator, which also happens when an error or Ctrl-C leaves the loop around it,
    stops the threads.

    Args:
        items: iterated in the background, by one thread at a time.
        make: called in the background, by several threads at once.
        size: results that are made or being made at most: they bound the memory.
        threads: how many call `make`.
    """
    iterator = iter(items)
    turns: SimpleQueue[Future[Made] | None] = SimpleQueue()  # in order; None: no more items
    room = threading.Semaphore(size)
    taking = threading.Lock()
    done = threading.Event()

    def take() -> tuple[Item, Future[Made]] | None:
        """The next item and the place for its result; None: there is no next one."""
        with taking:
            if done.is_set():
                return None
            turn: Future[Made] = Future()
            try:
                item = next(iterator)
            except StopIteration:
                turns.put(None)
            except BaseException as error:
                turn.set_exception(error)
                turns.put(turn)
            else:
                turns.put(turn)
                return item, turn
            done.set()
            return None

    def work() -> None:
        while room.acquire() and (taken := take()) is not None:
            item, turn = taken
            try:
                turn.set_result(make(item))
            except BaseException as error:
                turn.set_exception(error)
            del item, turn, taken  # the consumer's now

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        while (turn := turns.get()) is not None:
            made = turn.result()
            del turn
            room.release()
            yield made
            del made
    finally:
        done.set()
        room.release(threads)
        for worker in workers:
            worker.join()
        if isinstance(iterator, Generator):
            iterator.close()
