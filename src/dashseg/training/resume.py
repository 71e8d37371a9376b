"""Resuming a run: its checkpoint, its network, and which settings may change."""

from __future__ import annotations

from typing import Any

from dashseg.config import Recipe, change_recipe, load_run_recipe
from dashseg.errors import InputError
from dashseg.inference.model_directory import load_weights
from dashseg.models import DeepLabV3, build_model
from dashseg.run_directory import RunDirectory
from dashseg.training.checkpoints import Checkpoint, fitting, newest_checkpoint, read_checkpoint
from dashseg.training.failures import Finished
from dashseg.training.plan import Frames, Say, new_network, with_absolute_paths
from dashseg.training.processes import Processes, from_first


def choose_checkpoint(run: RunDirectory, processes: Processes, say: Say) -> Checkpoint | None:
    """The newest valid checkpoint of a run; the first process chooses it for all.

    Raises:
        InputError: all checkpoints are damaged.
    """
    found = newest_checkpoint(run, say) if processes.first else None
    name = from_first(processes, found.path.name if found else "")
    if processes.first or not name:
        return found
    path = run.last.with_name(name)
    return Checkpoint(path, read_checkpoint(path))


def network_so_far(
    run: RunDirectory, frames: Frames, checkpoint: Checkpoint | None, say: Say
) -> DeepLabV3:
    """The network with the checkpoint's weights; a new network without a checkpoint.

    Raises:
        Finished: the run has finished all its epochs.
        InputError: the recipe changes a setting that cannot change on resume.
    """
    recipe = frames.recipe
    if checkpoint is None:
        say(f"restarting {run.root}: it was stopped before its first checkpoint")
        return new_network(recipe, frames.train.classes, say)
    if checkpoint.epochs >= recipe.training.epochs:
        raise Finished(
            f"{run.root}: all {checkpoint.epochs} epochs are done;"
            f" to train longer: --set training.epochs={2 * checkpoint.epochs}"
        )
    _check_settings(run, recipe)
    network = build_model(_without_pretraining(recipe).model)
    with fitting(checkpoint.path):
        load_weights(network, checkpoint.network, str(checkpoint.path))
    further = f" and {checkpoint.batches} batches" if checkpoint.batches else ""
    say(f"resuming {run.root} after epoch {checkpoint.epochs}{further}")
    return network


def _without_pretraining(recipe: Recipe) -> Recipe:
    """The recipe without pretrained weights, whose files may be gone; the checkpoint has all."""
    encoder = recipe.model.encoder.model_copy(update={"weights": None})
    return change_recipe(recipe, model={"encoder": encoder.model_dump(), "weights": None})


def _check_settings(run: RunDirectory, recipe: Recipe) -> None:
    """Raise InputError if `recipe` changes a setting that the run's checkpoint depends on."""

    def fixed(recipe: Recipe) -> dict[str, Any]:
        optimizer = recipe.optimizer
        return {
            "model.weights": recipe.model.weights,
            "model.weights_fit": recipe.model.weights_fit,
            "model.encoder.weights": recipe.model.encoder.weights,
            "training.monitor": recipe.training.monitor,  # it decided which epoch is best.ckpt
            "optimizer.name": optimizer.name,
            "optimizer.encoder_factor (from or to 1)": optimizer.encoder_factor == 1,
            "optimizer.frozen_stride": optimizer.frozen_stride,
            "optimizer.frozen_norms": optimizer.frozen_norms,
            "loss.auxiliary (from or to 0)": recipe.loss.auxiliary == 0,
        }

    before, now = fixed(with_absolute_paths(load_run_recipe(run.root))), fixed(recipe)
    changed = [key for key in before if before[key] != now[key]]
    if changed:
        raise InputError(
            f"{', '.join(changed)}: cannot change on --resume, which continues from a checkpoint"
            " with its optimiser's state. Start a new run from this one's best weights: --set"
            f" model.weights={run.root}"
        )
