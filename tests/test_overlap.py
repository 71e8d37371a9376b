"""Stages in threads: order, errors, and that nobody waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dashseg.overlap import ahead

CTRL_C = """
import _thread, signal, threading, time
from dashseg.overlap import ahead
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT)).start()
try:
    for _ in ahead(range(2), lambda _: time.sleep(2)):
        pass
except KeyboardInterrupt:
    print("stopped")
"""


def _numbers(count: int, closed: threading.Event | None = None) -> Iterator[int]:
    try:
        yield from range(count)
    finally:
        if closed is not None:
            closed.set()


def _failing() -> Iterator[int]:
    yield 1
    raise OSError("the disk is gone")


@pytest.mark.parametrize("count", [0, 1, 100])
def test_items_come_through_in_order(count: int) -> None:
    assert list(ahead(_numbers(count), int)) == list(range(count))


def test_reading_is_done_in_another_thread() -> None:
    def where() -> Iterator[threading.Thread]:
        yield threading.current_thread()

    assert next(ahead(where(), lambda thread: thread)) is not threading.current_thread()


def test_an_error_of_the_reader_comes_after_what_was_read() -> None:
    got = []
    with pytest.raises(OSError, match="the disk is gone"):
        for number in ahead(_failing(), int):
            got.append(number)
    assert got == [1]


@pytest.mark.parametrize("threads", [1, 4])
def test_leaving_early_ends_the_threads_and_closes_the_iterator(threads: int) -> None:
    before = threading.active_count()
    closed = threading.Event()
    items = ahead(_numbers(1000, closed), int, threads=threads)
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before
    assert closed.is_set()


@pytest.mark.parametrize("threads", [1, 4])
def test_results_come_in_order_however_long_each_takes(threads: int) -> None:
    def wait(number: int) -> int:
        time.sleep(0.002 * (7 * number % 5))
        return -number

    assert list(ahead(range(40), wait, threads=threads)) == [-number for number in range(40)]


def test_several_threads_make_results_at_once() -> None:
    together = threading.Barrier(3, timeout=10)  # broken unless three wait at once

    def meet(number: int) -> int:
        together.wait()
        return number

    assert list(ahead(range(6), meet, threads=3)) == [*range(6)]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_one_item_is_raised_at_its_turn(threads: int) -> None:
    def refuse_five(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    before = threading.active_count()
    got = []
    with pytest.raises(ValueError, match="five"):
        for number in ahead(range(100), refuse_five, threads=threads):
            got.append(number)
    assert got == [*range(5)]
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 4])
def test_no_more_is_taken_than_size(threads: int) -> None:
    taken = 0

    def count() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    items = ahead(count(), int, size=6, threads=threads)
    for done in range(1, 50):
        next(items)
        assert taken <= done + 6
    items.close()


def test_ctrl_c_while_waiting_is_heard() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "stopped\n", done.stderr
