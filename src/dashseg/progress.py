"""The progress of long work: a bar on a terminal; elsewhere a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dashseg.errors import one_line
from dashseg.stopping import raise_if_stopped

_QUIET_SECONDS = 10.0  # between plain lines, to keep log files short


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes (done, all) and shows them on stderr with rate and time left.

    The function raises KeyboardInterrupt once Ctrl-C or SIGTERM has asked the program to stop.

    Args:
        what: the name of the work.
        unit: what is counted, such as "frames". `all` is 0 if it is unknown.
    """
    if not sys.stderr.isatty():
        yield _plain(what, unit)
        return
    import rich.progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"), bars.TimeRemainingColumn(),
    )  # fmt: skip
    with bars.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=None, rate="")
        start = time.perf_counter()

        def advance(done: int, count: int) -> None:
            raise_if_stopped()
            rate = done / max(1e-9, time.perf_counter() - start)
            shown.update(task, completed=done, total=count or None, rate=f"{rate:.1f} {unit}/s")

        yield advance


def print_note(line: str) -> None:
    """A line for the user that is no part of the output."""
    print(one_line(line), file=sys.stderr)


def _plain(what: str, unit: str) -> Callable[[int, int], None]:
    start = last = time.perf_counter()

    def advance(done: int, count: int) -> None:
        nonlocal last
        raise_if_stopped()
        now = time.perf_counter()
        if done != count and now - last < _QUIET_SECONDS:
            return
        last = now
        rate = done / max(1e-9, now - start)
        of = f"/{count}" if count else ""
        left = f", {(count - done) / rate:.0f} s left" if done < count else ""
        print(f"{what}: {done}{of}, {rate:.1f} {unit}/s{left}", file=sys.stderr, flush=True)

    return advance
