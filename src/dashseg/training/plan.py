"""Recipe -> everything that a training needs, checked before a run directory is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric

from dashseg.config import IN_PACK, InputConfig, Recipe, change_recipe
from dashseg.curate.class_balance import ClassPixels, count_pixels
from dashseg.data import Dataset, open_dataset, open_training_set
from dashseg.data.mixture import merged_labels, sources
from dashseg.data.pack.predictions import Predictions
from dashseg.data.partial import Groups
from dashseg.data.synthetic import PREFIX
from dashseg.errors import InputError
from dashseg.inference.loading import load
from dashseg.inference.model_directory import load_weights
from dashseg.inference.segmenter import Segmenter
from dashseg.labels import Classes, Label, count_ids
from dashseg.models import DeepLabV3, build_model
from dashseg.models.fitting import fitting_weights
from dashseg.models.weights import listed
from dashseg.training.augment import Augment
from dashseg.training.augment.bonnet import Bonnets
from dashseg.training.augment.paint import FadedPaint
from dashseg.training.batches import Batches, EveryFrame, ShuffledBatches
from dashseg.training.devices import Precision, make_fabric, training_precision
from dashseg.training.frames import WorkingFrames
from dashseg.training.freezing import freeze
from dashseg.training.held_out import require_held_out, without_held_out
from dashseg.training.loggers import check_installed
from dashseg.training.losses import class_weights
from dashseg.training.placement import place
from dashseg.training.processes import Processes
from dashseg.training.soft_labels import stored_predictions
from dashseg.training.teacher import Teacher, open_teacher
from dashseg.training.unlabelled import (
    MixedBatches,
    open_unlabelled,
    training_order,
)

Say = Callable[[str], None]
CLASSIFIER = "decoder.classifier"  # the layer whose shape depends on the classes

_LOOKED_AT = 500  # labels: two seconds at most where each has to be decoded


@dataclass(frozen=True)
class Plan:
    """What `Loop` trains, on which frames and devices."""

    recipe: Recipe
    classes: Classes
    groups: Groups  # of each merged label, the ids of the classes it may be
    class_weights: list[float] | None  # of the loss; None: all 1
    network: DeepLabV3
    teacher: Teacher | None
    predictions: Predictions | None  # of a teacher, in the packs
    augment: Augment
    order: ShuffledBatches | MixedBatches  # of the training batches
    train_batches: Batches
    val_batches: Batches
    fabric: Fabric
    precision: Precision
    processes: Processes
    say: Say  # takes lines for the user


@dataclass(frozen=True)
class Frames:
    """A recipe's data, and the recipe with absolute paths and the data's number of classes."""

    recipe: Recipe
    train: Dataset
    val: Dataset
    unlabelled: Dataset | None = None
    left_out: int = 0  # unlabelled frames that are held out for validation
    predictions: Predictions | None = None  # of a teacher, in the packs

    def describe(self) -> dict[str, Any]:
        """The data's identity, for environment.json."""
        more = self.unlabelled
        described = {
            "root": self.train.root,
            "kind": self.train.kind,
            "split": self.val.split,  # "val": the data set's own rule; else the split file
            "train": {"images": len(self.train), "fingerprint": self.train.fingerprint()},
            "val": {"images": len(self.val), "fingerprint": self.val.fingerprint()},
            "sources": sources(self.train),
        }
        if more is not None:
            described["unlabelled"] = {
                "root": more.root, "images": len(more), "fingerprint": more.fingerprint(),
                "sources": sources(more),
            }  # fmt: skip
        if (taught := self.predictions) is not None:
            described["teacher"] = {
                "model": taught.model, "digest": taught.digest, "trained_on": taught.trained_on
            }  # fmt: skip
        return described


def open_frames(recipe: Recipe) -> Frames:
    """Open a recipe's data.

    Raises:
        InputError: as `open_training_set`, `open_dataset`, `require_held_out`, `open_unlabelled`,
            `without_held_out` and `stored_predictions`.
    """
    recipe = with_absolute_paths(recipe)
    train, val = open_training_set(recipe.data), open_dataset(recipe.data, "val")
    names = train.classes.names
    if len(names) < 2:
        raise InputError(
            f"{train.root}: its only class is '{names[0]}'; training needs two or more: give what"
            " is not of it a class of its own"
        )
    recipe = change_recipe(recipe, model={"num_classes": len(names)})
    _require_fit(recipe, train.classes)
    if recipe.data.extra:
        require_held_out(train, val)
    unlabelled = open_unlabelled(recipe.data, recipe.model.input, train.classes)
    left_out = 0
    if unlabelled is not None:
        unlabelled, left_out = without_held_out(unlabelled, val)
    predictions = None
    if recipe.loss.teacher.model == IN_PACK:
        datasets = (train,) if unlabelled is None else (train, unlabelled)
        predictions = stored_predictions(datasets, names)
    return Frames(recipe, train, val, unlabelled, left_out, predictions)


def _require_fit(recipe: Recipe, classes: Classes) -> None:
    """Raise one InputError for all that these classes lack, before frames are read."""
    problems = []
    for check in (
        lambda: FadedPaint(recipe.augment.paint, classes),
        lambda: Bonnets(recipe.augment, classes),
        lambda: (
            isinstance(recipe.loss.class_weights, str)
            or class_weights(recipe.loss, ClassPixels(len(classes)))
        ),
    ):
        try:
            check()
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("; ".join(problems))


def make_plan(
    frames: Frames, network: DeepLabV3, device: torch.device, processes: Processes, say: Say
) -> Plan:
    """Read frames into memory if they fit, and check the recipe as far as possible.

    Raises:
        InputError: there are too few frames, or too many for the device; a logger is not installed;
            the device does not support the precision; the class weights are invalid; the teacher
            or the references of `augment.style` cannot be used.
    """
    recipe, train_set, val_set = frames.recipe, frames.train, frames.val
    settings = recipe.training
    check_installed(settings.loggers)
    classes, groups = train_set.classes, merged_labels(train_set)
    augment = Augment(recipe.augment, recipe.model.input.mean_rgb, classes, groups)
    teacher = open_teacher(recipe.loss.teacher, train_set.classes, train_set.root, device)
    if len(val_set) < processes.world:
        raise InputError(
            f"{len(val_set)} validation frames for {processes.world} processes: each process needs"
            " at least one"
        )
    order, all_frames = training_order(recipe, train_set, frames.unlabelled, processes)
    where = recipe.data.placement
    training = place(
        WorkingFrames(all_frames, recipe.model.input, frames.predictions is not None),
        "training", where, device, say,
    )  # fmt: skip
    labels = training.frames.labels(len(train_set))
    validation = place(
        WorkingFrames(val_set, recipe.model.input), "validation", where, device, say,
        promised=training.on_device,
    )  # fmt: skip
    if processes.first and (absent := absent_classes(labels, train_set.classes)):
        looked_at = min(len(train_set), _LOOKED_AT)
        say(f"none of {looked_at} training labels shows the class {', '.join(absent)}")
    weights = _class_weights(recipe, labels)
    if weights is not None:
        shown = zip(train_set.classes.names, weights, strict=True)
        say("class weights: " + ", ".join(f"{name} {weight:.3g}" for name, weight in shown))
    precision = training_precision(settings.precision, device)
    more = f" and {len(frames.unlabelled)} without labels" if frames.unlabelled else ""
    if frames.left_out:
        say(f"data.unlabelled: {frames.left_out} frames are held out for validation: left out")
    say(
        f"training on {len(train_set)} frames{more}, validating on {len(val_set)},"
        f" {settings.epochs} epochs of {len(order)} batches in {precision}"
    )
    every = EveryFrame(len(val_set), settings.batch_size, processes)
    return Plan(
        recipe=recipe,
        classes=classes,
        groups=groups,
        class_weights=weights,
        network=network,
        teacher=teacher,
        predictions=frames.predictions,
        augment=augment,
        order=order,
        train_batches=training.batches(order, recipe.data.workers),
        val_batches=validation.batches(every, recipe.data.workers),
        fabric=make_fabric(device, processes, precision),
        precision=precision,
        processes=processes,
        say=say,
    )


def absent_classes(labels: Sequence[Label], classes: Classes) -> list[str]:
    """Names of the classes that none of `_LOOKED_AT` labels shows, if there are so many.

    It stops as soon as every class was seen: after a few labels of most data sets.
    """
    absent = set(range(len(classes)))
    for index in np.random.default_rng(0).permutation(len(labels))[:_LOOKED_AT]:
        absent -= set(np.flatnonzero(count_ids(labels[index])).tolist())
        if not absent:
            break
    return [classes.names[class_id] for class_id in sorted(absent)]


def new_network(recipe: Recipe, classes: Classes | None = None, say: Say = print) -> DeepLabV3:
    """Make the network that a run starts from: pretrained, or random from the recipe's seed.

    From a pretrained model of other classes it takes all but the classifier, and says so. It also
    says which layers `model.weights_fit` leaves out, and if the model took other images.

    Args:
        classes: the data's; None: those of the pretrained model.

    Raises:
        InputError: pretrained weights are missing or do not fit; or random weights, or nothing,
            would be frozen.
    """
    pretrained = recipe.model.weights is not None or recipe.model.encoder.weights is not None
    optimizer = recipe.optimizer
    if (optimizer.frozen_stride is not None or optimizer.frozen_norms) and not pretrained:
        raise InputError(
            "optimizer.frozen_stride and frozen_norms need a pretrained encoder, and this one"
            " starts with random weights: set model.encoder.weights or model.weights, or freeze"
            " nothing"
        )
    if recipe.model.weights is None and recipe.model.weights_fit != "all":
        raise InputError("model.weights_fit=part needs a model to start from: set model.weights")
    torch.manual_seed(recipe.training.seed)
    network = build_model(recipe.model)
    freeze(network.encoder, optimizer)  # an error now, not when there is a run directory
    if recipe.model.weights is not None:
        start = load(recipe.model.weights, device="cpu")
        other_classes = classes is not None and classes.names != start.classes.names
        without = [CLASSIFIER] if other_classes else []
        if other_classes:
            say(
                f"{start.name} has other classes ({', '.join(start.classes.names)}): the classifier"
                " starts with random weights"
            )
        if recipe.model.weights_fit == "part":
            state, random = _what_fits(network, start, without)
            say(f"layers that start with random weights: {listed(random) or 'none'}")
        else:
            own, state = network.state_dict(), start.network.state_dict()
            state |= {key: own[key] for key in own if key.rpartition(".")[0] in without}
        try:
            load_weights(network, state, str(recipe.model.weights))
        except InputError as error:
            hint = "model.weights_fit=part takes the layers that fit"
            raise InputError(f"{error}. {hint}") from error
        if changed := _changed_input(start.input, recipe.model.input):
            say(
                f"warning: {start.name} was trained with other values of {' and '.join(changed)}:"
                " its weights do not suit these images"
            )
    return network


def _what_fits(
    network: DeepLabV3, start: Segmenter, without: Sequence[str]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    try:
        return fitting_weights(network, start.network, without)
    except InputError as error:
        raise InputError(f"model.weights: {start.name} has {error}") from error


def _changed_input(before: InputConfig, now: InputConfig) -> list[str]:
    """The settings by which two networks see the same pixels as other numbers."""
    changed = ["model.input.channels"] if before.channels != now.channels else []
    for key in ("mean", "std"):
        pairs = zip(getattr(before, key), getattr(now, key), strict=True)
        if any(abs(x - y) > 1e-2 for x, y in pairs):
            changed.append(f"model.input.{key}")
    return changed


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Make the recipe's paths absolute, to resume or evaluate the run from any folder."""
    data, model = recipe.data, recipe.model
    changes: dict[str, dict[str, Any]] = {"data": {}, "model": {}, "augment": {}, "loss": {}}
    changes["data"] |= _absolute_frames(data.root, data.split)
    changes["data"]["extra"] = [
        extra.model_copy(update=_absolute_frames(extra.root, extra.split)) for extra in data.extra
    ]
    changes["data"]["unlabelled"] = [os.path.realpath(source) for source in data.unlabelled]
    style = recipe.augment.style
    frames = tuple(Path(os.path.realpath(folder)) for folder in style.frames)
    changes["augment"]["style"] = style.model_copy(update={"frames": frames})
    if model.weights is not None and model.weights.exists():  # else a hub id
        changes["model"]["weights"] = model.weights.resolve()
    teacher = recipe.loss.teacher
    if teacher.model not in (None, IN_PACK) and Path(teacher.model).exists():
        update = {"model": str(Path(teacher.model).resolve())}
        changes["loss"]["teacher"] = teacher.model_copy(update=update)
    encoder = model.encoder.weights
    if encoder is not None and Path(encoder).is_file():
        path = str(Path(encoder).resolve())
        changes["model"]["encoder"] = model.encoder.model_copy(update={"weights": path})
    return change_recipe(recipe, **changes)


def _absolute_frames(root: str | None, split: Path | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if root is not None and not root.startswith(PREFIX):
        changes["root"] = os.path.realpath(root)
    if split is not None:
        changes["split"] = Path(os.path.realpath(split))
    return changes


def _class_weights(recipe: Recipe, labels: Sequence[Label]) -> list[float] | None:
    if recipe.loss.class_weights in ("enet", "median_frequency"):
        pixels = count_pixels(labels, recipe.model.num_classes)
    else:  # no class weights, or fixed ones: nothing to count
        pixels = ClassPixels(recipe.model.num_classes)
    return class_weights(recipe.loss, pixels)
