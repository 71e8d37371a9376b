"""Fetch the parts asked for from a source into a folder; rerun to resume.

Frames come in batches: the contents of a batch are fetched, then its files are moved into place, so
that a stopped fetch keeps what has arrived. .git/dashseg-fetch.json says what the folder should
contain. On an update, a file is replaced only if it has the content of an earlier commit; every
other file is the user's and stays.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, Field

from dashseg.config import Part
from dashseg.curate.fetch.git import (
    Clone,
    Tree,
    check_git,
    local_folder,
    local_sizes,
    newest_commit,
)
from dashseg.data.comma10k import MASKS_OF
from dashseg.data.dataset import listed
from dashseg.errors import InputError
from dashseg.files import lock, read_json, write_json, writing_to

COMMA10K_URL = "https://github.com/commaai/comma10k.git"

_OURS = "dashseg-fetch"  # prefix of our own names in .git
_RECORD = f".git/{_OURS}.json"
_ROOM = 1 << 26  # bytes left free on the disk: git's index, and the user's other programs
# Bytes of a file by folder, for sources that do not tell sizes: mean of 8 pairs of comma10k's imgs,
# scaled to the pixels of the other parts.
_TYPICAL_SIZES = {
    "imgs": 610_000, "imgs2": 1_400_000, "imgsd": 1_400_000,
    "masks": 11_200, "masks2": 25_600, "masksd": 25_600,
}  # fmt: skip


@dataclass(frozen=True)
class PartFiles:
    """What there is of one part."""

    part: Part
    images: int
    masks: int
    pairs: int  # names that have both


@dataclass(frozen=True)
class Fetched:
    """A complete folder, and what this run did to it."""

    root: str
    source: str
    commit: str
    earlier: str | None  # the commit that was complete here before, if it was another
    parts: tuple[PartFiles, ...]
    files: int  # with those at the repository's root
    bytes: int
    written: int  # files that were not there
    replaced: int  # files that had the content of an earlier commit
    removed: int  # files that the commit no longer has
    kept: tuple[str, ...]  # changed by somebody else, and left as they are

    @property
    def nothing_to_do(self) -> bool:
        return not (self.written or self.replaced or self.removed)

    def to_dict(self) -> dict[str, Any]:
        """The JSON, schema 1."""
        return {"schema": 1, **asdict(self)}


class _Record(BaseModel):
    """What a folder should contain."""

    source: str
    parts: tuple[Part, ...]
    commits: tuple[Annotated[str, Field(pattern="^[0-9a-f]{40}$")], ...] = ()  # the newest last
    whole: bool = False  # if not, there may be files of each of the commits

    @property
    def folders(self) -> list[str]:
        return [folder for part in self.parts for folder in (part, MASKS_OF[part])]

    def write(self, root: Path) -> None:
        write_json(root / _RECORD, {"schema": 1, **self.model_dump()})


def fetch(
    root: Path,
    source: str | None = None,
    parts: Sequence[Part] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    batch: int = 256,
    patience: float = 10.0,
) -> Fetched:
    """Bring some parts of the newest commit into a folder, or update the folder to it.

    Args:
        root: a new or empty folder, or one of an earlier fetch.
        source: URL or path of a git repository laid out like comma10k; by default the folder's own,
            else COMMA10K_URL.
        parts: which cameras, in addition to those that the folder has; by default its own, else
            "imgs".
        on_progress: called with (files done, files to do).
        on_note: called with a line for the user.
        batch: files in one request, 80 MB of comma10k at 256: what a stopped run fetches again.
        patience: seconds to wait for another fetch there, as git ends later than a killed run.

    Raises:
        InputError: no git, no such source or part, a folder that holds something else, a source
            with paths that lead out of the folder, a disk too small, another fetch at work there,
            or a failed transfer.
    """
    note = on_note or (lambda line: None)
    root = root.absolute()
    check_git()
    record = _wanted(root, source, parts)
    commit = newest_commit(record.source)
    existed = root.exists()
    taken = f"{root}: another process fetches to it; or the git of a stopped one has not ended yet"
    with lock(root / ".git" / f"{_OURS}-lock", taken, patience) as handle:
        record = _wanted(root, source, parts)  # another process may have changed it meanwhile
        moved = record.whole and commit not in record.commits[-1:]
        earlier = next(iter(record.commits), None) if moved else None
        if earlier:
            note(f"{record.source} has moved on from {earlier[:10]} to {commit[:10]}")
        elif not record.whole and (root / _RECORD).exists():
            note("resuming a fetch that was stopped")
        clone = Clone(root, handle)
        try:
            if not record.commits:
                record.write(root)
            clone.set_up(record.source)
            if commit not in record.commits:
                clone.fetch_commit(commit)
            files = clone.tree(commit, record.folders)
            missing = set(record.folders) - {path.partition("/")[0] for path in files}
            if missing:
                raise InputError(
                    f"{record.source}: has no files in {listed(sorted(missing))}/: not comma10k, or"
                    " without that part"
                )
            _check_disk(root, files, local_sizes(record.source, commit), note)
        except InputError:
            if not record.commits:  # nothing but the commit's trees was fetched
                shutil.rmtree(root / ".git", ignore_errors=True)
                if not existed:
                    with suppress(OSError):
                        root.rmdir()
            raise
        commits = (*(old for old in record.commits if old != commit), commit)
        record = record.model_copy(update={"commits": commits, "whole": False})
        record.write(root)

        clone.expect(commit, record.folders, files)
        known = _contents(clone, record, files)
        differing = clone.differing() & files.keys()
        absent = {path for path in differing if not os.path.lexists(root / path)}
        outdated = {path for path in differing - absent if _is_one_of(root / path, known[path])}
        gone = {path for path in known.keys() - files if _is_one_of(root / path, known[path])}
        kept = sorted(differing - absent - outdated, key=_by_frame)
        for path in gone:
            with writing_to(root / path):
                (root / path).unlink()
        to_write = sorted(absent | outdated, key=_by_frame)
        to_fetch = clone.missing(commit) if to_write else set()
        for start in range(0, len(to_write), batch):
            paths = to_write[start : start + batch]
            if ids := {files[path] for path in paths} & to_fetch:
                clone.fetch_blobs(ids)
                to_fetch -= ids
            with writing_to(root):
                clone.write(paths)
            if on_progress:
                on_progress(start + len(paths), len(to_write))
        if left := sorted((clone.differing() & files.keys()) - set(kept)):
            raise InputError(
                f"{root}: changed while it was fetched: {listed(left)}; rerun the command"
            )
        record.model_copy(update={"commits": (commit,), "whole": True}).write(root)
    return Fetched(
        str(root), record.source, commit, earlier, _count(files, record.parts), len(files),
        sum((root / path).stat().st_size for path in files if (root / path).is_file()),
        len(absent), len(outdated), len(gone), tuple(kept),
    )  # fmt: skip


def _wanted(root: Path, source: str | None, parts: Sequence[Part] | None) -> _Record:
    """What the folder should contain: what its record says, and what is asked for now.

    Raises:
        InputError: a folder that holds something else, or was fetched from another source.
    """
    if source is not None and not source.startswith("file://") and local_folder(source):
        source = str(Path(source).absolute())
    if (root / _RECORD).is_file():
        try:
            record = _Record.model_validate(read_json(root / _RECORD))
            if not record.parts or (record.whole and not record.commits):
                raise ValueError("no parts, or whole without a commit")
        except ValueError as error:
            raise InputError(f"{root / _RECORD}: damaged: fetch to a new folder") from error
    else:
        _refuse_occupied(root)
        record = _Record(source=source or COMMA10K_URL, parts=tuple(parts or ("imgs",)))
    if source not in (None, record.source):
        raise InputError(
            f"{root} was fetched from {record.source}: choose another folder for {source}"
        )
    every = {*record.parts, *(parts or ())}
    return record.model_copy(update={"parts": tuple(part for part in MASKS_OF if part in every)})


def _refuse_occupied(root: Path) -> None:
    if os.path.lexists(root) and not root.is_dir():
        raise InputError(f"{root}: not a folder")
    with writing_to(root):
        inside = [path for path in root.glob("*") if path.name != ".git"]
        # A fetch that is stopped before it writes its record leaves its lock there.
        inside += [path for path in root.glob(".git/*") if _OURS not in path.name]
    if inside:
        raise InputError(
            f"{root}: holds other files, such as {min(inside).relative_to(root)}: name a new"
            " folder, or an empty one"
        )


def _check_disk(
    root: Path, files: Tree, sizes: dict[str, int], note: Callable[[str], None]
) -> None:
    """Note how much is to come.

    Raises:
        InputError: the disk has no room for it.
    """
    absent = [path for path in files if not os.path.lexists(root / path)]
    if not absent:
        return
    typical = [_TYPICAL_SIZES.get(path.split("/")[0], 0) for path in absent]
    size = sum(sizes.get(files[path], guess) for path, guess in zip(absent, typical, strict=True))
    free = shutil.disk_usage(root).free
    about = "" if sizes else "about "
    note(
        f"{len(absent)} of {len(files)} files are to come: {about}{size / 1e6:,.0f} MB, and as much"
        f" again in .git; {free / 1e6:,.0f} MB are free"
    )
    needed = 2 * size + _ROOM
    if needed > free:
        raise InputError(
            f"{root}: {about}{needed / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free:"
            " fewer --parts, or another disk"
        )


def _contents(clone: Clone, record: _Record, newest: Tree) -> dict[str, set[str]]:
    """Path -> ids of the contents that a fetch may have written there."""
    contents = {path: {id} for path, id in newest.items()}
    for commit in record.commits[:-1]:
        with suppress(InputError):  # the user's git may have removed what no branch needs
            for path, id in clone.tree(commit, record.folders).items():
                contents.setdefault(path, set()).add(id)
    return contents


def _is_one_of(file: Path, ids: set[str]) -> bool:
    """Whether a file has, byte for byte, one of the contents with these ids."""
    if file.is_symlink() or not file.is_file():
        return False
    content = file.read_bytes()
    header = b"blob %d\0" % len(content)  # as git computes the id of a file
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest() in ids


def _by_frame(path: str) -> tuple[str, str]:
    """Sorts frames and their masks side by side, so that half of a fetch has pairs."""
    return PurePosixPath(path).name, path


def _count(files: Iterable[str], parts: Iterable[Part]) -> tuple[PartFiles, ...]:
    names: dict[str, set[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        if name.endswith(".png"):
            names.setdefault(folder, set()).add(name)
    counts = []
    for part in parts:
        images, masks = names.get(part, set()), names.get(MASKS_OF[part], set())
        counts.append(PartFiles(part, len(images), len(masks), len(images & masks)))
    return tuple(counts)
