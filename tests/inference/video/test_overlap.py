"""Stages in threads: order, errors, and that nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dashseg.inference.video.overlap import ahead, behind


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
    done: list[int] = []
    with behind(done.append) as put:
        for number in ahead(_numbers(count)):
            put(number)
    assert done == list(range(count))


def test_reading_is_done_in_another_thread() -> None:
    def where() -> Iterator[threading.Thread]:
        yield threading.current_thread()

    assert next(iter(ahead(where()))) is not threading.current_thread()


def test_an_error_of_the_reader_comes_after_what_was_read() -> None:
    got = []
    with pytest.raises(OSError, match="the disk is gone"):
        for number in ahead(_failing()):
            got.append(number)
    assert got == [1]


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    items = ahead(_numbers(1000))
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before


def test_an_error_of_the_writer_comes_through_and_blocks_nobody() -> None:
    def refuse(number: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"), behind(refuse) as put:
        for number in range(100):
            put(number)


def test_an_error_of_the_writer_at_the_last_item_is_not_lost() -> None:
    def refuse(number: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"), behind(refuse) as put:
        put(1)


def test_an_error_in_between_is_the_one_that_is_raised() -> None:
    with pytest.raises(ValueError, match="in between"), behind(lambda item: None) as put:
        put(1)
        raise ValueError("in between")
