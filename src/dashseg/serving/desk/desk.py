"""What the desk's HTTP API does: a queue of frames, labels and their versions, marks."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dashseg.data.dataset import Dataset, FileDataset, Frame, check_classes
from dashseg.errors import InputError
from dashseg.image_header import JPEG_SIGNATURE, PNG_SIGNATURE, read_header
from dashseg.images import encode_png, image_size, read_bytes, read_image
from dashseg.labels import IGNORE, Label
from dashseg.serving.answers import describe_classes, label_png
from dashseg.serving.desk.edits import Edits, NoVersion, Progress
from dashseg.serving.desk.export import export
from dashseg.serving.desk.frames import UNLABELLED
from dashseg.serving.desk.journal import Edit, Mark
from dashseg.serving.desk.queue import Entry, Order, Scoring, read_picks, read_review
from dashseg.serving.desk.uploads import read_label
from dashseg.serving.desk.whole_data import can_ignore, splits_of

if TYPE_CHECKING:
    from dashseg.inference import Segmenter

State = Literal["open", "done", "all"]
VERDICTS = ("right", "wrong", "unsure")
_SEEN_KEPT = 64  # labels that models saw: some 20 kB each as PNG


class NotFound(InputError):
    """No such frame, version, model or order."""


class Desk:
    """Frames to look at and mend, for any number of people at once.

    Args:
        dataset: what `open_frames` opened.
        edits: the folder that saves go to: new, or that of an earlier desk at the same data.
        models: by name; the first one scores frames and makes the pre-labels.
        review: the folder of a review of these frames; None: the first model scores them.
        picks: the table of `dashseg data select`.
        on_progress: called with (files placed, files in all) when `edits` is made.

    Raises:
        InputError: the data are no files (a pack, drawn scenes); a model has other classes; no
            model for frames without masks; as `Edits`, `read_review` and `read_picks`.
    """

    def __init__(
        self,
        dataset: Dataset,
        edits: Path,
        models: Mapping[str, Segmenter],
        review: Path | None = None,
        picks: Path | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        if not isinstance(dataset, FileDataset):
            raise InputError(
                f"{dataset.root}: its frames are no files that could be mended; name a folder of"
                " frames and masks (dashseg data synth writes drawn scenes to one)"
            )
        for name, segmenter in models.items():
            check_classes(dataset, segmenter.classes, name)
        self.prelabels = dataset.kind == UNLABELLED
        if self.prelabels and not models:
            raise InputError(f"{dataset.root} has no masks, and there is no model to draw some")
        self.dataset, self.models = dataset, dict(models)
        self._index = {name: index for index, name in enumerate(dataset.names)}
        self._orders: dict[str, Order] = {}
        self._fingerprint = dataset.fingerprint()
        if review is not None:
            self._orders["suspects"], self._fingerprint = read_review(review, dataset)
        if picks is not None:
            self._orders["picks"] = read_picks(picks, dataset.names)
        self._splits = splits_of(dataset)
        self._seen: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._busy = threading.Lock()  # one frame at a time goes through a model
        self.scoring: Scoring | None = None
        if review is None and models and not self.prelabels:
            first = next(iter(models.values()))
            self.scoring = Scoring(dataset, first, self._image_and_label, self._busy)
        self.edits = Edits(edits, dataset, on_progress)

    def close(self) -> None:
        """Stop scoring and release the folder of edits."""
        if self.scoring:
            self.scoring.stop()
        self.edits.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def orders(self) -> list[str]:
        """The orders that there are; the first is the one to begin with."""
        suspects = ["suspects"] if self.scoring or "suspects" in self._orders else []
        return [*(name for name in ("picks",) if name in self._orders), *suspects, "files"]

    def info(self) -> dict[str, Any]:
        """What an editor has to know of the data."""
        classes, scoring = self.dataset.classes, self.scoring
        return {
            "id": self.edits.id,
            "data": Path(self.dataset.root).resolve().name,
            "frames": len(self.dataset),
            "classes": describe_classes(classes),
            "ignore": {"id": IGNORE, "colour": "#000000"} if can_ignore(classes) else None,
            "models": list(self.models),
            "orders": self.orders,
            "prelabels": self.prelabels,
            "scoring": {"done": scoring.done, "total": scoring.total} if scoring else None,
        }

    def frames(self, order: str, state: State, offset: int, limit: int) -> dict[str, Any]:
        """A page of the queue. A frame is done once it has a verdict or an edit."""
        entries = self._order(order)
        latest, marks = self.edits.journal.latest(), self.edits.journal.marks()
        chosen = []
        for name, entry in entries.items():
            mark = marks.get(name)
            done = name in latest or (mark is not None and mark.verdict is not None)
            if state == "all" or done == (state == "done"):
                chosen.append((name, entry))
        items = [
            self._item(name, entry, latest.get(name), marks.get(name))
            for name, entry in chosen[offset : offset + limit]
        ]
        return {"total": len(chosen), "items": items}

    def frame(self, index: int) -> dict[str, Any]:
        """All about one frame."""
        frame = self._frame(index)
        journal, (height, width) = self.edits.journal, image_size(frame.image)
        versions, mark = journal.versions(frame.name), journal.marks().get(frame.name)
        edit = versions[-1] if versions else None
        found = [order[frame.name] for order in self._known() if frame.name in order]
        entry = max(found, key=lambda entry: len(entry.regions), default=Entry())
        return {**self._item(frame.name, entry, edit, mark), "width": width, "height": height}

    def image(self, index: int) -> tuple[bytes, str]:
        """The frame's image as a browser shows it at the label's size, and its content type."""
        frame = self._frame(index)
        data = read_bytes(frame.image)
        header = read_header(data)
        if header is not None and header.orientation == 1:
            for signature, kind in ((PNG_SIGNATURE, "image/png"), (JPEG_SIGNATURE, "image/jpeg")):
                if data.startswith(signature):
                    return data, kind
        return encode_png(read_image(frame.image), 1), "image/png"

    def image_tag(self, index: int) -> str:
        """Changes when the frame's image does."""
        path = self._frame(index).image
        try:
            found = path.stat()
        except OSError as error:
            raise NotFound(f"{path}: cannot be read: {error.strerror}") from error
        text = f"{path.resolve()} {found.st_size} {found.st_mtime_ns}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def label(self, index: int, version: int | None = None) -> tuple[bytes, int]:
        """A version of a label as 8-bit grey PNG of ids, and its number; None: the newest."""
        name = self._frame(index).name
        number = self.edits.version(name) if version is None else version
        try:
            return encode_png(self.edits.label(name, number), flat=True), number
        except NoVersion:
            if number or not self.prelabels:
                raise
            return self.seen(index, next(iter(self.models))), 0

    def seen(self, index: int, model: str) -> bytes:
        """What a model sees in a frame: 8-bit grey PNG of ids, at the frame's size."""
        frame = self._frame(index)
        if model not in self.models:
            raise NotFound(f"no model {model!r}; there are {', '.join(self.models) or 'none'}")
        with self._busy:
            key = (model, index)
            if key not in self._seen:
                self._seen[key] = label_png(self.models[model](read_image(frame.image)))
                if len(self._seen) > _SEEN_KEPT:
                    self._seen.popitem(last=False)
            self._seen.move_to_end(key)
            return self._seen[key]

    def save(self, index: int, body: bytes, base: int, by: str) -> Edit:
        """Save a label as the version after `base`; sending the same one twice saves it once.

        Raises:
            Stale: somebody else saved the frame meanwhile.
            InputError: not a label of this frame.
        """
        frame = self._frame(index)
        label = read_label(body, image_size(frame.image), self.dataset.classes)
        seen = None
        if self.prelabels and self.edits.version(frame.name) == 0:
            seen = read_label(self.label(index, 0)[0], label.shape, self.dataset.classes)
        return self.edits.save(frame.name, label, base, by, seen)

    def mark(self, index: int, verdict: str | None, comment: str, by: str) -> dict[str, Any]:
        """Mark a frame; its last mark counts. Returns the frame as `frame` does."""
        self.edits.journal.mark(self._frame(index).name, verdict, comment, by)
        return self.frame(index)

    def history(self, index: int) -> list[dict[str, Any]]:
        """A frame's versions, oldest first."""
        return [
            {"version": e.version, "by": e.by, "time": e.time, "pixels": e.pixels}
            for e in self.edits.journal.versions(self._frame(index).name)
        ]

    def export(self) -> dict[str, Any]:
        """All marks and edits."""
        return export(self.edits, self.dataset.root, self._fingerprint, self._index)

    def _frame(self, index: int) -> Frame:
        if not 0 <= index < len(self.dataset):
            raise NotFound(f"no frame {index}: there are {len(self.dataset)}")
        return self.dataset.frames[index]

    def _known(self) -> list[Order]:
        """The orders with what is known of frames: read, or scored so far."""
        return [*self._orders.values(), *([self.scoring.order()] if self.scoring else [])]

    def _order(self, order: str) -> Order:
        """Every frame of an order."""
        if order not in self.orders:
            raise NotFound(f"no order {order!r}; there are {', '.join(self.orders)}")
        if order == "picks":
            return self._orders["picks"]
        known = self._orders.get("suspects", {})
        if self.scoring:
            if order == "suspects":
                self.scoring.start()
            known = self.scoring.order()
        if order == "files":
            return {name: known.get(name, Entry()) for name in self.dataset.names}
        return known | {name: Entry() for name in self.dataset.names if name not in known}

    def _item(
        self, name: str, entry: Entry, edit: Edit | None, mark: Mark | None
    ) -> dict[str, Any]:
        shown = mark._asdict() if mark and (mark.verdict or mark.comment) else None
        if shown:
            del shown["frame"]
        return {
            "id": self._index[name],
            "name": name,
            "split": self._splits.get(name, ""),
            "score": entry.score,
            "why": entry.why,
            "regions": list(entry.regions),
            "mark": shown,
            "version": edit.version if edit else 0,
            "edited_by": edit.by if edit else None,
            "edited_at": edit.time if edit else None,
        }

    def _image_and_label(self, index: int) -> tuple[Any, Label]:
        frame = self.dataset.frames[index]
        return read_image(frame.image), self.edits.label(frame.name)
