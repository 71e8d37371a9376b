"""In which order to look at frames: worst first, as picked, or as they come."""

from __future__ import annotations

import logging
import math
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dashseg.data.dataset import Dataset
from dashseg.errors import InputError
from dashseg.files import read_json
from dashseg.labels import Classes, Image, Label
from dashseg.review.output import FACTS, REGIONS, SUSPECTS
from dashseg.tables import read_table

if TYPE_CHECKING:
    from dashseg.inference import Segmenter


@dataclass(frozen=True)
class Entry:
    """Why a frame is where it is in an order.

    Args:
        score: 0 to 1. Of a label: the lower the worse; of a pick: how unsure the model is. None:
            not scored.
        why: one sentence.
        regions: {"number", "drawn", "seen" (class ids), "area", "box"}, the heaviest first.
    """

    score: float | None = None
    why: str | None = None
    regions: tuple[dict[str, Any], ...] = ()


Order = dict[str, Entry]  # names in their order


def read_review(folder: Path, dataset: Dataset) -> tuple[Order, str]:
    """The order of a review's tables, and the fingerprint that its marks are to carry.

    Raises:
        InputError: not a review, or of other frames or masks.
    """
    facts = read_json(folder / FACTS)
    reviewed = facts.get("data") if isinstance(facts, dict) else None
    if not isinstance(reviewed, dict):
        raise InputError(f"{folder / FACTS}: not a review's")
    rows = read_table(folder / SUSPECTS)
    try:
        names = [row["name"] for row in rows]
        regions = _regions(folder, dataset.classes)
        scores = [_number(row["score"]) for row in rows]
    except (KeyError, ValueError) as error:
        raise InputError(f"{folder}: not the tables that a review writes ({error})") from error
    same = dataset.select(names, "all").fingerprint() == reviewed.get("fingerprint")
    if not same:
        raise InputError(
            f"{folder}: a review of other frames or masks than those of {dataset.root}"
        )
    order = {}
    for name, score in zip(names, scores, strict=True):
        own = tuple(regions.get(name, ()))
        order[name] = Entry(score, _why(own, dataset.classes), own)
    return order, str(reviewed.get("fingerprint"))


def read_picks(path: Path, names: Sequence[str]) -> Order:
    """The order of a table that `dashseg data select` wrote.

    Raises:
        InputError: not such a table, or none of its frames is in the data.
    """
    rows = read_table(path)
    known = set(names)
    try:
        picks = {
            unicodedata.normalize("NFC", row["name"]): Entry(  # as the names of frames are
                _number(row.get("score", "")), row.get("why") or None
            )
            for row in rows
        }
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not the table that data select writes ({error})") from error
    order = {name: entry for name, entry in picks.items() if name in known}
    if not order:
        raise InputError(f"{path}: none of its {len(picks)} frames is in the data")
    return order


class Scoring:
    """Scores frames in a thread of its own, one after the other.

    Args:
        read: index -> image and label, as they are now.
    """

    def __init__(
        self,
        dataset: Dataset,
        segmenter: Segmenter,
        read: Callable[[int], tuple[Image, Label]],
        busy: threading.Lock,
    ) -> None:
        self.total = len(dataset)
        self.done = 0
        self._names, self._classes = dataset.names, dataset.classes
        self._segmenter, self._read, self._busy = segmenter, read, busy
        self._found: Order = {}
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)

    def start(self) -> None:
        """Begin, unless it has begun."""
        with self._lock:
            if self._thread.ident is None and not self._stop.is_set():
                self._thread.start()

    def stop(self) -> None:
        """End after the frame that it is at."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def order(self) -> Order:
        """What is scored so far, worst first; frames without a labelled pixel last."""
        with self._lock:
            found = list(self._found.items())
        worst = sorted(found, key=lambda item: np.inf if item[1].score is None else item[1].score)
        return dict(worst)

    def _run(self) -> None:
        for index, name in enumerate(self._names):
            if self._stop.is_set():
                return
            try:
                image, label = self._read(index)
                with self._busy:
                    entry = score_frame(self._segmenter, image, label, self._classes)
            except InputError as error:
                entry = Entry(None, str(error))
            except Exception:  # out of memory, for one: the other frames are still scored
                logging.getLogger("dashseg.serving").exception("%s cannot be scored", name)
                entry = Entry(None, "cannot be scored; the server's log says why")
            with self._lock:
                self._found[name] = entry
                self.done = index + 1


def score_frame(segmenter: Segmenter, image: Image, label: Label, classes: Classes) -> Entry:
    """How well a model agrees with a label, and where it does not.

    Raises:
        InputError: logits that are not finite.
    """
    from dashseg.review.scores import frame_score
    from dashseg.review.suspects import look_at  # brings PyTorch in

    seen = look_at(segmenter, image, label)
    regions = tuple(
        {
            "number": region.number,
            "drawn": region.drawn,
            "seen": region.seen,
            "area": region.area,
            "box": list(region.box),
        }
        for region in seen.found.regions
    )
    return Entry(frame_score(seen.probabilities, seen.small), _why(regions, classes), regions)


def _regions(folder: Path, classes: Classes) -> dict[str, list[dict[str, Any]]]:
    ids = {name: class_id for class_id, name in enumerate(classes.names)}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read_table(folder / REGIONS):
        region = {
            "number": int(row["region"]),
            "drawn": ids[row["drawn"]],
            "seen": ids[row["seen"]],
            "area": int(row["area"]),
            "box": [int(row[side]) for side in ("left", "top", "right", "bottom")],
        }
        found.setdefault(row["name"], []).append(region)
    return found


def _number(cell: str) -> float | None:
    """A cell's number; None: it is empty, or no number that JSON has."""
    number = float(cell) if cell else math.nan
    return number if math.isfinite(number) else None


def _why(regions: Sequence[dict[str, Any]], classes: Classes) -> str | None:
    if not regions:
        return None
    worst = regions[0]
    drawn, seen = classes.names[worst["drawn"]], classes.names[worst["seen"]]
    return f"{worst['area']} pixels drawn as {drawn} look like {seen}"
