"""Frame names -> folds, and for each fold one model that was not trained on its frames.

OUT/folds/plan.json    what the folds were made from; a call that resumes must agree with it
OUT/folds/1.json       split file of fold 1: its model trains on "train" and reviews "val"
OUT/folds/1/           the run
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dashseg.config import Recipe, change_recipe
from dashseg.data import Dataset
from dashseg.data.frame_names import parse_name
from dashseg.errors import InputError
from dashseg.files import make_folder, read_json, write_json
from dashseg.inference import load
from dashseg.review.suspects import Part

FOLDS = "folds"
_PLAN = "plan.json"
# Settings that do not change a fold's model; root and split are the plan's own.
_IRRELEVANT: Any = {"data": {"root", "split", "placement", "workers"}, "evaluation": True}
_LONGEST = 1.5  # times a fold's even share; a longer drive is cut
_STRETCHES = 5  # per fold, where names tell no drives: few, since each cut separates neighbours


@dataclass(frozen=True)
class Fold:
    """Frames that one model is trained on, and those that it reviews; in the data's order."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def make_folds(names: Sequence[str], count: int, seed: int) -> list[Fold]:
    """Share frames out so that each group of neighbours is held out whole, exactly once.

    Raises:
        InputError: fewer than 2 folds, or more than there are frames.
    """
    if count < 2:
        raise InputError(
            f"--folds {count}: a model cannot review frames it was trained on: use 2 or more"
        )
    if count > len(names):
        raise InputError(f"--folds {count}: there are {len(names)} frames to share out")
    groups = neighbours(names, count)
    shuffled = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    fold_of: dict[str, int] = {}
    sizes = [0] * count
    for group in sorted(shuffled, key=len, reverse=True):
        smallest = sizes.index(min(sizes))
        fold_of.update(dict.fromkeys(group, smallest))
        sizes[smallest] += len(group)
    return [
        Fold(
            train=tuple(name for name in names if fold_of[name] != fold),
            held_out=tuple(name for name in names if fold_of[name] == fold),
        )
        for fold in range(count)
    ]


def neighbours(names: Sequence[str], count: int) -> list[list[str]]:
    """Frames that look alike and share their mistakes, in at least `count` groups.

    A drive is a group. A drive much longer than a fold's share is cut at a pause; so are the
    longest drives if there are fewer than `count`. Names that tell no drive may still be frames of
    one video: they are cut, in order, into stretches, and each fold gets a few of those.
    """
    drives: dict[str, list[_Timed]] = {}
    others: list[str] = []
    for name in names:
        parsed = parse_name(name)
        if parsed is None:
            others.append(name)
        else:  # a segment's number comes last in it: the shorter name is the earlier segment
            timed = _Timed(len(parsed.segment), parsed.segment, parsed.frame, name)
            drives.setdefault(parsed.route, []).append(timed)
    others.sort()
    length = max(1, math.ceil(len(others) / (_STRETCHES * count)))
    groups = [others[at : at + length] for at in range(0, len(others), length)]
    whole = [sorted(drive) for drive in drives.values()]
    while whole:
        longest = max(whole, key=len)
        if len(groups) + len(whole) >= count and len(longest) <= _LONGEST * len(names) / count:
            break
        whole.remove(longest)
        at = _pause(longest)
        whole += [longest[:at], longest[at:]]
    return groups + [[frame.name for frame in drive] for drive in whole]


class _Timed(NamedTuple):
    """A frame of a drive; they sort by time."""

    digits: int
    segment: str
    frame: int
    name: str


def _pause(drive: Sequence[_Timed]) -> int:
    """Where to cut a drive: the longest pause in its middle third, of equals the most central."""
    third = max(1, len(drive) // 3)

    def rank(at: int) -> tuple[float, float]:
        before, after = drive[at - 1], drive[at]
        same = before.segment == after.segment
        pause = after.frame - before.frame if same else math.inf
        return pause, -abs(at - len(drive) / 2)

    return max(range(third, 2 * third), key=rank)


def plan_folds(
    folder: Path, dataset: Dataset, recipe: Recipe, seed: int, folds: Sequence[Fold]
) -> None:
    """Write the plan and the split files; if training has started, compare with the plan there.

    Args:
        folder: OUT/folds.
        dataset: the frames that the folds share out.
        seed: what `make_folds` was given.

    Raises:
        InputError: training has started there with other data, or another recipe, number or seed;
            not writable.
    """
    plan: dict[str, Any] = {
        "data": dataset.root,
        "fingerprint": dataset.fingerprint(),
        "frames": len(dataset),
        "folds": len(folds),
        "seed": seed,
        "recipe": recipe.model_dump(mode="json", exclude=_IRRELEVANT),
    }
    make_folder(folder)
    path = folder / _PLAN
    if path.is_file() and any(folder.glob("*/recipe.yaml")):
        earlier = read_json(path)
        other = [
            key for key in plan if not isinstance(earlier, dict) or earlier.get(key) != plan[key]
        ]
        if other:
            raise InputError(
                f"{folder} holds folds that were started with another {other[0]}:"
                " rerun the same command as then, or choose another --out"
            )
    for number, fold in enumerate(folds, 1):
        split = {"train": list(fold.train), "val": list(fold.held_out)}
        write_json(folder / f"{number}.json", split)
    write_json(path, plan)


def review_parts(
    out: Path,
    dataset: Dataset,
    recipe: Recipe,
    count: int,
    seed: int = 0,
    say: Callable[[str], None] = print,
    device: str = "auto",
) -> list[Part]:
    """Share the frames out into folds, train the models that are missing, and pair both.

    Args:
        out: the review's folder; the folds lie in `out`/folds.
        count: how many folds.
        device: as `train_run` takes it.

    Raises:
        InputError: as `make_folds`, `plan_folds` and `train_folds`.
        Interrupted: by Ctrl-C; another call resumes.
    """
    from dashseg.training.devices import training_device

    training_device(device)  # an error here leaves nothing on the disk
    folds = make_folds(dataset.names, count, seed)
    plan_folds(out / FOLDS, dataset, recipe, seed, folds)
    train_folds(out / FOLDS, recipe, folds, say, device)
    return parts_of_folds(out / FOLDS, dataset, folds, device)


def train_folds(
    folder: Path,
    recipe: Recipe,
    folds: Sequence[Fold],
    say: Callable[[str], None] = print,
    device: str = "auto",
) -> list[Path]:
    """Train each fold's model: skip a trained one, resume a stopped one.

    Args:
        folder: OUT/folds, planned by `plan_folds`.
        recipe: with `data.root` set.
        device: as `train_run` takes it.

    Returns:
        The runs, in the folds' order.

    Raises:
        InputError: as `train_run`.
        Interrupted: by Ctrl-C; another call resumes.
    """
    from dashseg.run_directory import RunDirectory
    from dashseg.training.run import resume_run, train_run

    runs = []
    for number in range(1, len(folds) + 1):
        run = RunDirectory(folder / str(number))
        runs.append(run.root)
        if run.model.is_dir():
            say(f"fold {number} of {len(folds)}: trained already")
            continue
        say(f"fold {number} of {len(folds)}")
        if run.recipe.is_file():
            resume_run(run.root, say=say, device=device)
        else:
            of_fold = _of_fold(recipe, folder / f"{number}.json")
            train_run(of_fold, run.root, say=say, device=device)
        if not run.model.is_dir():
            raise InputError(
                f"{run.root}: the training ended without a model: no frame of this fold"
                " has a labelled pixel. Ask for fewer folds"
            )
    return runs


def parts_of_folds(
    folder: Path, dataset: Dataset, folds: Sequence[Fold], device: str = "auto"
) -> list[Part]:
    """Each fold's frames with the model that was not trained on them.

    Args:
        folder: OUT/folds, trained by `train_folds`.

    Raises:
        InputError: a model cannot be loaded.
    """
    return [
        Part(
            load(folder / str(number), device=device),
            dataset.select(fold.held_out, dataset.split),
            number,
        )
        for number, fold in enumerate(folds, 1)
    ]


def _of_fold(recipe: Recipe, split: Path) -> Recipe:
    """The recipe for one fold. It keeps the last epoch's model, so a model means: trained.

    The best epoch would be chosen by the very labels that are under review.
    """
    epochs = recipe.training.epochs
    return change_recipe(recipe, data={"split": split}, training={"validate_every": epochs})
