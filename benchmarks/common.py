"""What benchmarks share: --smoke, trainings, times, and figures with their spread."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from dashseg.cli import main as dashseg_main

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


def train_or_resume(
    run: Path, recipe: str, data: str, changes: Sequence[str], *options: str
) -> None:
    """`dashseg train` into `run`, or its --resume if that folder is there; see `logged`."""
    if run.exists():
        command = ["train", "--resume", str(run)]
    else:
        command = ["train", "--recipe", recipe, "--data", data, *options]
        command += ["--runs", str(run.parent), "--name", run.name]
        command += [part for change in changes for part in ("--set", change)]
    logged(command, run.with_suffix(".log"))


def logged(command: Sequence[str], path: Path) -> None:
    """Run a command of dashseg, which prints into a file; exit with its last line if it fails."""
    with path.open("a") as log, redirect_stdout(log), redirect_stderr(log):
        status = dashseg_main(command)
    if status:
        sys.exit(f"{path} ends with: {path.read_text().strip().rpartition(chr(10))[2]}")


def seconds(work: Callable[[], object]) -> float:
    """What one call takes on the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, and the smallest and the largest value in brackets."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
