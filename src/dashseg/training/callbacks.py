"""What happens around the steps: averaged weights, files of the run, and a stop at NaN."""

from __future__ import annotations

import csv
import io
import math
import shutil
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor

from dashseg.errors import InputError
from dashseg.files import replace_file, write_text
from dashseg.inference.model_directory import save_model
from dashseg.training.curves import draw_curves
from dashseg.training.module import SegmentationModule
from dashseg.training.run_directory import RunDirectory

COLUMNS = (
    "epoch", "step", "train_loss", "val_loss", "val_miou", "learning_rate", "images_per_s",
)  # fmt: skip


class MovingAverage(WeightAveraging):
    """Exponential moving average of the weights; validation and the saved model use it.

    The decay rises as (1 + steps) / (10 + steps) up to the one asked for, so that a short run is
    not held back by its random start (TensorFlow's ExponentialMovingAverage, num_updates).
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
            if not averaged.is_floating_point():
                return current
            done = torch.as_tensor(steps, device=averaged.device)  # a GPU's need not be fetched
            now = ((1 + done) / (10 + done)).clamp(max=decay).to(averaged.dtype)
            return torch.lerp(current, averaged, now)

        super().__init__(avg_fn=average)

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        # Where the weights will be: at this moment they have not been moved there yet.
        self._device = trainer.strategy.root_device
        super().setup(trainer, module, stage)


class StopAtNaN(Callback):
    """Stops at a loss or weight that is not finite, and names the step.

    The first bad step is kept on the device and looked at every so often, so that a GPU need not
    wait for the processor; it is always looked at before anything is saved.
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
        if (index + 1) % self.every == 0:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._check(trainer)
        norms = torch._foreach_norm([p.detach() for p in module.parameters()])
        if not torch.isfinite(torch.stack(norms)).all():
            self._stop(trainer, trainer.global_step - 1, "weights became NaN or infinite")

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._check(trainer)
        if not torch.isfinite(torch.as_tensor(trainer.callback_metrics["val_loss"])):
            self._stop(trainer, trainer.global_step - 1, "validation loss became NaN or infinite")

    def _check(self, trainer: L.Trainer) -> None:
        step = int(self._first_bad)
        if step >= 0:
            self._stop(trainer, step, "loss became NaN or infinite")

    def _stop(self, trainer: L.Trainer, step: int, what: str) -> None:
        raise InputError(
            f"{what} at step {step} (epoch {trainer.current_epoch}); checkpoints of earlier epochs"
            " are kept. Lower optimizer.learning_rate, set training.gradient_clip, or use"
            " training.precision=float32"
        )


class KeepRun(Callback):
    """Writes the run's checkpoints, model directory, metrics.csv and curves, once an epoch.

    `last.ckpt` is where `--resume` goes on; `best.ckpt` and model/ are those of the epoch that was
    best by `training.monitor`. Comes after StopAtNaN, so that nothing bad is kept.
    """

    def __init__(self, run: RunDirectory, monitor: str) -> None:
        self.run = run
        self.monitor = monitor
        self.rows: list[dict[str, float | int | None]] = []
        self._validated = False
        self._images = 0
        self._seconds = 0.0
        self._clock = 0.0

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

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: L.Trainer, module: SegmentationModule) -> None:  # type: ignore[override]
        if not trainer.is_global_zero:
            return
        self.rows.append(self._row(trainer))
        self._images, self._validated = 0, False
        self._write_tables(module)
        # last.ckpt goes into place at the end: stopped before, the epoch is trained and kept again.
        with replace_file(self.run.last) as checkpoint:
            trainer.save_checkpoint(checkpoint)
            if self._improved():
                self._keep_best(checkpoint, module)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def _keep_best(self, checkpoint: Path, module: SegmentationModule) -> None:
        with replace_file(self.run.best) as temporary:
            shutil.copyfile(checkpoint, temporary)
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        weights = {
            key.removeprefix("network."): tensor
            for key, tensor in state["state_dict"].items()
            if key.startswith("network.")
        }
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

    def _write_tables(self, module: SegmentationModule) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
            for row in self.rows
        )
        write_text(self.run.metrics, text.getvalue())
        draw_curves(self.run.metrics, self.run.curves)
