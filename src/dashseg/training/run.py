"""Recipe + data -> a run directory: `train_run`, and `resume_run` for one that was stopped."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from dashseg.config import Recipe, load_run_recipe
from dashseg.files import write_text
from dashseg.run_directory import RunDirectory
from dashseg.training.checkpoints import clear_unfinished, fitting
from dashseg.training.devices import training_device
from dashseg.training.environment import describe_environment, note_resume, read_environment
from dashseg.training.failures import Finished, Interrupted, explained
from dashseg.training.loop import Loop
from dashseg.training.plan import Say, make_plan, new_network, open_frames
from dashseg.training.processes import Processes, launched
from dashseg.training.resume import choose_checkpoint, network_so_far

__all__ = ["Finished", "Interrupted", "resume_run", "train_run"]


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
        then: called by the first process after the training, while it still holds the run's
            lock.

    Raises:
        InputError: device, data, recipe or output folder cannot be used; a loss that is not finite.
        Interrupted: by Ctrl-C, once there is a run directory.

    Under torchrun every process calls this; only the first one writes and prints.
    """
    run, processes = RunDirectory(root), launched()
    say = say if processes.first else _say_nothing
    chosen = training_device(device, processes)
    if processes.first:
        run.check_free()
    frames = open_frames(recipe)
    network = new_network(frames.recipe, frames.train.classes, say)
    plan = make_plan(frames, network, chosen, processes, say)
    del network
    if processes.first:
        environment = describe_environment(argv, plan.recipe.training.seed, frames.describe())
        run.create(plan.recipe.to_yaml(), environment | {"resumed": []})
    with run.held() if processes.first else nullcontext():
        with explained(run.root):
            Loop(plan, run).fit()
        del plan
        _call_then(then, processes)
    return run


def resume_run(
    root: Path,
    overrides: Sequence[str] = (),
    say: Say = print,
    device: str = "auto",
    then: Callable[[], None] | None = None,
) -> RunDirectory:
    """Resume a run from its last checkpoint, if it has one, by its own recipe.

    It ends with the weights that it would have had without the stop: bit for bit on a CPU.

    Args:
        overrides: changes to the recipe, such as "training.epochs=80".
        device: as `train_run` takes it; not recorded: it may change on each resume.
        then: as `train_run` takes it.

    Raises:
        Finished: there is nothing left to train.
        InputError: not a run, one that another process trains, settings that cannot change on
            resume, or as `train_run`. The run's recipe changes only once a batch was trained on
            with the new one.
        Interrupted: by Ctrl-C.
    """
    run, processes = RunDirectory(root), launched()
    say = say if processes.first else _say_nothing
    chosen = training_device(device, processes)
    run.check_resumable()
    with run.held() if processes.first else nullcontext():
        if processes.first:
            clear_unfinished(run.root, run.last.parent, run.model)
            read_environment(run)  # an error now, not after the first batch
        checkpoint = choose_checkpoint(run, processes, say)
        # Not before the choice: until the first process holds the run, another may change it.
        frames = open_frames(load_run_recipe(root, overrides))
        network = network_so_far(run, frames, checkpoint, say)
        plan = make_plan(frames, network, chosen, processes, say)

        def note() -> None:
            data, seed = frames.describe(), frames.recipe.training.seed
            note_resume(run, describe_environment(overrides, seed, data))
            if overrides:
                write_text(run.recipe, frames.recipe.to_yaml())

        with explained(run.root):
            loop = Loop(plan, run, after_first_batch=note if processes.first else None)
            if checkpoint is not None:
                with fitting(checkpoint.path):
                    loop.load_state_dict(checkpoint.content)
            del checkpoint  # as large as network and optimiser together
            loop.fit()
        del plan, network, loop  # frees their memory for `then`
        _call_then(then, processes)
    return run


def _call_then(then: Callable[[], None] | None, processes: Processes) -> None:
    gc.collect()
    if then is not None and processes.first:
        then()


def _say_nothing(text: str) -> None:
    """What all processes but the first have to say."""
