"""Recipe + data -> a run directory: `train_run`, and `resume_run` for one that was stopped."""

from __future__ import annotations

import errno
import logging
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch.utils.data import DataLoader

from dashseg.config import Recipe, change_recipe, load_recipe
from dashseg.data import Dataset, open_dataset, open_training_set
from dashseg.data.class_balance import ClassPixels, count_pixels
from dashseg.data.synthetic.dataset import PREFIX
from dashseg.errors import InputError
from dashseg.files import write_json, write_text, writing_to
from dashseg.inference.loading import load
from dashseg.inference.model_directory import load_weights
from dashseg.models import DeepLabV3, build_model
from dashseg.progress import progress
from dashseg.training.callbacks import KeepRun, MovingAverage, StopAtNaN
from dashseg.training.frames import Pair, WorkingFrames, training_loader, validation_loader
from dashseg.training.losses import class_weights
from dashseg.training.module import SegmentationModule
from dashseg.training.progress import TrainingProgress
from dashseg.training.run_directory import RunDirectory, describe_environment

Say = Callable[[str], None]

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


class Interrupted(Exception):
    """The user stopped the training; the run can be gone on with by `resume_run`."""


def train_run(
    recipe: Recipe, root: Path, argv: Sequence[str] = (), say: Say = print
) -> RunDirectory:
    """Train a model.

    Args:
        recipe: with `data.root` set.
        root: the run directory to make.
        argv: the command line, for environment.json.
        say: takes lines for the user.

    Raises:
        InputError: data, recipe or output folder cannot be used; a loss that is not finite.
        Interrupted: by Ctrl-C, once there is a run directory.
    """
    run = RunDirectory(root)
    run.check_free()
    recipe = _anchored(recipe)
    train_set, val_set = _open(recipe)
    recipe = _with_classes(recipe, train_set)
    prepared = _prepare(recipe, run, _new_network(recipe), train_set, val_set, say)
    run.create()
    write_text(run.recipe, recipe.to_yaml())
    write_json(run.environment, describe_environment(argv, _describe(train_set, val_set)))
    prepared.fit(run)
    return run


def resume_run(root: Path, overrides: Sequence[str] = (), say: Say = print) -> RunDirectory:
    """Go on with a run from its last checkpoint, if it has one, by its own recipe.

    Args:
        overrides: changes to the recipe, such as "training.epochs=80".

    Raises:
        InputError: not a run, a checkpoint of another architecture, or as `train_run`.
        Interrupted: by Ctrl-C.
    """
    run = RunDirectory(root)
    run.check_resumable()
    recipe = _anchored(load_recipe(run.recipe, overrides))
    train_set, val_set = _open(recipe)
    recipe = _with_classes(recipe, train_set)
    checkpoint = run.last if run.last.is_file() else None
    if checkpoint is None:
        network = _new_network(recipe)
        say(f"starting {root} anew: it was stopped before its first checkpoint")
    else:
        network, epochs = _stopped_network(recipe, checkpoint)
        if epochs >= recipe.training.epochs:
            raise InputError(
                f"{root}: all {recipe.training.epochs} epochs are done;"
                f" to train on: --set training.epochs={2 * recipe.training.epochs}"
            )
        say(f"going on with {root} after epoch {epochs}")
    prepared = _prepare(recipe, run, network, train_set, val_set, say)
    if overrides:
        write_text(run.recipe, recipe.to_yaml())
    prepared.fit(run, checkpoint)
    return run


@dataclass(frozen=True)
class _Prepared:
    """All that a training takes, found to be in order before a run directory is touched."""

    trainer: L.Trainer
    module: SegmentationModule
    train_loader: DataLoader[Pair]
    val_loader: DataLoader[Pair]

    def fit(self, run: RunDirectory, checkpoint: Path | None = None) -> None:
        try:
            self.trainer.fit(
                self.module, self.train_loader, self.val_loader,
                ckpt_path=checkpoint, weights_only=True,
            )  # fmt: skip
        except (KeyboardInterrupt, SystemExit) as stop:  # Lightning makes one of the other,
            signal.signal(signal.SIGINT, signal.default_int_handler)  # and turns off the next
            raise Interrupted from stop
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            with writing_to(run.root):
                raise
        except torch.OutOfMemoryError as error:
            raise InputError(
                "the GPU's memory is full: lower training.batch_size (training.accumulate makes"
                " up for it) or augment.crop"
            ) from error
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise InputError(
                "a process that reads frames was killed, as happens when memory, or /dev/shm in a"
                " container, is full: set data.workers=0, or give it more"
            ) from error


def _prepare(
    recipe: Recipe,
    run: RunDirectory,
    network: DeepLabV3,
    train_set: Dataset,
    val_set: Dataset,
    say: Say,
) -> _Prepared:
    _quieten()
    settings = recipe.training
    frames = {
        side: WorkingFrames(dataset, recipe.model.input)
        for side, dataset in (("training", train_set), ("validation", val_set))
    }
    for side, side_frames in frames.items():
        if recipe.data.cache and not side_frames.packed and side_frames.fits_in_memory():
            with progress(f"reading {side} frames into memory", "frames") as advance:
                side_frames.keep(advance)
    train_loader = training_loader(
        frames["training"], settings.batch_size, settings.seed, recipe.data.workers
    )
    val_loader = validation_loader(frames["validation"], settings.batch_size, recipe.data.workers)
    weights = _class_weights(recipe, frames["training"])
    if weights is not None:
        shown = zip(train_set.classes.names, weights, strict=True)
        say("class weights: " + ", ".join(f"{name} {weight:.3g}" for name, weight in shown))
    module = SegmentationModule(recipe, network, train_set.classes, weights)
    precision = _precision(settings.precision)
    say(
        f"training on {len(train_set)} frames, validating on {len(val_set)}, {settings.epochs}"
        f" epochs of {len(train_loader)} batches in {precision}"
    )
    callbacks: list[Callback] = [TrainingProgress(), StopAtNaN(), KeepRun(run, settings.monitor)]
    if settings.ema_decay is not None:
        callbacks.append(MovingAverage(settings.ema_decay))
    trainer = L.Trainer(
        default_root_dir=run.root,
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=1,  # several would each make a run directory of their own
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip,
        check_val_every_n_epoch=min(settings.validate_every, settings.epochs),
        precision=precision,
        callbacks=callbacks,
        logger=[_logger(name, run) for name in settings.loggers],
        log_every_n_steps=max(1, min(20, len(train_loader))),
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    return _Prepared(trainer, module, train_loader, val_loader)


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
    L.seed_everything(recipe.training.seed, verbose=False)  # the weights that a run starts from
    network = build_model(recipe.model)
    if recipe.model.weights is not None:
        start = load(recipe.model.weights, device="cpu")
        load_weights(network, start.network.state_dict(), str(recipe.model.weights))
    return network


def _stopped_network(recipe: Recipe, path: Path) -> tuple[DeepLabV3, int]:
    """The network that a checkpoint holds, and how many epochs it was trained for."""
    network = build_model(_without_pretraining(recipe).model)
    checkpoint = _read_checkpoint(path)
    state = {
        key.removeprefix("network."): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith("network.")
    }
    load_weights(network, state, str(path))
    return network, checkpoint["epoch"] + 1


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise InputError(f"{path}: damaged, or not a checkpoint of dashseg") from error


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


def _precision(name: str) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """Lightning's name; "auto" is bfloat16 where the hardware computes in it."""
    if name == "float16":
        return "16-mixed"
    if name == "bfloat16" or (name == "auto" and _has_bfloat16()):
        return "bf16-mixed"
    return "32-true"


def _has_bfloat16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported())


def _logger(name: str, run: RunDirectory) -> Logger:
    if name == "tensorboard":
        return TensorBoardLogger(run.root, name="tensorboard", version="")
    try:
        if name == "wandb":
            from lightning.pytorch.loggers import WandbLogger

            return WandbLogger(name=run.root.name, save_dir=run.root)
        from lightning.pytorch.loggers import MLFlowLogger

        return MLFlowLogger(run_name=run.root.name, tracking_uri=f"file:{run.root / 'mlflow'}")
    except ModuleNotFoundError as error:
        raise InputError(
            f"training.loggers: {name} is not installed: pip install {name}"
        ) from error


def _quieten() -> None:
    """Lightning's hints are for those who write training code, not for those who run it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for message in (".*does not have many workers.*", ".*`isinstance.treespec, LeafSpec.*"):
        warnings.filterwarnings("ignore", message)
