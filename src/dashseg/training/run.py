"""Recipe + data -> a run directory: `train_run`, and `resume_run` for one that was stopped."""

from __future__ import annotations

import errno
import gc
import importlib.util
import logging
import signal
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy, Strategy

from dashseg.config import Recipe, change_recipe, load_run_recipe
from dashseg.curate.class_balance import ClassPixels, count_pixels
from dashseg.data import Dataset, open_dataset, open_training_set
from dashseg.data.synthetic import PREFIX
from dashseg.errors import InputError
from dashseg.files import write_text, writing_to
from dashseg.inference.loading import load
from dashseg.inference.model_directory import load_weights
from dashseg.inference.torch_runtime import find_device
from dashseg.models import DeepLabV3, build_model
from dashseg.models.sync_batchnorm import synchronise_norms
from dashseg.run_directory import RunDirectory
from dashseg.training.batches import Batches, EveryFrame, ShuffledBatches
from dashseg.training.callbacks import AfterFirstBatch, KeepRun, MovingAverage, StopAtNaN, TrainLoss
from dashseg.training.checkpoints import (
    Checkpoint,
    clear_unfinished,
    newest_checkpoint,
    read_checkpoint,
)
from dashseg.training.environment import describe_environment, note_resume
from dashseg.training.frames import WorkingFrames
from dashseg.training.losses import class_weights
from dashseg.training.memory import capacity_of_gpu, largest_batch, peak_on_gpu, release
from dashseg.training.module import SegmentationModule
from dashseg.training.placement import place
from dashseg.training.processes import ALONE, Processes, launched, word_of_first
from dashseg.training.progress import TrainingProgress

Say = Callable[[str], None]

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


class Interrupted(Exception):
    """The user stopped the training; the run can be gone on with by `resume_run`."""


class Finished(InputError):
    """A run that is asked to go on has had all its epochs."""


def train_run(
    recipe: Recipe,
    root: Path,
    argv: Sequence[str] = (),
    say: Say = print,
    device: str = "auto",
    then: Callable[[], None] | None = None,
) -> RunDirectory:
    """Train a model.

    Args:
        recipe: with `data.root` set.
        root: the run directory to make.
        argv: the command line, for environment.json.
        say: takes lines for the user.
        device: as `training_device` takes it.
        then: called by the first process after the training, while it still keeps others from the
            run.

    Raises:
        InputError: device, data, recipe or output folder cannot be used; a loss that is not finite.
        Interrupted: by Ctrl-C, once there is a run directory.

    Under torchrun every process calls this; the first one alone writes and talks.
    """
    run, processes = RunDirectory(root), launched()
    chosen = training_device(device, processes)
    if processes.first:
        run.check_free()
    recipe = _anchored(recipe)
    train_set, val_set = _open(recipe)
    recipe = _with_classes(recipe, train_set)
    network = _new_network(recipe)
    prepared = _prepare(recipe, run, network, train_set, val_set, chosen, say)
    if processes.first:
        data = _describe(train_set, val_set)
        environment = describe_environment(argv, recipe.training.seed, data, processes)
        run.create(recipe.to_yaml(), environment | {"resumed": []})
    with run.held() if processes.first else nullcontext():
        prepared.fit(run)
        del prepared, network  # their memory is for what comes then
        _go_on(then)
    return run


def resume_run(
    root: Path,
    overrides: Sequence[str] = (),
    say: Say = print,
    device: str = "auto",
    then: Callable[[], None] | None = None,
) -> RunDirectory:
    """Go on with a run from its last checkpoint, if it has one, by its own recipe.

    It ends with the weights that it would have had without the stop: bit for bit on a CPU.

    Args:
        overrides: changes to the recipe, such as "training.epochs=80".
        device: as `train_run` takes it; not recorded: it may change from one stretch to the next.
        then: as `train_run` takes it.

    Raises:
        Finished: there is nothing left to train.
        InputError: not a run, one that another process trains, changes that its checkpoint cannot
            be gone on with, or as `train_run`. Its recipe is as it was, unless a batch was trained
            on with the changed one.
        Interrupted: by Ctrl-C.
    """
    run, processes = RunDirectory(root), launched()
    chosen = training_device(device, processes)
    say = say if processes.first else _say_nothing
    run.check_resumable()
    with run.held() if processes.first else nullcontext():
        if processes.first:
            clear_unfinished(run.root, run.last.parent)
        checkpoint = _choose_checkpoint(run, processes, say)
        # Not before the choice: until the first process holds the run, another may change it.
        recipe = _anchored(load_run_recipe(root, overrides))
        train_set, val_set = _open(recipe)
        recipe = _with_classes(recipe, train_set)
        network = _network_so_far(run, recipe, checkpoint, say)
        path = checkpoint.path if checkpoint else None
        del checkpoint  # as large as network and optimiser together
        data = _describe(train_set, val_set)

        def note() -> None:
            environment = describe_environment(overrides, recipe.training.seed, data, processes)
            note_resume(run, environment)
            if overrides:
                write_text(run.recipe, recipe.to_yaml())

        further = [AfterFirstBatch(note)] if processes.first else []
        prepared = _prepare(recipe, run, network, train_set, val_set, chosen, say, further)
        prepared.fit(run, path)
        del prepared, network
        _go_on(then)
    return run


def _go_on(then: Callable[[], None] | None) -> None:
    gc.collect()  # trainer and module hold on to each other
    if then is not None and launched().first:
        then()


def training_device(name: str, processes: Processes = ALONE) -> torch.device:
    """Where this process trains.

    Args:
        name: "auto" (the GPU if there is one), "cpu", "cuda", or "cuda:1" for one process alone;
            of several, each trains on the GPU of its number.

    Raises:
        InputError: no such device, or none for training.
    """
    of_several = processes.world > 1
    if of_several and name not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"device '{name}': {processes.world} processes each take a GPU of their own; say"
            " auto, cuda or cpu"
        )
    on_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    device = find_device(f"cuda:{processes.local}" if of_several and on_gpu else name)
    if device.type not in ("cpu", "cuda"):  # losses are added up in double precision
        raise InputError(f"device '{name}': training runs on cpu or cuda")
    return device


@dataclass(frozen=True)
class _Prepared:
    """All that a training takes, found to be in order before a run directory is touched."""

    trainer: L.Trainer
    module: SegmentationModule
    train_batches: Batches
    val_batches: Batches
    device: torch.device

    def fit(self, run: RunDirectory, checkpoint: Path | None = None) -> None:
        if launched().first:  # now that there is a run: some write into it when they are made
            self.trainer.loggers = [_logger(n, run) for n in self.module.recipe.training.loggers]
        try:
            self.trainer.fit(
                self.module, self.train_batches, self.val_batches,
                ckpt_path=checkpoint, weights_only=True,
            )  # fmt: skip
            if self.trainer.world_size > 1:  # what comes after is the first process's alone
                torch.distributed.destroy_process_group()
        except (KeyboardInterrupt, SystemExit) as stop:  # Lightning makes one of the other,
            signal.signal(signal.SIGINT, signal.default_int_handler)  # and turns off the next
            raise Interrupted from stop
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            with writing_to(run.root):
                raise
        except torch.OutOfMemoryError as error:
            release(error)
            raise InputError(
                "the GPU's memory is full: lower training.batch_size (training.accumulate makes"
                f" up for it) or augment.crop{self._what_fits()}"
            ) from None  # what the error holds on to is released
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise InputError(
                "batch norm has one value of each channel to tell their spread from: raise"
                " training.batch_size, model.input.size or augment.crop"
            ) from error
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise InputError(
                "a process that reads frames was killed, as happens when memory, or /dev/shm in a"
                " container, is full: set data.workers=0, or give it more"
            ) from error

    def _what_fits(self) -> str:
        """Which batch size would fit, found by trying one frame and two."""
        if self.trainer.world_size > 1:  # the others wait for no trial
            return ""
        if not self.trainer.optimizers:  # it was full before there was a step
            return ""
        tried = self.module.recipe.training.batch_size
        # Adam's two averages: Lightning has moved them off the GPU, and the network too.
        fixed = 2 * sum(p.nbytes for p in self.module.parameters() if p.requires_grad)

        def measure(count: int) -> int:
            return peak_on_gpu(lambda: self.module.blank_step(count), self.device)

        try:
            self.module.to(self.device)
            size = largest_batch(measure, capacity_of_gpu(self.device), fixed, tried)
        except RuntimeError:  # OutOfMemoryError is one; cuDNN has others for the same
            size = 0
        if size == 0:
            return "; not even one frame fits: augment.crop it is"
        return f"; of {tried} frames, {size} would fit: --set training.batch_size={size}"


def _prepare(
    recipe: Recipe,
    run: RunDirectory,
    network: DeepLabV3,
    train_set: Dataset,
    val_set: Dataset,
    device: torch.device,
    say: Say,
    further: Sequence[Callback] = (),
) -> _Prepared:
    """`further`: callbacks that come before a checkpoint is saved."""
    _quieten()
    settings, processes = recipe.training, launched()
    _check_installed(settings.loggers)
    say = say if processes.first else _say_nothing
    if len(val_set) < processes.world:
        raise InputError(
            f"{len(val_set)} held-out frames for {processes.world} processes: each of them needs"
            " one to validate on"
        )
    order = ShuffledBatches(len(train_set), settings.batch_size, settings.seed, processes)
    where = recipe.data.placement
    training = place(WorkingFrames(train_set, recipe.model.input), "training", where, device, say)
    validation = place(
        WorkingFrames(val_set, recipe.model.input), "validation", where, device, say,
        promised=training.on_device,
    )  # fmt: skip
    weights = _class_weights(recipe, training.frames)
    if weights is not None:
        shown = zip(train_set.classes.names, weights, strict=True)
        say("class weights: " + ", ".join(f"{name} {weight:.3g}" for name, weight in shown))
    module = SegmentationModule(recipe, network, train_set.classes, weights)
    if processes.world > 1 and settings.sync_batchnorm:
        synchronise_norms(module, device)
    precision = _precision(settings.precision, device)
    say(
        f"training on {len(train_set)} frames, validating on {len(val_set)}, {settings.epochs}"
        f" epochs of {len(order)} batches in {precision}"
    )
    callbacks: list[Callback] = [TrainLoss(order), StopAtNaN()]
    if settings.ema_decay is not None:
        callbacks.append(MovingAverage(settings.ema_decay))
    callbacks += further
    callbacks.append(
        KeepRun(
            run, settings.monitor, order, settings.checkpoint_steps, settings.checkpoint_minutes
        )
    )
    callbacks.append(TrainingProgress())
    trainer = L.Trainer(
        default_root_dir=run.root,
        accelerator=device.type,
        devices=_devices(device, processes),
        num_nodes=processes.nodes,
        strategy=_strategy(processes),
        use_distributed_sampler=False,  # the batches are dealt out already
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip,
        check_val_every_n_epoch=settings.validate_every,
        precision=precision,
        callbacks=callbacks,
        logger=False,
        log_every_n_steps=max(1, min(20, len(order))),
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    every = EveryFrame(len(val_set), settings.batch_size, processes)
    workers = recipe.data.workers
    batches = training.batches(order, workers), validation.batches(every, workers)
    return _Prepared(trainer, module, *batches, device)


def _devices(device: torch.device, processes: Processes) -> int | list[int]:
    """As Lightning has it: how many on this machine, or the number of the GPU that was chosen."""
    alone_on_gpu = device.type == "cuda" and processes.world == 1
    return [device.index] if alone_on_gpu else processes.per_node


def _strategy(processes: Processes) -> Strategy | str:
    """How Lightning trains: by `DistributedDataParallel` where there are several processes."""
    if processes.world == 1:
        return "auto"
    # Norms' statistics are the same in all processes, or are shared before each validation; a
    # broadcast at every forward would wait for processes that have fewer held-out frames.
    return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)


def _say_nothing(text: str) -> None:
    """What all processes but the first have to say."""


def _anchored(recipe: Recipe) -> Recipe:
    """Its paths made absolute: a run is gone on with, and evaluated, from any folder."""
    data, model = recipe.data, recipe.model
    changes: dict[str, dict[str, Any]] = {"data": {}, "model": {}}
    changes["data"] |= _anchored_frames(data.root, data.split)
    changes["data"]["extra"] = [
        extra.model_copy(update=_anchored_frames(extra.root, extra.split)) for extra in data.extra
    ]
    if model.weights is not None and model.weights.exists():  # else a hub id
        changes["model"]["weights"] = model.weights.resolve()
    encoder = model.encoder.weights
    if encoder is not None and Path(encoder).is_file():
        path = str(Path(encoder).resolve())
        changes["model"]["encoder"] = model.encoder.model_copy(update={"weights": path})
    return change_recipe(recipe, **changes)


def _anchored_frames(root: str | None, split: Path | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if root is not None and not root.startswith(PREFIX):
        changes["root"] = str(Path(root).resolve())
    if split is not None:
        changes["split"] = split.resolve()
    return changes


def _open(recipe: Recipe) -> tuple[Dataset, Dataset]:
    return open_training_set(recipe.data), open_dataset(recipe.data, "val")


def _with_classes(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe for as many classes as the data has."""
    return change_recipe(recipe, model={"num_classes": len(dataset.classes)})


def _without_pretraining(recipe: Recipe) -> Recipe:
    """A checkpoint brings its own weights: those that the run started from may be gone."""
    encoder = recipe.model.encoder.model_copy(update={"weights": None})
    return change_recipe(recipe, model={"encoder": encoder.model_dump(), "weights": None})


def _new_network(recipe: Recipe) -> DeepLabV3:
    pretrained = recipe.model.weights is not None or recipe.model.encoder.weights is not None
    optimizer = recipe.optimizer
    if (optimizer.frozen_stride is not None or optimizer.frozen_norms) and not pretrained:
        raise InputError(
            "optimizer.frozen_stride and frozen_norms keep what the encoder has learnt, and this"
            " one starts with random weights: set model.encoder.weights or model.weights, or"
            " freeze nothing"
        )
    L.seed_everything(recipe.training.seed, verbose=False)  # the weights that a run starts from
    network = build_model(recipe.model)
    if recipe.model.weights is not None:
        start = load(recipe.model.weights, device="cpu")
        load_weights(network, start.network.state_dict(), str(recipe.model.weights))
    return network


def _choose_checkpoint(run: RunDirectory, processes: Processes, say: Say) -> Checkpoint | None:
    """A run's last whole checkpoint: in all processes the one that the first one finds."""
    found = newest_checkpoint(run, say) if processes.first else None
    name = word_of_first(processes, found.path.name if found else "")
    if processes.first or not name:
        return found
    path = run.last.with_name(name)
    return Checkpoint(path, read_checkpoint(path))


def _network_so_far(
    run: RunDirectory, recipe: Recipe, checkpoint: Checkpoint | None, say: Say
) -> DeepLabV3:
    """The network as a run's checkpoint has it; a new one where there is none.

    Raises:
        Finished: it has had all its epochs.
        InputError: it cannot be gone on with by this recipe.
    """
    if checkpoint is None:
        say(f"starting {run.root} anew: it was stopped before its first checkpoint")
        return _new_network(recipe)
    if checkpoint.epochs >= recipe.training.epochs:
        raise Finished(
            f"{run.root}: all {checkpoint.epochs} epochs are done;"
            f" to train on: --set training.epochs={2 * checkpoint.epochs}"
        )
    _check_goes_on(run, recipe)
    network = build_model(_without_pretraining(recipe).model)
    load_weights(network, checkpoint.network, str(checkpoint.path))
    further = f" and {checkpoint.batches} batches" if checkpoint.batches else ""
    say(f"going on with {run.root} after epoch {checkpoint.epochs}{further}")
    return network


def _check_goes_on(run: RunDirectory, recipe: Recipe) -> None:
    """Raise InputError unless `recipe` can go on with the run's checkpoint, and be true of it."""

    def kept(recipe: Recipe) -> dict[str, Any]:
        optimizer = recipe.optimizer
        return {
            "model.weights": recipe.model.weights,  # what it started from
            "model.encoder.weights": recipe.model.encoder.weights,
            "training.monitor": recipe.training.monitor,  # by which best.ckpt was kept
            "optimizer.name": optimizer.name,
            "optimizer.encoder_factor (from or to 1)": optimizer.encoder_factor == 1,
            "optimizer.frozen_stride": optimizer.frozen_stride,
            "optimizer.frozen_norms": optimizer.frozen_norms,
            "loss.auxiliary (from or to 0)": recipe.loss.auxiliary == 0,
        }

    before, now = kept(_anchored(load_run_recipe(run.root))), kept(recipe)
    changed = [key for key in before if before[key] != now[key]]
    if changed:
        raise InputError(
            f"{', '.join(changed)}: not to be changed by --resume, which goes on from a checkpoint"
            " with its optimiser's state. Start a new run from this one's best weights: --set"
            f" model.weights={run.root}"
        )


def _class_weights(recipe: Recipe, frames: WorkingFrames) -> list[float] | None:
    if recipe.loss.class_weights in ("enet", "median_frequency"):
        pixels = count_pixels(frames.labels(), recipe.model.num_classes)
    else:  # none or given: there is nothing to count
        pixels = ClassPixels(recipe.model.num_classes)
    return class_weights(recipe.loss, pixels)


def _describe(train_set: Dataset, val_set: Dataset) -> dict[str, Any]:
    return {
        "root": train_set.root,
        "kind": train_set.kind,
        "split": val_set.split,  # "val": the data set's own rule; else the split file
        "train": {"images": len(train_set), "fingerprint": train_set.fingerprint()},
        "val": {"images": len(val_set), "fingerprint": val_set.fingerprint()},
    }


def _precision(name: str, device: torch.device) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """Lightning's name; "auto" is bfloat16 where the hardware computes in it."""
    if name == "float16":
        if device.type == "cpu":
            raise InputError(
                "training.precision=float16 is for GPUs: here, auto, bfloat16 or float32"
            )
        return "16-mixed"
    if name == "bfloat16" or (name == "auto" and _has_bfloat16(device)):
        return "bf16-mixed"
    return "32-true"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported())


def _check_installed(loggers: Sequence[str]) -> None:
    for name in loggers:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # none, or any folder of that name
            raise InputError(f"training.loggers: {name} is not installed: pip install {name}")


def _logger(name: str, run: RunDirectory) -> Logger:
    if name == "tensorboard":
        return TensorBoardLogger(run.root, name="tensorboard", version="")
    if name == "wandb":
        from lightning.pytorch.loggers import WandbLogger

        return WandbLogger(name=run.root.name, save_dir=run.root)
    from lightning.pytorch.loggers import MLFlowLogger

    root = run.root.resolve()
    return MLFlowLogger(
        run_name=root.name,
        tracking_uri=f"sqlite:///{root / 'mlflow.db'}",
        artifact_location=str(root / "mlflow"),
    )


def _quieten() -> None:
    """Lightning's hints are for those who write training code, not for those who run it."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*module.s. in eval mode at the start of training.*",  # what the recipe freezes
        ".*your dataloader is not resumable.*",  # KeepRun sees to it
        ".*torch.distributed.nn.functional.all_gather is deprecated.*",  # Lightning's own
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # all processes log the same
        ".*`broadcast_buffers` is deprecated.*",  # what takes its place is new in PyTorch 2.13
        ".*`isinstance.treespec, LeafSpec.*",
        # Averaging may begin and end within a run.
        ".*callbacks used to create the checkpoint need to be provided.*MovingAverage.*",
        ".*The checkpoint was not created with WeightAveraging.*",
    ):
        warnings.filterwarnings("ignore", message)
