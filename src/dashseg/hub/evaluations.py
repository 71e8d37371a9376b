"""metrics.json files of a model -> what its card says of its scores."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashseg.config import Recipe
from dashseg.curate.split.choose import LEVELS, group_of
from dashseg.data import open_training_set
from dashseg.errors import InputError
from dashseg.evaluation.folder import METRICS, PER_IMAGE
from dashseg.files import read_json, read_text

_EVALUATIONS = "evaluation"  # of a run
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Evaluation:
    """One metrics.json, in the words of the card.

    Args:
        data: the data set's name, without the folders before it, which are private.
        kind: its layout, such as "comma10k".
        notes: what a reader must know before comparing the scores.
    """

    data: str
    kind: str
    split: str
    images: int
    miou: float | None
    miou_95: Interval
    cross_entropy: float | None
    cross_entropy_95: Interval
    iou: dict[str, float | None]
    notes: tuple[str, ...]


def find_evaluations(
    run: Path | None, given: Sequence[Path], weights: str, recipe: Recipe | None, training: Any
) -> list[Evaluation]:
    """The evaluations of these weights: those of the run that fit, and those that the user names.

    Args:
        given: metrics.json files, or the folders that hold them.
        weights: SHA-256 of model.safetensors.
        recipe: the run's, to compare its training frames with the evaluated ones.
        training: `data` of the run's environment.json.

    Raises:
        InputError: a given file is not a metrics.json, or is of other weights.
    """
    found = []
    files = sorted((run / _EVALUATIONS).glob(f"*/{METRICS}")) if run else []
    for path, asked in (*((path, False) for path in files), *((path, True) for path in given)):
        file = path / METRICS if path.is_dir() else path
        values = read_json(file)
        if not isinstance(values, dict) or values.get("schema") != 1 or "iou" not in values:
            raise InputError(f"{file}: not a metrics.json of `dashseg evaluate`")
        if values.get("weights") == weights:
            found.append(_evaluation(file, values, recipe, training))
        elif asked:
            raise InputError(
                f"{file}: scores of other weights than these: run `dashseg evaluate` again"
            )
    return found


def _evaluation(file: Path, values: dict[str, Any], recipe: Recipe | None, training: Any) -> Any:
    try:
        data, intervals = values["data"], values["intervals"]
        return Evaluation(
            data=Path(data["root"]).name,
            kind=data["kind"],
            split=Path(data["split"]).stem,
            images=int(data["images"]),
            miou=values["miou"],
            miou_95=intervals["miou_95"] and tuple(intervals["miou_95"]),
            cross_entropy=values["ce"]["native"],
            cross_entropy_95=intervals["ce_native_95"] and tuple(intervals["ce_native_95"]),
            iou=dict(values["iou"]),
            notes=tuple(_notes(file, values, recipe, training)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: damaged: run `dashseg evaluate` again") from error


def _notes(file: Path, values: dict[str, Any], recipe: Recipe | None, training: Any) -> list[str]:
    data, notes = values["data"], []
    known = training if isinstance(training, dict) else {}
    if data["fingerprint"] == (known.get("train") or {}).get("fingerprint"):
        notes.append("**The model was trained on these frames.**")
    elif data["fingerprint"] == (known.get("val") or {}).get("fingerprint"):
        notes.append("These frames were held out of training; they may have chosen the epoch.")
    notes += _shared(file.with_name(PER_IMAGE), recipe)
    if values["tta"]:
        notes.append(f"With test-time augmentation: {', '.join(values['tta'])}.")
    if data.get("resized"):
        notes.append("Frames were resized first: not comparable with scores at their own size.")
    if data.get("unreadable"):
        notes.append(f"{len(data['unreadable'])} frames could not be read and are left out.")
    return notes


def _shared(rows: Path, recipe: Recipe | None) -> list[str]:
    """What the evaluated frames share with the training frames, by their names."""
    if recipe is None or not rows.is_file():
        return []
    try:
        train = open_training_set(recipe.data).names
    except InputError:  # not on this machine
        return ["What these frames share with the training frames was not checked: they are gone."]
    names = [row["name"] for row in csv.DictReader(read_text(rows).splitlines()) if row.get("name")]
    lines = []
    for level in LEVELS:
        there = {group_of(name, level) for name in train} - {None}
        count = sum(group_of(name, level) in there for name in names)
        if there and count:
            lines.append(
                f"{count} of {len(names)} frames share their {level} with training frames."
            )
    if lines or any(group_of(name, "device") for name in names):
        return lines or ["No frame shares its device, route or segment with a training frame."]
    return ["Drives are not known by these names: what they share with training is not known."]
