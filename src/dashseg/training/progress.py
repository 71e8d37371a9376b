"""The training's progress: loss, mIoU, images/s and time left."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar

_REFRESH_SECONDS = 0.5  # a loss is fetched from the device this often, not at every step


class TrainingProgress(ProgressBar):
    """A bar on a terminal; elsewhere a line per epoch, and one now and then in long epochs."""

    def __init__(self, plain_seconds: float = 30.0) -> None:
        super().__init__()
        self._terminal = sys.stderr.isatty()
        self._every = _REFRESH_SECONDS if self._terminal else plain_seconds
        self._bar: Any = None
        self._enabled = True
        self._miou = ""
        self._steps = self._images = 0
        self._begun = self._shown = 0.0
        self._validating = 0.0

    def disable(self) -> None:
        """Lightning calls this in every process but the first."""
        self._enabled = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._begun = self._shown = time.perf_counter()
        if self._enabled and self._terminal:
            import rich.progress as bars
            from rich.console import Console

            columns = (
                bars.TextColumn("{task.description}"), bars.BarColumn(),
                bars.TextColumn("{task.fields[text]}"),
            )  # fmt: skip
            self._bar = bars.Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task("training", total=self._all(trainer), text="")

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._steps += 1
        self._images += len(batch.image) * trainer.world_size
        now = time.perf_counter()
        if self._enabled and now - self._shown >= self._every:
            self._shown = now
            loss = float(outputs["loss"]) * trainer.accumulate_grad_batches  # Lightning divides it
            self._show(trainer, f"loss {loss:.4f}")

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._validating = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        # Time spent validating is not training's: keep it out of images/s.
        self._begun += time.perf_counter() - self._validating
        metrics = trainer.callback_metrics
        if not trainer.sanity_checking and "val_miou" in metrics:
            self._miou = f", val CE {metrics['val_loss']:.4f}, val mIoU {metrics['val_miou']:.3f}"

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self._enabled:
            self._show(trainer, f"loss {float(trainer.callback_metrics['train_loss']):.4f}")

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self._stop()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _all(self, trainer: L.Trainer) -> int:
        return int(trainer.num_training_batches) * (trainer.max_epochs or 0)

    def _show(self, trainer: L.Trainer, loss: str) -> None:
        seconds = time.perf_counter() - self._begun
        batches = int(trainer.num_training_batches)
        done = trainer.fit_loop.total_batch_idx + 1
        left = (self._all(trainer) - done) * seconds / max(1, self._steps)
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        text = f"{loss}{self._miou}, {self._images / seconds:.1f} images/s, {_clock(left)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=epoch, text=text)
        else:
            step = (done - 1) % batches + 1
            print(f"{epoch} step {step}/{batches}: {text}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
