"""Models + labelled frames -> the folder of a review.

OUT/suspects.csv       every frame, worst first
OUT/regions.csv        their regions, in the same order
OUT/index.html         the worst frames to look through and mark, with pictures/
OUT/proposals/         for each of those a mask as the model would have drawn it
OUT/review.json        what was done with what; written last
OUT/folds/             the models, if they were trained for this review: see folds.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dashseg
from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.files import write_json
from dashseg.labels import Classes
from dashseg.outputs import Record, entries
from dashseg.review.folds import FOLDS
from dashseg.review.page import PAGE, PICTURES, PROPOSALS, write_page
from dashseg.review.regions import SMALLEST, SURE, Region
from dashseg.review.scores import LEAST, POWER, RAREST
from dashseg.review.suspects import (
    Judge,
    Part,
    Suspect,
    Suspects,
    find_suspects,
    judge_here,
)
from dashseg.tables import read_table, table_writer

FACTS, SUSPECTS, REGIONS = "review.json", "suspects.csv", "regions.csv"
_OWN = (SUSPECTS, REGIONS, PAGE, PICTURES, PROPOSALS)  # moved into place before FACTS


def check_out(out: Path, folds: bool) -> None:
    """Refuse an output folder that holds anything but folds of a review to resume.

    Raises:
        InputError: it holds something else, or a finished review.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a folder for the review")
    found = entries(out)
    if FACTS in found:
        raise InputError(f"{out} holds a finished review: choose another --out")
    if FOLDS in found and not folds:
        raise InputError(
            f"{out} holds the folds of a review that was stopped: rerun the same command as"
            " then, or choose another --out"
        )
    if strays := sorted(found - {FOLDS, *(_OWN if _record(out).earlier() else ())}):
        raise InputError(f"{out} holds {strays[0]}: name a new or an empty folder")


def write_review(
    out: Path,
    dataset: Dataset,
    parts: Sequence[Part],
    top: int = 100,
    on_progress: Callable[[int, int], None] | None = None,
    judge: Judge = judge_here,
) -> dict[str, Any]:
    """Review frames and write all but the folds.

    Args:
        out: passed by `check_out`.
        dataset: all the frames.
        parts: the same frames with the model that reviews them; with folds, the one that was not
            trained on them.
        top: how many frames are shown, and have a proposal.
        on_progress: called with (frames done, frames in all).
        judge: does the work.

    Returns:
        What review.json holds.

    Raises:
        InputError: as `find_suspects`; `out` cannot be written.
    """
    with _record(out).replacing(last=FACTS) as folder:
        with tempfile.TemporaryFile(dir=folder) as lines:
            suspects = find_suspects(parts, lines, top, on_progress, judge)
            regions = _write_tables(folder, suspects, dataset.classes)
        worst = suspects.worst()
        facts = _facts(dataset, parts, suspects, regions, len(worst))
        write_page(folder, facts, parts, worst)
        write_json(folder / FACTS, facts)
    return facts


def read_worst(out: Path, count: int) -> list[dict[str, str]]:
    """The first rows of a review's suspects.csv."""
    return read_table(out / SUSPECTS)[:count]


def _record(out: Path) -> Record:
    """What a review that was stopped while it was moved into place has left."""
    return Record(out, "review")


_REGION_COLUMNS = ("drawn", "seen", "area", "left", "top", "right", "bottom", "confidence", "score")


def _write_tables(folder: Path, suspects: Suspects, classes: Classes) -> int:
    """Write suspects.csv and regions.csv; returns how many regions there are."""
    count = 0
    with (
        (folder / SUSPECTS).open("w", encoding="utf-8", newline="") as frames_file,
        (folder / REGIONS).open("w", encoding="utf-8", newline="") as regions_file,
    ):
        write_frame, write_region = table_writer(frames_file), table_writer(regions_file)
        first = [f"region_{column}" for column in _REGION_COLUMNS]
        write_frame(["rank", "name", "score", "mean_probability", "fold", "regions", *first])
        write_region(["rank", "name", "region", *_REGION_COLUMNS])
        for rank, suspect in enumerate(suspects.in_order(), 1):
            write_frame([rank, *_frame_row(suspect, classes)])
            for number, region in enumerate(suspect.regions, 1):
                write_region([rank, suspect.name, number, *_region_row(region, classes)])
            count += len(suspect.regions)
    return count


def _frame_row(suspect: Suspect, classes: Classes) -> list[Any]:
    numbers = ("" if v is None else f"{v:.6f}" for v in (suspect.score, suspect.mean))
    fold = "" if suspect.fold is None else suspect.fold
    worst = (
        _region_row(suspect.regions[0], classes) if suspect.regions else [""] * len(_REGION_COLUMNS)
    )
    return [suspect.name, *numbers, fold, len(suspect.regions), *worst]


def _region_row(region: Region, classes: Classes) -> list[Any]:
    names = classes.names[region.drawn], classes.names[region.seen]
    return [*names, region.area, *region.box, f"{region.confidence:.4f}", f"{region.score:.4f}"]


def _facts(
    dataset: Dataset, parts: Sequence[Part], suspects: Suspects, regions: int, shown: int
) -> dict[str, Any]:
    thresholds = zip(dataset.classes.names, suspects.thresholds(), strict=True)
    return {
        "schema": 1,
        "data": {
            "root": dataset.root,
            "kind": dataset.kind,
            "split": dataset.split,
            "images": len(dataset),
            "unlabelled": suspects.unlabelled,
            "fingerprint": dataset.fingerprint(),
        },
        "models": [part.segmenter.name for part in parts],
        "out_of_fold": all(part.fold is not None for part in parts),
        "classes": list(dataset.classes.names),
        "score": {"power": POWER, "least_probability": LEAST, "rarest_share": RAREST},
        "regions": {
            "count": regions,
            "pixel_threshold": SURE,
            "smallest_share": SMALLEST,
            "thresholds": {name: float(least) for name, least in thresholds},
        },
        "shown": shown,
        "dashseg": dashseg.__version__,
    }
