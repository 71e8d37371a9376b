"""How a model is trained: set-up, epochs, steps, validation and checkpoints, top to bottom.

    dashseg train --recipe demo --data synthetic:300
    torchrun --nproc-per-node 4 -m dashseg train --recipe comma10k-half --data comma10k
    dashseg train --resume runs/demo

Lightning Fabric brings devices, processes and mixed precision. The method stands here.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.errors import InputError
from dashseg.evaluation.metrics import ConfusionMatrix, iou_per_class, mean_iou
from dashseg.files import replace_file
from dashseg.inference.model_directory import save_model
from dashseg.labels import IGNORE
from dashseg.models import DeepLabV3
from dashseg.models.input import Normalise
from dashseg.models.sync_batchnorm import synchronise_norms
from dashseg.run_directory import RunDirectory
from dashseg.training.augment import Draws, Views
from dashseg.training.average import MovingAverage
from dashseg.training.batches import Batch
from dashseg.training.checkpoints import new_checkpoint
from dashseg.training.finite import FiniteCheck, warn_if_worse_than_a_guess
from dashseg.training.freezing import freeze
from dashseg.training.history import is_best, write_history
from dashseg.training.loggers import make_logger
from dashseg.training.norms import averaged_statistics
from dashseg.training.objective import Objective
from dashseg.training.optimization import build_optimizer, learning_rate_factor, set_learning_rate
from dashseg.training.plan import Plan
from dashseg.training.progress import TrainingProgress
from dashseg.training.soft_labels import decode
from dashseg.training.unlabelled import MixedBatches

MEASURED_STEPS = 200  # steps, after which running statistics follow the weights
_MEASURED_BATCHES = 10  # batches that make up batch norm's statistics before that
_CLOCK_EVERY = 16  # batches between looks at the clock that all processes wait for


class Loop:
    """One training: `Loop(plan, run).fit()`.

    Args:
        plan: network, frames and recipe, checked.
        run: where the results go; the first process alone writes.
        after_first_batch: called once, when the first batch was trained on.
    """

    def __init__(
        self, plan: Plan, run: RunDirectory, after_first_batch: Callable[[], None] | None = None
    ) -> None:
        self.plan, self.run, self.after_first_batch = plan, run, after_first_batch
        self.recipe, self.settings = plan.recipe, plan.recipe.training
        self.fabric = fabric = plan.fabric
        fabric.launch()
        # Channels last: convolutions are faster, on CPUs and in half precision on GPUs.
        self.network = network = plan.network.to(fabric.device).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )
        if self.settings.compile:
            for part in (network.encoder, network.aspp, network.decoder):
                part.compile()
        freeze(network.encoder, self.recipe.optimizer)
        objective = Objective(
            network, self.recipe.loss, len(plan.classes), plan.class_weights, plan.groups
        )
        if fabric.world_size > 1 and self.settings.sync_batchnorm:
            synchronise_norms(objective, fabric.device)
        decay = self.settings.ema_decay
        self.average = None if decay is None else MovingAverage(network, decay)
        self.model = fabric.setup_module(objective)
        optimizer = build_optimizer(
            network, self.recipe.optimizer, objective.auxiliary, fused=plan.precision != "16-mixed"
        )
        self.optimizer: Any = fabric.setup_optimizers(optimizer)
        self.normalise = Normalise(self.recipe.model.input).to(fabric.device)
        self.augment = plan.augment

        # Places in the batch of frames without labels, if no teacher has any for them.
        self.learning_alone: Tensor | None = None
        if isinstance(plan.order, MixedBatches) and self.recipe.loss.teacher.model is None:
            self.learning_alone = torch.tensor(
                plan.order.places, dtype=torch.long, device=fabric.device
            )

        self.batches_per_epoch = len(plan.order)
        self.steps_per_epoch = math.ceil(self.batches_per_epoch / self.settings.accumulate)
        self.rate_factor = learning_rate_factor(
            self.recipe.optimizer, self.settings.epochs * self.steps_per_epoch
        )
        # Where the training stands: what a checkpoint holds besides weights and optimiser.
        self.epoch = self.batch = self.step = 0  # epochs done, batches of the next one, steps
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=fabric.device)  # this epoch's
        self.history: list[dict[str, float | int | None]] = []

        teacher = plan.teacher or plan.predictions
        self.teacher_digest = None if teacher is None else teacher.digest
        self.finite = FiniteCheck(fabric.device)
        self.loggers: list[Any] = []
        self.saved_at = time.monotonic()
        self.progress = TrainingProgress(
            self.settings.epochs, self.batches_per_epoch, plan.processes
        )

    def fit(self) -> None:
        """Train until the recipe's epochs are done."""
        if self.plan.processes.first:
            self.loggers = [make_logger(name, self.run) for name in self.settings.loggers]
        with self.progress:
            while self.epoch < self.settings.epochs:
                row = self.train_epoch()
                # The last epoch's weights may be the best ones: they are always validated.
                last = self.epoch + 1 == self.settings.epochs
                if last or (self.epoch + 1) % self.settings.validate_every == 0:
                    with self.progress.validating():
                        row |= self.validate()
                self.end_epoch(row)
        warn_if_worse_than_a_guess(row["val_loss"], len(self.plan.classes), self.plan.say)
        for logger in self.loggers:
            logger.finalize("success")
        if self.fabric.world_size > 1:  # what comes after is the first process's alone
            torch.distributed.destroy_process_group()
            # Gloo's threads need Python's lock to release their last tensors. A process that ends
            # before they did waits for them with that lock held, for ever.
            time.sleep(1)

    def train_epoch(self) -> dict[str, Any]:
        """Train on the epoch's batches; a resumed epoch skips the batches it has finished."""
        self.model.train()
        freeze(self.network.encoder, self.recipe.optimizer)  # train() unfroze its norms
        self.plan.order.begin(self.epoch, self.batch)
        begun, images = time.perf_counter(), 0
        for batch in self.plan.train_batches:
            if images == 0:
                begun = time.perf_counter()  # loader processes have started
            loss = self.train_batch(batch.to(self.fabric.device))
            self.batch += 1
            self.loss_sum += loss
            self.finite.note(loss, self.step, self.epoch)
            images += len(batch.image) * self.fabric.world_size
            self.progress.trained(self.epoch, self.batch, len(batch.image), loss)
            if self.after_first_batch is not None:
                self.after_first_batch()
                self.after_first_batch = None
            seconds = time.perf_counter() - begun
            if self.checkpoint_is_due():
                self.finite.check_weights(self.model, self.step, self.epoch)
                self.save()
        mean = self.over_processes(self.loss_sum / self.batches_per_epoch, "mean")
        return {
            "epoch": self.epoch,
            "step": self.step,
            "train_loss": float(mean),
            "learning_rate": self.learning_rate((self.epoch + 1) * self.steps_per_epoch),
            "images_per_s": images / seconds if images else None,
        }

    def train_batch(self, batch: Batch) -> Tensor:
        """Forward, loss, backward; at the end of a group of `accumulate` batches, a step.

        Args:
            batch: uint8 image (B, 3, H, W) RGB, uint8 label (B, H, W): this process's part.

        Returns:
            the loss, a float32 scalar on the device.
        """
        number = self.epoch * self.batches_per_epoch + self.batch
        image, label, weak, soft = self.augmented(batch, number)
        taught = self.taught(image, weak) if soft is None else soft
        image = self.as_input(image)
        group = self.settings.accumulate
        ends_group = (self.batch + 1) % group == 0 or self.batch + 1 == self.batches_per_epoch
        with self.fabric.no_backward_sync(self.model, enabled=not ends_group):
            loss: Tensor = self.model(image, label, taught, self.learning_alone)
            self.fabric.backward(loss / group)
        if ends_group:
            self.optimizer_step()
        return loss.detach()

    def optimizer_step(self) -> None:
        """Clip, step, average."""
        if self.settings.gradient_clip is not None:
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.settings.gradient_clip,
                error_if_nonfinite=False,  # `FiniteCheck` has the words for it
            )  # fmt: skip
        done = self.epoch * self.steps_per_epoch + self.batch // self.settings.accumulate
        set_learning_rate(self.optimizer, self.learning_rate(done))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.average is not None:
            self.average.update(self.network)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Score the held-out frames at working size.

        Returns:
            val_loss, the cross-entropy without class weights, so that recipes can be compared;
            val_miou; and val_iou/NAME of each class that labels show.
        """
        network = self.network if self.average is None else self.average.network
        if self.step < MEASURED_STEPS:
            self.measure_norms(network)
        network.eval()
        if self.fabric.world_size > 1:  # norms that are not synchronised differ
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, 0)
        confusion = ConfusionMatrix(len(self.plan.classes), self.fabric.device)
        total = torch.zeros(2, dtype=torch.float64, device=self.fabric.device)  # loss, pixels
        for batch in self.plan.val_batches:
            for frames in batch.to(self.fabric.device).without_borders():
                label = frames.label.long()  # (B, H, W)
                image = self.normalise(frames.image).contiguous(memory_format=torch.channels_last)
                with self.fabric.autocast():
                    logits = network(image)  # (B, C, H, W)
                logits = logits.float()
                loss = F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="sum")
                total += torch.stack([loss.double(), (label != IGNORE).sum().double()])
                confusion.update(logits.argmax(1), label)
        loss, pixels = self.over_processes(total, "sum")
        counts = confusion.compute()  # of all processes
        values = {"val_loss": float(loss / pixels.clamp_min(1))}
        values["val_miou"] = mean_iou(counts) or 0.0
        for name, iou in zip(self.plan.classes.names, iou_per_class(counts), strict=True):
            if iou is not None:
                values[f"val_iou/{name}"] = iou
        self.finite.check_validation(values["val_loss"], self.step, self.epoch)
        return values

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Log, write the tables, save; the epoch is done when its checkpoint is in place."""
        self.finite.check_weights(self.model, self.step, self.epoch)
        for logger in self.loggers:
            logger.log_metrics({k: v for k, v in row.items() if v is not None}, step=self.step)
        self.progress.end_epoch(row)
        self.history.append(row)
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sum.zero_()
        if self.plan.processes.first:
            write_history(self.run, self.history)
        self.save(best=is_best(self.history, self.settings.monitor))

    def checkpoint_is_due(self) -> bool:
        """Whether to save within the epoch: never inside a group of batches, nor at its end."""
        settings = self.settings
        if self.batch % settings.accumulate or self.batch >= self.batches_per_epoch:
            return False
        if settings.checkpoint_steps is not None and self.step % settings.checkpoint_steps == 0:
            return True
        alone = self.fabric.world_size == 1
        if settings.checkpoint_minutes is None or not (alone or self.batch % _CLOCK_EVERY == 0):
            return False
        late = time.monotonic() - self.saved_at >= 60 * settings.checkpoint_minutes
        return bool(self.fabric.broadcast(late))  # the first process's clock decides for all

    def save(self, best: bool = False) -> None:
        """Write last.ckpt; after the best epoch so far, best.ckpt and the model directory too."""
        content = self.state_dict()
        if not self.plan.processes.first:
            return
        with new_checkpoint(self.run, content) as path:  # becomes last.ckpt after this block
            if best:
                with replace_file(self.run.best) as temporary:
                    shutil.copyfile(path, temporary)
                network = self.network if self.average is None else self.average.network
                save_model(
                    self.run.model, network.state_dict(), self.recipe.model, self.plan.classes
                )
        self.saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds: tensors and plain values. All processes call this."""
        mean = self.over_processes(self.loss_sum, "mean")
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),  # the scale of float16
            "epoch": self.epoch,
            "batch": self.batch,
            "batches": self.batches_per_epoch,
            "step": self.step,
            "loss_sum": float(mean),
            "teacher": self.teacher_digest,
            "history": self.history,
        }

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Continue where a checkpoint was saved.

        The recipe's learning rate and decay hold, not the checkpoint's. An epoch that now has
        another number of batches, as with another batch size, begins again.

        Raises:
            InputError: the teacher has other weights than at the time.
        """
        if (before := content.get("teacher")) != self.teacher_digest:
            raise InputError(
                f"loss.teacher.model: {_teacher_change(before, self.teacher_digest)}; that cannot"
                " change on --resume. Start a new run from this one's best weights:"
                f" --set model.weights={self.run.root}"
            )
        self.model.load_state_dict(content["model"])
        if self.average is not None:
            if content["average"] is None:
                self.average.restart(self.network)
            else:
                self.average.load_state_dict(content["average"])
        own = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict(content["optimizer"] | {"param_groups": own})
        for weight, state in self.optimizer.state.items():
            # PyTorch does not check it, and the first step would write beyond the smaller one.
            shapes = {key: value.shape for key, value in state.items() if key != "step"}
            if {*shapes.values()} - {weight.shape}:
                raise ValueError("the optimiser's state has other shapes than the weights")
        if self.plan.precision == "16-mixed":
            self.fabric.strategy.precision.load_state_dict(content["precision"])
        self.epoch, self.step = content["epoch"], content["step"]
        self.history = [dict(row) for row in content["history"]]
        numbers = [value for row in self.history for value in row.values() if value is not None]
        if min([*numbers, self.epoch, self.step, content["batch"]]) < 0:
            raise ValueError("negative numbers")
        if content["batches"] == self.batches_per_epoch:
            self.batch = content["batch"]
            self.loss_sum.fill_(content["loss_sum"])

    def augmented(self, batch: Batch, number: int) -> Views:
        """A batch augmented.

        Seed and number alone decide what is drawn, so that a resumed run draws the same.

        Args:
            number: number of earlier batches, over all epochs.

        Returns:
            the batch, with a weak view of the frames of `learning_alone`.
        """
        seed, rank, count = self.settings.seed, self.fabric.global_rank, len(batch.image)
        # For dropout. Knuth's multiplier spreads neighbouring seeds; 2⁶³ is the generator's range.
        key = seed * 1_000_003 + number * 257 + rank
        torch.manual_seed(key * 2_654_435_761 % 2**63)
        # For augmentation: by the frame's place in the batch of all processes.
        draws = Draws.of_batch((seed, number), range(rank * count, (rank + 1) * count))
        soft = None if batch.codes is None else decode(batch.codes)
        return self.augment.views(batch.image, batch.label.long(), draws, self.learning_alone, soft)

    def as_input(self, image: Tensor) -> Tensor:
        """RGB (B, 3, H, W) in 0-255 -> what the network takes."""
        return self.normalise(image).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def taught(self, image: Tensor, weak: Tensor | None) -> Tensor | None:
        """The teacher's logits of RGB images in 0-255, or the own average's of `weak` ones."""
        with self.fabric.autocast():
            if self.plan.teacher is not None:
                return self.plan.teacher(image)
            if weak is None or len(weak) == 0:
                return weak
            assert self.average is not None  # as the recipe's check demands
            return self.average.network.coarse_logits(self.as_input(weak))

    def learning_rate(self, steps: int) -> float:
        """The rate after so many steps of the recipe's schedule."""
        return self.recipe.optimizer.learning_rate * self.rate_factor(steps)

    def measure_norms(self, network: DeepLabV3) -> None:
        """Take batch norm's statistics from the epoch's first batches, with the current weights."""
        network.train()
        freeze(network.encoder, self.recipe.optimizer)
        self.plan.order.begin(self.epoch)
        first = self.epoch * self.batches_per_epoch
        for index, batch in zip(range(_MEASURED_BATCHES), self.plan.train_batches, strict=False):
            image, *_ = self.augmented(batch.to(self.fabric.device), first + index)
            with averaged_statistics(network, index), self.fabric.autocast():
                network.coarse_logits(self.as_input(image))

    def over_processes(self, values: Tensor, how: Literal["mean", "sum"]) -> Tensor:
        """The mean or sum of all processes' values."""
        reduced = self.fabric.all_reduce(values.clone(), reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced


def _teacher_change(before: str | None, now: str | None) -> str:
    """How the teachers differ, by their digests; None: no teacher."""
    if before is None or now is None:
        return "the run had no teacher" if before is None else "the run had a teacher"
    return "the run had a teacher with other weights"
