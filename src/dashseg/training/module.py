"""One step of training and of validation, as Lightning runs them."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, optim

from dashseg.config import SMALLEST_SIDE, Recipe
from dashseg.errors import InputError
from dashseg.evaluation.metrics import ConfusionMatrix, iou_per_class, mean_iou
from dashseg.labels import IGNORE, Classes
from dashseg.models import DeepLabV3
from dashseg.models.input import Normalise
from dashseg.training.augment import Augment, Draws
from dashseg.training.batches import Batch
from dashseg.training.freezing import freeze
from dashseg.training.losses import build_loss
from dashseg.training.optimization import (
    build_optimizer,
    learning_rate_factor,
    parameter_groups,
)
from dashseg.training.supervision import AuxiliaryHead


class SegmentationModule(L.LightningModule):
    """Augment, normalise, predict, compare: in one process, or in each of several.

    Logs, over the held-out frames at working size, `val_loss` (cross-entropy without class weights,
    so that recipes can be compared), `val_miou` and each class's IoU.

    Args:
        weights: class weights of the training loss; None: all alike.
    """

    def __init__(
        self, recipe: Recipe, network: DeepLabV3, classes: Classes, weights: list[float] | None
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.classes = classes
        # Convolutions on a CPU, and half-precision ones on a GPU, are faster with channels last.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(network.encoder, recipe.optimizer)
        self.normalise = Normalise(recipe.model.input)
        self.augment = Augment(recipe.augment, recipe.model.input.mean_rgb, classes)
        self.loss = build_loss(recipe.loss, weights)
        self.auxiliary = AuxiliaryHead(network, len(classes)) if recipe.loss.auxiliary > 0 else None
        self.confusion = ConfusionMatrix(len(classes))
        if recipe.training.compile:
            for part in (network.encoder, network.aspp, network.decoder):
                part.compile()  # what all ways through the network share
        self._val_loss = torch.zeros(2, dtype=torch.float64)  # sum, pixels
        # Of a step's frames, for `blank_step`.
        self._size = recipe.augment.crop or recipe.model.input.size or (SMALLEST_SIDE,) * 2

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0-255 -> logits (B, C, H, W)."""
        return self.network(self._input(image))

    def _input(self, image: Tensor) -> Tensor:
        return self.normalise(image).contiguous(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> SegmentationModule:
        """As of any module; what the recipe freezes stays in evaluation mode."""
        super().train(mode)
        freeze(self.network.encoder, self.recipe.optimizer)
        return self

    def on_before_batch_transfer(self, batch: Batch | InputError, dataloader_idx: int) -> Batch:
        if isinstance(batch, InputError):
            raise batch
        return batch

    def on_train_start(self) -> None:
        """The recipe's learning rate and decay hold, not those that a checkpoint brought along."""
        schedule = self.lr_schedulers()
        assert isinstance(schedule, optim.lr_scheduler.LambdaLR)
        groups = schedule.optimizer.param_groups
        wanted = parameter_groups(self.network, self.recipe.optimizer, self.auxiliary)
        schedule.base_lrs = [group["lr"] for group in wanted]
        factor = schedule.lr_lambdas[0](schedule.last_epoch)
        for group, values in zip(groups, wanted, strict=True):
            group["lr"] = values["lr"] * factor
            group["weight_decay"] = values["weight_decay"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._size = self.recipe.augment.crop or (batch.image.shape[-2], batch.image.shape[-1])
        step = self._step(batch_idx)
        # For dropout: a resumed run drops what it would have dropped.
        torch.manual_seed(self._step_seed(step))
        first = self.global_rank * len(batch.image)
        places = range(first, first + len(batch.image))  # in the batch of all processes
        draws = Draws.of_batch((self.recipe.training.seed, step), places)
        # Mixed precision is for the network: in bfloat16 a warp is off by pixels.
        with torch.autocast(self.device.type, enabled=False):
            image, label = self.augment(batch.image, batch.label.long(), draws)
        return self._loss(image, label)

    def _loss(self, image: Tensor, label: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.network.coarse_logits(self._input(image)), label)
        if self.auxiliary is not None:
            loss = loss + self.recipe.loss.auxiliary * self.loss(self.auxiliary(), label)
        return loss

    def blank_step(self, count: int) -> None:
        """Forward and backward over `count` blank frames as large as the last step's.

        What a step takes of memory, without its consequences.
        """
        self.train()  # the step that failed may have been one of validation
        image = torch.zeros(count, 3, *self._size, device=self.device)
        label = torch.zeros(count, *self._size, dtype=torch.long, device=self.device)
        with self.trainer.precision_plugin.forward_context():
            loss = self._loss(image, label)
        torch.autograd.backward(loss)
        self.zero_grad()

    def configure_gradient_clipping(
        self,
        optimizer: optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """By norm. Lightning's own refuses fused optimisers, also where no loss is scaled."""
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_validation_epoch_start(self) -> None:
        if torch.distributed.is_initialized():  # norms that are not synchronised differ
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)
        self.confusion.reset()
        self._val_loss = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for frames in batch.alike():  # a border would tell of the frames beside it
            label = frames.label.long()
            logits = self(frames.image).float()  # (B, C, H, W)
            total = torch.nn.functional.cross_entropy(
                logits, label, ignore_index=IGNORE, reduction="sum"
            )
            self._val_loss += torch.stack([total.double(), (label != IGNORE).sum().double()])
            self.confusion.update(logits.max(1).indices, label)

    def on_validation_epoch_end(self) -> None:
        gathered = self.all_gather(self._val_loss)
        assert isinstance(gathered, Tensor)
        total, pixels = gathered.view(-1, 2).sum(0)
        confusion = self.confusion.compute()
        values = {"val_loss": (total / pixels.clamp_min(1)).float()}
        values["val_miou"] = torch.tensor(mean_iou(confusion) or 0.0)
        for name, iou in zip(self.classes.names, iou_per_class(confusion), strict=True):
            if iou is not None:
                values[f"val_iou/{name}"] = torch.tensor(iou)
        self.log_dict(values)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(
            self.network,
            self.recipe.optimizer,
            self.auxiliary,
            fused=self.trainer.precision != "16-mixed",
        )
        factor = learning_rate_factor(
            self.recipe.optimizer, int(self.trainer.estimated_stepping_batches)
        )
        schedule = optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _step(self, batch_idx: int) -> int:
        """How many batches came before this one, in all epochs."""
        return self.current_epoch * int(self.trainer.num_training_batches) + batch_idx

    def _step_seed(self, step: int) -> int:
        """A seed that recipe seed, step and process alone decide."""
        # Knuth's multiplier spreads neighbouring seeds; 2⁶³ is the generator's range.
        key = self.recipe.training.seed * 1_000_003 + step * 257 + self.global_rank
        return key * 2_654_435_761 % 2**63
