"""What happens around the steps: averaged weights, files of the run, and a stop at NaN."""

from __future__ import annotations

import csv
import io
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor, nn

from dashseg.errors import InputError
from dashseg.files import replace_file, write_text
from dashseg.inference.model_directory import save_model
from dashseg.run_directory import RunDirectory
from dashseg.training.batches import ShuffledBatches
from dashseg.training.checkpoints import (
    batches_into_epoch,
    batches_to_skip,
    network_weights,
    new_checkpoint,
)
from dashseg.training.curves import draw_curves
from dashseg.training.module import SegmentationModule

COLUMNS = (
    "epoch", "step", "train_loss", "val_loss", "val_miou", "learning_rate", "images_per_s",
)  # fmt: skip

_CLOCK_EVERY = 16  # batches between looks at the clock that all processes wait for


class MovingAverage(WeightAveraging):
    """Exponential moving average of the weights; validation and the saved model use it.

    The decay rises as (1 + steps) / (10 + steps) up to the one asked for, so that a short run is
    not held back by its random start (TensorFlow's ExponentialMovingAverage, num_updates).
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self._done: int | None = None  # updates; None: only the checkpoint's tensor knows

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        # Where the weights will be: at this moment they have not been moved there yet.
        self._device = trainer.strategy.root_device
        super().setup(trainer, module, stage)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if trainer.global_step > self._latest_update_step:
            self._update(module)
            self._latest_update_step = trainer.global_step

    @torch.no_grad()
    def _update(self, current: nn.Module) -> None:
        """As `AveragedModel` does, in few operations, and without asking a GPU for its count."""
        average = self._average_model
        assert average is not None
        if self._done is None:
            self._done = int(average.n_averaged)
        # The first time, the average is what there is to average.
        decay = min(self.decay, (1 + self._done) / (10 + self._done)) if self._done else 0.0
        pairs = list(zip(_values(average.module), _values(current), strict=True))
        numbers = [pair for pair in pairs if pair[0].is_floating_point()]
        averaged, new = zip(*numbers, strict=True)
        torch._foreach_lerp_(averaged, new, 1 - decay)
        for ours, theirs in pairs:
            if not ours.is_floating_point():  # batch norm's counts
                ours.copy_(theirs)
        average.n_averaged += 1
        self._done += 1


def _values(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers."""
    yield from module.parameters()
    yield from module.buffers()


class TrainLoss(Callback):
    """Logs `train_loss`: the mean over the epoch's batches, before and after a resume alike.

    Args:
        order: of the training batches.
    """

    def __init__(self, order: ShuffledBatches) -> None:
        self._order = order
        self._sum = torch.zeros((), dtype=torch.float64)  # on the device, once there is one
        self._batches = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        loss = outputs["loss"].detach().double() * trainer.accumulate_grad_batches
        self._sum = self._sum.to(loss.device) + loss  # Lightning divided it
        self._batches += 1

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        mean = trainer.strategy.reduce(self._sum / self._batches, reduce_op="mean")
        module.log("train_loss", mean.float())
        self._sum, self._batches = torch.zeros_like(self._sum), 0

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # The mean of all processes, for each of them: every one saves, though one alone writes.
        total = self._sum.to(trainer.strategy.root_device, copy=True)  # NCCL takes no other
        total = trainer.strategy.reduce(total, reduce_op="mean")
        checkpoint["train_loss"] = {"sum": float(total), "batches": self._batches}

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if batches_to_skip(checkpoint, len(self._order)) == 0:
            return
        saved = checkpoint["train_loss"]
        self._sum = torch.tensor(saved["sum"], dtype=torch.float64)
        self._batches = saved["batches"]


class AfterFirstBatch(Callback):
    """Calls `then` once a batch was trained on: what a recipe fails by at once has come before."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if self._then is not None:
            self._then()
            self._then = None


class StopAtNaN(Callback):
    """Stops at a loss or weight that is not finite, and names the step.

    The first bad step is kept on the device and looked at every so often, so that a GPU need not
    wait for the processor; loss and weights are always looked at before a checkpoint is saved.

    Args:
        every: steps between looks at a GPU. Elsewhere each step is looked at: it costs nothing.
    """

    def __init__(self, every: int = 20) -> None:
        self.every = every
        self._first_bad = torch.tensor(-1)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        loss = outputs["loss"].detach()
        first = self._first_bad.to(loss.device)
        bad = ~torch.isfinite(loss) & (first < 0)
        self._first_bad = torch.where(bad, max(0, trainer.global_step - 1), first)
        if loss.device.type == "cpu" or (index + 1) % self.every == 0:
            self._check(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._check(trainer)
        if not torch.isfinite(torch.as_tensor(trainer.callback_metrics["val_loss"])):
            self._stop(trainer, trainer.global_step - 1, "validation loss became NaN or infinite")

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._check(trainer)
        norms = torch._foreach_norm([p.detach() for p in module.parameters()])
        if not torch.isfinite(torch.stack(norms)).all():
            self._stop(trainer, trainer.global_step - 1, "weights became NaN or infinite")

    def _check(self, trainer: L.Trainer) -> None:
        step = int(self._first_bad)
        if step >= 0:
            self._stop(trainer, step, "loss became NaN or infinite")

    def _stop(self, trainer: L.Trainer, step: int, what: str) -> None:
        raise InputError(
            f"{what} at step {step} (epoch {trainer.current_epoch}); earlier checkpoints are kept."
            " Lower optimizer.learning_rate, set training.gradient_clip, or use"
            " training.precision=float32"
        )


class KeepRun(Callback):
    """Writes the run's checkpoints, model directory, metrics.csv and curves.

    `last.ckpt` is where `--resume` goes on: saved at the end of each epoch, and within one every
    `steps` optimiser steps and every `minutes`. `best.ckpt` and model/ are those of the epoch that
    was best by `monitor`. Comes after what a checkpoint has to contain or may be refused by.

    Args:
        order: of the training batches, which a checkpoint within an epoch goes on in.
    """

    def __init__(
        self,
        run: RunDirectory,
        monitor: str,
        order: ShuffledBatches,
        steps: int | None = None,
        minutes: float | None = None,
    ) -> None:
        self.run = run
        self.monitor = monitor
        self.order = order
        self.steps = steps
        self.minutes = minutes
        self.rows: list[dict[str, float | int | None]] = []
        self._validated = False
        self._images = 0
        self._clock = self._saved = 0.0
        self._seconds = 0.0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._saved = time.monotonic()
        _validate_if_last(trainer)  # a resume within an epoch skips the start of the epoch

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        _validate_if_last(trainer)

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        if self._images == 0:
            self._clock = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._images += len(batch.image) * trainer.world_size
        self._seconds = time.perf_counter() - self._clock
        if self._is_due(trainer, index):
            self._save(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: L.Trainer, module: SegmentationModule) -> None:  # type: ignore[override]
        self.rows.append(self._row(trainer))
        self._images, self._validated = 0, False
        self._save(trainer, module)

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["batches_per_epoch"] = len(self.order)

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leave out the batches that an epoch begun has had; Lightning counts, and skips none.

        The learning rate goes on from the share of the training that is done: batches may have got
        larger, or more of them may make a step.
        """
        done = batches_to_skip(checkpoint, len(self.order))
        if done < batches_into_epoch(checkpoint):
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
            progress.update(dict.fromkeys(progress, 0), completed=-1)  # Lightning adds the 1
        self.order.start_at(done)
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        together = trainer.accumulate_grad_batches
        steps = epochs * math.ceil(len(self.order) / together) + done // together
        (schedule,) = checkpoint["lr_schedulers"]
        schedule["last_epoch"] = steps

    def _is_due(self, trainer: L.Trainer, index: int) -> bool:
        """Whether to save within the epoch: never between accumulated batches, nor at its end."""
        batches = index + 1
        if batches % trainer.accumulate_grad_batches or batches >= trainer.num_training_batches:
            return False
        if self.steps is not None and trainer.global_step % self.steps == 0:
            return True
        if self.minutes is None or (trainer.world_size > 1 and batches % _CLOCK_EVERY):
            return False
        late = time.monotonic() - self._saved >= 60 * self.minutes
        # The first process's clock decides for all.
        return bool(trainer.strategy.broadcast(late))

    def _save(self, trainer: L.Trainer, ended: SegmentationModule | None = None) -> None:
        """Save last.ckpt; at an epoch's end, which passes the module, the tables and the best too.

        All processes take part in gathering a checkpoint; the first one writes.
        """
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.run.last)
            return
        if ended is not None:
            self._write_tables()
        # last.ckpt goes into place at the end: stopped before, the epoch is trained and kept again.
        with new_checkpoint(self.run) as checkpoint:
            trainer.save_checkpoint(checkpoint)
            if ended is not None and self._improved():
                self._keep_best(checkpoint, ended)
        self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def _keep_best(self, checkpoint: Path, module: SegmentationModule) -> None:
        with replace_file(self.run.best) as temporary:
            shutil.copyfile(checkpoint, temporary)
        weights = network_weights(torch.load(checkpoint, map_location="cpu", weights_only=True))
        save_model(self.run.model, weights, module.recipe.model, module.classes)

    def _row(self, trainer: L.Trainer) -> dict[str, float | int | None]:
        metrics = trainer.callback_metrics
        row: dict[str, float | int | None] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
        }
        row["train_loss"] = float(metrics["train_loss"])
        for name in ("val_loss", "val_miou"):
            row[name] = float(metrics[name]) if self._validated else None
        row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["images_per_s"] = self._images / self._seconds if self._seconds else None
        return row

    def _improved(self) -> bool:
        """Whether the last row's value is better than every earlier row's."""
        values = [row[self.monitor] for row in self.rows]
        *earlier, value = (None if v is None or math.isnan(v) else v for v in values)
        if value is None:
            return False
        sign = -1 if self.monitor == "val_loss" else 1
        return all(sign * value > sign * other for other in earlier if other is not None)

    def _write_tables(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
            for row in self.rows
        )
        write_text(self.run.metrics, text.getvalue())
        draw_curves(self.run.metrics, self.run.curves)


def _validate_if_last(trainer: L.Trainer) -> None:
    """The last epoch's weights may be the best ones, wherever `training.validate_every` falls."""
    if trainer.current_epoch + 1 == trainer.max_epochs:
        trainer.check_val_every_n_epoch = 1
