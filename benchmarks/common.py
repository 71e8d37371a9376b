"""What benchmarks share: a command line with --smoke, times, and figures with their spread."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

SMALL = (109, 145)  # H, W of the scenes that --smoke draws
TINY = (  # recipe changes: the network that --smoke trains
    "model.input.size=[64, 96]", "model.encoder.width=0.25", "model.aspp.channels=16",
    "training.batch_size=4", "training.loggers=[]", "data.workers=0",
)  # fmt: skip


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose --help is the module's docstring, with the option --smoke."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="tiny sizes and few rounds: shows in seconds that the benchmark runs",
    )
    return parser


def seconds(work: Callable[[], object]) -> float:
    """What one call takes on the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, and the smallest and the largest value in brackets."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
