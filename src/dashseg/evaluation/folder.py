"""The files of an evaluation, and the folder they go to, which never holds other data's results."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.files import read_json, sha256
from dashseg.outputs import Record, entries
from dashseg.run_directory import WEIGHTS, RunDirectory

METRICS, PER_IMAGE, REPORT = "metrics.json", "per_image.csv", "report"


def default_folder(run: Path, dataset: Dataset, tta: tuple[str, ...]) -> Path:
    """RUN/evaluation/DATA-SPLIT, with the test-time augmentation if any.

    An earlier evaluation of the same frames may be there. If one of other frames is (another
    folder of the same name, other cameras, labels changed since), the name gets -2, -3, ….
    """
    name = Path(dataset.root).resolve().name.replace(":", "-")
    name = "-".join([name, Path(dataset.split).stem, *tta])
    folders = run / "evaluation"
    candidates = (folders / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in candidates if not _of_other_data(folder, dataset))


def is_evaluated(run: Path, dataset: Dataset, tta: tuple[str, ...]) -> bool:
    """Whether the run's present weights have been evaluated on these frames."""
    metrics, weights = (
        default_folder(run, dataset, tta) / METRICS,
        RunDirectory(run).model / WEIGHTS,
    )
    if not (metrics.is_file() and weights.is_file()):
        return False
    return bool(read_json(metrics).get("weights") == sha256(weights))


def _of_other_data(folder: Path, dataset: Dataset) -> bool:
    """Whether the results there are of other frames, are not ours, or cannot be read."""
    if not entries(folder):
        return False
    try:
        check_out(folder)
        if not (folder / METRICS).is_file():  # stopped while it was moved into place
            return False
        return bool(read_json(folder / METRICS)["data"]["fingerprint"] != dataset.fingerprint())
    except (InputError, KeyError, TypeError):
        return True


def check_out(out: Path) -> Record:
    """The record of earlier evaluations in `out`.

    Raises:
        InputError: `out` is a file, holds other files and no evaluation that dashseg wrote there,
            or one that was changed since.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise InputError(f"{out} is a file: name a folder for the evaluation")
    record, found = Record(out, "evaluate"), sorted(entries(out))
    if not record.earlier() and found:
        raise InputError(
            f"{out} holds {found[0]} and is no earlier evaluation: name a new or an empty folder"
        )
    return record
