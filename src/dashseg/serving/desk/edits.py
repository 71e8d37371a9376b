"""The folder of edits: a copy of the data set whose masks follow the journal.

OUT/                                the data set's layout; images are hard links where possible
OUT/.dashseg-desk/journal.sqlite    every version of every label (see `journal`)

A save is in the journal first, then in the mask file, which is replaced whole. Masks are copies
from the start, so no file of the user's is ever written to. A folder of images without masks
becomes images/, masks/ and palette.yaml, and a frame is in it from its first save on.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from dashseg.curate.check.repair import refuse_taken
from dashseg.data.dataset import FileDataset
from dashseg.data.folder import PALETTE
from dashseg.errors import InputError
from dashseg.files import MARK, MAX_TEXT, join_inside, lock, make_folder, sha256, writing_to
from dashseg.formats.importing import write_palette
from dashseg.formats.writing import place_file
from dashseg.images import decode_pixels, encode_png, read_bytes, read_pixels
from dashseg.labels import UNKNOWN, Label, decode_mask
from dashseg.outputs import replace_folder
from dashseg.review.corrections import mend
from dashseg.serving.desk.frames import UNLABELLED
from dashseg.serving.desk.journal import Drawn, Edit, Journal
from dashseg.serving.desk.whole_data import facts_of, whole_data

HIDDEN, JOURNAL = f"{MARK}desk", "journal.sqlite"
OUTSIDE = "(changed outside the desk)"  # who made an edit that another program wrote

Progress = Callable[[int, int], None]
_LOG = logging.getLogger("dashseg.serving")


class NoVersion(InputError):
    """A label has no such version."""


class Edits:
    """The folder, which no other server may have open.

    Args:
        out: a new name, an empty folder, or the folder of an earlier call for the same data.
        dataset: the frames, or some of them: the folder gets the whole data set.
        on_progress: called with (files placed, files in all) when the folder is made.

    Raises:
        InputError: `out` holds something else, or the edits of other data; another server has it
            open; it cannot be written.
    """

    def __init__(
        self, out: Path, dataset: FileDataset, on_progress: Progress | None = None
    ) -> None:
        self.root = out.resolve()
        self._data = Path(dataset.root)
        self._classes = dataset.classes
        self._labelled = dataset.kind != UNLABELLED
        self._images, self._masks = whole_data(dataset)
        self._hidden = self.root / HIDDEN
        self._lock = threading.RLock()  # one save at a time: a mask file is its newest version
        if not (self._hidden / JOURNAL).is_file():
            self._make(out, dataset, on_progress)
        with ExitStack() as stack:
            taken = f"{out}: another server has it open: stop that one, or choose another --edits"
            stack.enter_context(lock(self._hidden / "lock", taken))
            self.journal = Journal(self._hidden / JOURNAL)
            stack.callback(self.journal.close)
            self._check(out, facts_of(dataset, self._images, self._masks))
            if "id" not in self.journal.facts:
                self.journal.note({"id": secrets.token_hex(8)})
            self.id = self.journal.facts["id"]  # no two journals have one
            for name in self.journal.latest().keys() & self._images.keys():
                if self._lags(name):
                    self._write(name, self._encode(name, self.label(name), None))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Release the folder."""
        self._stack.close()

    def mask_name(self, name: str) -> str:
        """The path of a frame's mask in the folder."""
        mask = self._masks.get(name)
        inside = Path("masks", f"{name}.png") if mask is None else mask.relative_to(self._data)
        return _as_png(inside).as_posix()

    def version(self, name: str) -> int:
        """The number of the newest version; 0: as it was drawn."""
        versions = self.journal.versions(name)
        return versions[-1].version if versions else 0

    def label(self, name: str, version: int | None = None) -> Label:
        """A version of a label, None for the newest; uint8 H×W.

        Raises:
            NoVersion: there is no such version, or 0 of a frame that had no mask.
            InputError: the mask cannot be read.
        """
        with self._lock:  # no save comes between the journal and the file
            number = self.version(name) if version is None else version
            kept = self.journal.label(name, number)
            if kept is not None:
                return decode_pixels(kept, f"{name}, version {number}")
            if number or not self._labelled:
                raise NoVersion(f"{name} has no version {number}")
            return self._read(name)

    def save(self, name: str, label: Label, base: int, by: str, seen: Label | None = None) -> Edit:
        """Save a label as the version after `base`. Sent twice by one person, it is saved once.

        The mask file follows. If it cannot be written, it is when the folder is opened again.

        Args:
            label: uint8 H×W, of class ids and 255.
            seen: version 0 of a frame without a mask: what the model sees.

        Returns:
            The edit. It is in the journal.

        Raises:
            Stale: `base` is not the newest version; nothing is saved.
            InputError: the palette has no colour for ignored pixels; the drawn mask is damaged.
        """
        with self._lock:
            first = self._first(name, seen)
            if first is None:
                self._lags(name)
                newest = self.journal.versions(name)[-1]
                sent_again = (newest.version, newest.by) == (base + 1, by)
                if sent_again and np.array_equal(self.label(name), label):
                    return newest
            mask = self._encode(name, label, first)
            kept = first.label if first else self.journal.label(name, base)
            before = label if kept is None else decode_pixels(kept, name)
            changed, digest = int((before != label).sum()), hashlib.sha256(mask).hexdigest()
            edit = self.journal.save(
                name, base, by, encode_png(label, flat=True), changed, digest, first
            )
            try:
                self._write(name, mask)
            except InputError as error:
                _LOG.warning("%s: saved in the journal, but not in the mask: %s", name, error)
        return edit

    def _first(self, name: str, seen: Label | None) -> Drawn | None:
        """Version 0, to be kept with the first save; None: it is kept already."""
        if self.journal.versions(name):
            return None
        if not self._labelled:
            if seen is None:
                raise NoVersion(f"{name} has no version yet: save it as the first one")
            return Drawn(encode_png(seen, flat=True), "", None)
        mask = read_bytes(self._path(name))
        return Drawn(
            encode_png(self._read(name), flat=True), hashlib.sha256(mask).hexdigest(), mask
        )

    def _encode(self, name: str, label: Label, first: Drawn | None) -> bytes:
        """The mask file of a label: the drawn one byte for byte if nothing differs from it."""
        drawn = first.mask if first else self.journal.drawn_mask(name)
        if drawn is None:
            nothing = np.zeros((*label.shape, 3), np.uint8), np.full_like(label, UNKNOWN)
            return encode_png(mend(*nothing, label, self._classes, name), flat=True)
        pixels = decode_pixels(drawn, name)
        was = decode_mask(pixels, self._classes, name)
        if np.array_equal(was, label):
            return drawn
        return encode_png(mend(pixels, was, label, self._classes, name), flat=True)

    def _write(self, name: str, mask: bytes) -> None:
        """Replace a mask file, which a reader sees whole, before or after."""
        path = self._path(name)
        make_folder(path.parent)
        with writing_to(path):
            if not self._labelled:
                image = join_inside(self.root, f"images/{name}{self._images[name].suffix}")
                make_folder(image.parent)
                if not image.exists():
                    _place(self._images[name], image)
            temporary = self._hidden / "mask.tmp"
            temporary.write_bytes(mask)
            temporary.replace(path)

    def _lags(self, name: str) -> bool:
        """Whether the mask file is missing, damaged, or older than the newest version.

        A file that another program wrote becomes the newest version. One that is no mask of this
        frame is moved beside the journal. Nothing is lost.
        """
        versions = self.journal.versions(name)
        path = self._path(name)
        found = sha256(path) if path.is_file() else ""
        if not found or found in (edit.digest for edit in versions):
            return found != versions[-1].digest
        newest = self.label(name)
        theirs: Label | None = None
        with suppress(InputError):  # damaged, or no mask at all
            theirs = self._read(name)
        if theirs is None or theirs.shape != newest.shape:
            with writing_to(path):
                path.replace(self._hidden / f"found-{found[:16]}{path.suffix}")
            return True
        changed = int((theirs != newest).sum())
        base, png = versions[-1].version, encode_png(theirs, flat=True)
        self.journal.save(name, base, OUTSIDE, png, changed, found)
        return False

    def _path(self, name: str) -> Path:
        """Where a frame's mask is; InputError if a symbolic link leads out of the folder."""
        return join_inside(self.root, self.mask_name(name))

    def _read(self, name: str) -> Label:
        path = self._path(name)
        return decode_mask(read_pixels(path), self._classes, str(path))

    def _check(self, out: Path, facts: dict[str, str]) -> None:
        """Raise InputError if the folder was made for other data."""
        known = self.journal.facts
        same = known.get("root") == facts["root"] or known.get("files") == facts["files"]
        if not same or any(known.get(key) != facts[key] for key in ("kind", "classes")):
            raise InputError(
                f"{out} holds the edits of {known.get('root')} ({known.get('kind')}): name its own"
                " data, or another --edits"
            )
        if self._labelled and known.get("names") != facts["names"]:
            raise InputError(
                f"{out}: frames came to {self._data}, or left it, since these edits began: take"
                f" {out} for the data, and a new --edits"
            )

    def _make(self, out: Path, dataset: FileDataset, on_progress: Progress | None) -> None:
        """Make the folder; it appears whole."""
        refuse_taken(out, self._data)
        if self._data.resolve().is_relative_to(self.root):
            raise InputError(f"{self._data} is inside {out}: choose another folder for the edits")
        with replace_folder(out, last=f"{HIDDEN}/{JOURNAL}") as folder:
            if self._labelled:
                self._copy(folder, on_progress)
            else:
                make_folder(folder / "images")
                make_folder(folder / "masks")
                write_palette(folder / PALETTE, dataset.classes, "colour")
            make_folder(folder / HIDDEN)
            journal = Journal(folder / HIDDEN / JOURNAL)
            journal.note(facts_of(dataset, self._images, self._masks))
            journal.close()

    def _copy(self, folder: Path, on_progress: Progress | None) -> None:
        """All images and masks of the data set, and the small files beside their folders."""
        for path in sorted(self._data.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.stat().st_size <= MAX_TEXT:
                shutil.copyfile(path, folder / path.name)
        files = [*self._images.values(), *self._masks.values()]
        for parent in sorted({path.relative_to(self._data).parent for path in files}):
            make_folder(folder / parent)
        for done, path in enumerate(files, 1):
            target = folder / path.relative_to(self._data)
            if done <= len(self._images):
                _place(path, target)
            elif _as_png(target) == target:
                shutil.copyfile(path, target)
            else:  # so that a save replaces it
                _as_png(target).write_bytes(encode_png(read_pixels(path), flat=True))
            if on_progress:
                on_progress(done, len(files))


def _place(image: Path, target: Path) -> None:
    """A hard link, so that the folder needs no space; a copy where that is another disk."""
    try:
        place_file(image, target, "hard")
    except InputError:
        place_file(image, target, "copy")


def _as_png(path: Path) -> Path:
    return path if path.suffix.lower() == ".png" else path.with_suffix(".png")
