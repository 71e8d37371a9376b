"""The folder of edits: a copy of the data set whose masks follow the journal.

OUT/                            the data set's layout; images are hard links where possible
OUT/.dashseg-desk/journal.sqlite    every version of every label (see `journal`)

A save is in the journal first, then in the mask file, which is replaced whole. Masks are copies
from the start, so no file of the user's is ever written to. A folder of images without masks
becomes images/, masks/ and palette.yaml, and a frame is in it from its first save on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from dashseg.config import DataConfig
from dashseg.curate.check.repair import refuse_taken
from dashseg.data import comma10k
from dashseg.data.dataset import FileDataset, Frame
from dashseg.data.folder import PALETTE
from dashseg.data.sources import find_layout
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

HIDDEN, JOURNAL = f"{MARK}desk", "journal.sqlite"
OUTSIDE = "(changed outside the desk)"  # who made an edit that another program wrote

Progress = Callable[[int, int], None]


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
        self._hidden = self.root / HIDDEN
        self._lock = threading.RLock()  # one save at a time: a mask file is its newest version
        facts = _facts(dataset)
        if not (self._hidden / JOURNAL).is_file():
            _make(out, dataset, facts, on_progress)
        with ExitStack() as stack:
            taken = f"{out}: another server has it open; stop that one, or choose another --edits"
            stack.enter_context(lock(self._hidden / "lock", taken))
            self.journal = Journal(self._hidden / JOURNAL)
            stack.callback(self.journal.close)
            self._check(out, facts)
            frames = {frame.name: frame for frame in dataset.frames}
            for name in self.journal.latest():
                if name in frames:
                    self._settle(frames[name])
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Release the folder."""
        self._stack.close()

    def mask_path(self, frame: Frame) -> Path:
        """Where a frame's mask is in the folder.

        Raises:
            InputError: a symbolic link leads out of the folder.
        """
        return join_inside(self.root, self.mask_name(frame))

    def mask_name(self, frame: Frame) -> str:
        """The path of a frame's mask in the folder."""
        return _as_png(frame.mask.relative_to(self._data)).as_posix()

    def version(self, frame: Frame) -> int:
        """The number of the newest version; 0: as it was drawn."""
        versions = self.journal.versions(frame.name)
        return versions[-1].version if versions else 0

    def label(self, frame: Frame, version: int) -> Label | None:
        """A version of a label; None: there is no such version, or 0 of a frame without a mask.

        Raises:
            InputError: the mask cannot be read.
        """
        kept = self.journal.label(frame.name, version)
        if kept is not None:
            return decode_pixels(kept, f"{frame.name}, version {version}")
        if version or not self._labelled:
            return None
        path = self.mask_path(frame)
        return decode_mask(read_pixels(path), self._classes, str(path))

    def save(
        self, frame: Frame, label: Label, base: int, by: str, seen: Label | None = None
    ) -> Edit:
        """Save a label as the version after `base`.

        Args:
            label: uint8 H×W, of class ids and 255.
            seen: version 0 of a frame without a mask: what the model sees.

        Returns:
            The edit. It is in the journal.

        Raises:
            Stale: `base` is not the newest version; nothing is saved.
            InputError: the palette has no colour for ignored pixels; the disk is full.
        """
        with self._lock:
            first = self._first(frame, seen)
            if first is None:
                self._settle(frame)
                newest = self.journal.versions(frame.name)[-1]
                if (newest.version, newest.by) == (base + 1, by):
                    theirs = self.label(frame, newest.version)
                    if np.array_equal(theirs, label):  # sent again: its answer got lost
                        return newest
            mask = self._encode(frame, label, first)
            kept = first.label if first else self.journal.label(frame.name, base)
            before = label if kept is None else decode_pixels(kept, frame.name)
            changed, digest = int((before != label).sum()), hashlib.sha256(mask).hexdigest()
            edit = self.journal.save(
                frame.name, base, by, encode_png(label), changed, digest, first
            )
            self._write(frame, mask)
        return edit

    def _first(self, frame: Frame, seen: Label | None) -> Drawn | None:
        """Version 0, to be kept with the first save; None: it is kept already."""
        if self.journal.versions(frame.name):
            return None
        if not self._labelled:
            assert seen is not None
            return Drawn(encode_png(seen), "", None)
        path = self.mask_path(frame)
        mask = read_bytes(path)
        label = decode_mask(decode_pixels(mask, str(path)), self._classes, str(path))
        return Drawn(encode_png(label), hashlib.sha256(mask).hexdigest(), mask)

    def _encode(self, frame: Frame, label: Label, first: Drawn | None) -> bytes:
        """The mask file of a label: the drawn one byte for byte if nothing differs from it."""
        name = self.mask_name(frame)
        drawn = self.journal.drawn_mask(frame.name) if first is None else first.mask
        if drawn is None:
            pixels = np.zeros((*label.shape, 3), np.uint8)
            return encode_png(
                mend(pixels, np.full_like(label, UNKNOWN), label, self._classes, name)
            )
        pixels = decode_pixels(drawn, name)
        was = decode_mask(pixels, self._classes, name)
        if np.array_equal(was, label):
            return drawn
        return encode_png(mend(pixels, was, label, self._classes, name))

    def _write(self, frame: Frame, mask: bytes) -> None:
        """Replace a mask file, which a reader sees whole, before or after."""
        path = self.mask_path(frame)
        make_folder(path.parent)
        if not self._labelled:
            image = join_inside(self.root, f"images/{frame.name}{frame.image.suffix}")
            make_folder(image.parent)
            if not image.exists():
                _place(frame.image, image)
        temporary = self._hidden / "mask.tmp"
        with writing_to(path):
            temporary.write_bytes(mask)
            temporary.replace(path)

    def _settle(self, frame: Frame) -> None:
        """Bring a mask file and its journal together.

        A file that lags behind, is missing or damaged is written again. One that another program
        wrote since becomes a version of its own, so that it is not lost.
        """
        versions = self.journal.versions(frame.name)
        if not versions:
            return
        path = self.mask_path(frame)
        found = sha256(path) if path.is_file() else ""
        if found == versions[-1].digest:
            return
        newest = self.label(frame, versions[-1].version)
        assert newest is not None
        if found and found not in (edit.digest for edit in versions):
            with suppress(InputError):  # damaged: the journal has it
                theirs = decode_mask(read_pixels(path), self._classes, str(path))
                if theirs.shape == newest.shape:
                    base, changed = versions[-1].version, int((theirs != newest).sum())
                    png = encode_png(theirs)
                    self.journal.save(frame.name, base, OUTSIDE, png, changed, found, None)
                    return
        self._write(frame, self._encode(frame, newest, None))

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
                f"{out}: frames came to {self._data}, or left it, since these edits began: go on"
                f" with {out} as the data, and a new --edits"
            )


def _make(
    out: Path, dataset: FileDataset, facts: dict[str, str], on_progress: Progress | None
) -> None:
    """Make the folder; it appears whole."""
    root = Path(dataset.root)
    refuse_taken(out, root)
    if root.resolve().is_relative_to(out.resolve()):
        raise InputError(f"{root} is inside {out}: choose a folder elsewhere for the edits")
    with replace_folder(out, last=f"{HIDDEN}/{JOURNAL}") as folder:
        if dataset.kind == UNLABELLED:
            for name in ("images", "masks"):
                make_folder(folder / name)
            write_palette(folder / PALETTE, dataset.classes, "colour")
        else:
            _copy(dataset, folder, on_progress)
        make_folder(folder / HIDDEN)
        journal = Journal(folder / HIDDEN / JOURNAL)
        journal.note(facts)
        journal.close()


def _copy(dataset: FileDataset, folder: Path, on_progress: Progress | None) -> None:
    """All images and masks of the data set, and the small files beside their folders."""
    root = Path(dataset.root)
    for path in sorted(root.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.stat().st_size <= MAX_TEXT:
            shutil.copyfile(path, folder / path.name)
    images, masks = _files(dataset)
    for path in (*images.values(), *masks.values()):
        make_folder((folder / path.relative_to(root)).parent)
    for done, path in enumerate((*images.values(), *masks.values()), 1):
        target = folder / path.relative_to(root)
        if done <= len(images):
            _place(path, target)
        elif _as_png(target) == target:
            shutil.copyfile(path, target)
        else:  # so that a save replaces it
            _as_png(target).write_bytes(encode_png(read_pixels(path)))
        if on_progress:
            on_progress(done, len(images) + len(masks))


def _place(image: Path, target: Path) -> None:
    """A hard link, so that the folder needs no space; a copy where that is another disk."""
    try:
        place_file(image, target, "hard")
    except InputError:
        place_file(image, target, "copy")


def _as_png(path: Path) -> Path:
    return path if path.suffix.lower() == ".png" else path.with_suffix(".png")


def _files(dataset: FileDataset) -> tuple[dict[str, Path], dict[str, Path]]:
    """Name -> image and name -> mask, of the whole data set that the frames are of."""
    if dataset.kind == UNLABELLED:
        return {frame.name: frame.image for frame in dataset.frames}, {}
    root = Path(dataset.root)
    _, layout = find_layout(dataset.root, dataset.kind)
    config = DataConfig(root=dataset.root)
    if layout is comma10k:
        parts = comma10k.parts_in(root)
        whole = tuple(part for part in parts if (root / comma10k.MASKS_OF[part]).is_dir())
        config = DataConfig(root=dataset.root, parts=whole)
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for pair in layout.folders(root, config):
        images.update(pair.image_files())
        masks.update(pair.mask_files())
    return images, masks


def _facts(dataset: FileDataset) -> dict[str, str]:
    """What tells one data set from another."""
    images, masks = _files(dataset)
    names = "\n".join(sorted(images))
    sizes = "\n".join(
        f"{name} {path.stat().st_size}" for files in (images, masks) for name, path in files.items()
    )
    return {
        "root": str(Path(dataset.root).resolve()),
        "kind": dataset.kind,
        "classes": json.dumps([dataset.classes.names, dataset.classes.colours]),
        "names": hashlib.sha256(names.encode()).hexdigest(),
        "files": hashlib.sha256(sizes.encode()).hexdigest(),
    }
