"""The progress of a training on stderr: loss, mIoU, images/s and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from dashseg.stopping import raise_if_stopped
from dashseg.training.processes import Processes

_REFRESH_SECONDS = 0.5  # between updates of the bar, each of which waits for the device's loss
_PLAIN_SECONDS = 30.0  # between lines without a terminal


class TrainingProgress:
    """A bar on a terminal; elsewhere a line after each epoch, and every 30 s in long epochs.

    Args:
        epochs: of the whole training.
        batches: of an epoch.
        processes: only the first one prints.
    """

    def __init__(self, epochs: int, batches: int, processes: Processes) -> None:
        self._epochs, self._batches = epochs, batches
        self._processes = processes
        self._terminal = sys.stderr.isatty()
        self._every = _REFRESH_SECONDS if self._terminal else _PLAIN_SECONDS
        self._bar: Any = None
        self._validated = ""
        self._epoch = self._batch = 0
        self._trained = self._images = 0  # batches and images since the start of this process
        self._begun = self._shown = 0.0

    def __enter__(self) -> None:
        self._begun = self._shown = time.perf_counter()
        if self._processes.first and self._terminal:
            import rich.progress as bars
            from rich.console import Console

            columns = (
                bars.TextColumn("{task.description}"), bars.BarColumn(),
                bars.TextColumn("{task.fields[text]}"),
            )  # fmt: skip
            self._bar = bars.Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task("training", total=self._epochs * self._batches, text="")

    def __exit__(self, *failure: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def trained(self, epoch: int, batch: int, images: int, loss: Tensor) -> None:
        """Call this after each batch.

        Args:
            epoch: number of finished epochs.
            batch: number of finished batches in the current epoch.
            images: this process's part of the batch.
            loss: scalar on the device; read only for an update.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM has asked the program to stop.
        """
        raise_if_stopped()
        self._epoch, self._batch = epoch, batch
        self._trained += 1
        self._images += images * self._processes.world
        now = time.perf_counter()
        if now - self._shown >= self._every:
            self._shown = now
            self._show(float(loss))

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Exclude the block's time from images/s."""
        begun = time.perf_counter()
        yield
        self._begun += time.perf_counter() - begun

    def end_epoch(self, row: Mapping[str, Any]) -> None:
        """Call this after each epoch, with its row of metrics.csv."""
        if row.get("val_loss") is not None:
            self._validated = f", val CE {row['val_loss']:.4f}, val mIoU {row['val_miou']:.3f}"
        self._show(row["train_loss"])

    def _show(self, loss: float) -> None:
        if not self._processes.first:
            return
        seconds = time.perf_counter() - self._begun
        done = self._epoch * self._batches + self._batch
        left = (self._epochs * self._batches - done) * seconds / max(1, self._trained)
        epoch = f"epoch {self._epoch + 1}/{self._epochs}"
        speed = f"{self._images / seconds:.1f} images/s, {_clock(left)} left"
        text = f"loss {loss:.4f}{self._validated}, {speed}"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=epoch, text=text)
        else:
            step = f"step {self._batch}/{self._batches}"
            print(f"{epoch} {step}: {text}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
