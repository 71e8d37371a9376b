"""Map a function over items in parallel processes: in order, in constant memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

import cv2

from dashseg.errors import InputError

_CHUNK = 4  # items sent to a process at a time; more would leave the last process working alone
_AHEAD = 3  # chunks waiting per process: enough to keep it busy, few enough to save memory

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """`in_processes`, or what gives the same results elsewhere: `dashseg.scale.spread.Spread`."""

    def __call__(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        workers: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Generator[Result, None, None]: ...


def in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item, in order.

    Args:
        function: must be picklable: a function of a module, or a `partial` of one with what all
            items share; it is sent to each process once.
        workers: processes; by default one per core, and fewer for few items. 1 works in this one.
        on_progress: called with (items done, items) after the caller has taken each result.

    Raises:
        InputError: workers < 1; a process was killed. What `function` raises is raised here, and
            stops the others.
    """
    with closing(_results(function, items, workers)) as results:  # ends the processes if stopped
        for done, result in enumerate(results, start=1):
            yield result
            if on_progress:
                on_progress(done, len(items))


def _results(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None
) -> Generator[Result, None, None]:
    if workers is not None and workers < 1:
        raise InputError(f"cannot work with {workers} workers: ask for 1 or more")
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    count = min(workers or os.cpu_count() or 1, len(chunks))
    if count <= 1:
        yield from map(function, items)
        return
    # spawn: safe beside threads, and the same on every platform.
    pool = ProcessPoolExecutor(count, get_context("spawn"), _set_up_worker, (function,))
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_map, chunk))
            if len(waiting) > _AHEAD * count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, as happens when memory is full: use fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_function: Callable[[Any], Any]  # of a worker process: sent once, not with each item


def _map(chunk: Sequence[Any]) -> list[Any]:
    return [_function(item) for item in chunk]


def _set_up_worker(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    cv2.setNumThreads(1)  # the processes share the cores already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Otherwise, workers of a killed parent would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
