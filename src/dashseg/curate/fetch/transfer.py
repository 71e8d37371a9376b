"""A source and the parts asked for -> a folder that holds them, whole; a stopped one goes on.

Frames come in batches: a batch's blobs are fetched, its files moved to their places, and so what is
there stays whenever the program is stopped. .git/dashseg-fetch.json says what the folder is to
hold. A file of an earlier commit gives way to the new one's if it is as that commit had it; any
other file that was there before is the user's and stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from dashseg.config import Part
from dashseg.curate.fetch import git
from dashseg.data import comma10k
from dashseg.data.dataset import listed
from dashseg.errors import InputError
from dashseg.files import lock, read_json, write_json, writing_to

COMMA10K_URL = "https://github.com/commaai/comma10k.git"

_OURS = "dashseg-fetch"  # what the names of our own files in .git begin with
_BATCH = 256  # files: 80 MB of comma10k, the most that a stopped run has to fetch again
# Where a source does not tell sizes: bytes a pixel, mean of 8 frames and masks of comma10k.
_BYTES_A_PIXEL = {"images": 0.60, "masks": 0.011}
_PATIENCE = 10.0  # seconds: the git of a killed run may need that to end
_ROOM = 1 << 26  # bytes left free on the disk: git's index, and the user's other programs

Tree = dict[str, git.Entry]


class PartFiles(NamedTuple):
    """What there is of one part."""

    part: Part
    images: int
    masks: int
    pairs: int  # names that have both


@dataclass(frozen=True)
class Fetched:
    """A folder that is whole, and what this run did to it."""

    root: str
    source: str
    commit: str
    earlier: str | None  # the commit that the folder held whole before, if that was another
    parts: tuple[PartFiles, ...]
    files: int  # with those at the repository's root
    bytes: int
    written: int  # files that were not there
    replaced: int  # as an earlier commit had them
    removed: int  # the commit has them no more
    kept: tuple[str, ...]  # changed by somebody else, and left as they are

    @property
    def nothing_to_do(self) -> bool:
        return not (self.written or self.replaced or self.removed)

    def to_dict(self) -> dict[str, Any]:
        """The JSON, schema 1."""
        parts = [part._asdict() for part in self.parts]
        return {"schema": 1, **asdict(self), "parts": parts, "kept": list(self.kept)}


@dataclass(frozen=True)
class _Record:
    """What a folder is to hold. `commits`: those whose files may lie in it, the newest last."""

    source: str
    parts: tuple[Part, ...]
    commits: tuple[str, ...] = ()
    whole: bool = False


class _Plan(NamedTuple):
    """What is to be done to a folder's files: paths below it."""

    write: list[str]
    replace: list[str]
    remove: list[str]
    keep: list[str]


def fetch(
    root: Path,
    source: str | None = None,
    parts: Sequence[Part] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Fetched:
    """Bring the newest commit's files of some parts into a folder, or bring a folder up to it.

    Args:
        root: the folder: new, empty, or of an earlier fetch.
        source: URL or path of a git repository laid out like comma10k; by default the folder's own,
            else COMMA10K_URL.
        parts: which cameras, in addition to those that the folder has; by default its own, else
            "imgs".
        on_progress: called with (files done, files to do).
        on_note: called with a line for the user.

    Raises:
        InputError: no git, no such source or part, a folder that holds something else, a disk too
            small, another fetch at work there, or a transfer that fails.
    """
    note = on_note or (lambda line: None)
    root = root.absolute()
    git.check_git()
    record = _intent(root, source, parts)
    commit = git.newest_commit(record.source)
    listing = git.local_tree(record.source, commit)
    earlier = record.commits[-1] if record.whole and record.commits[-1] != commit else None
    if earlier:
        note(f"{record.source} has moved on from {earlier[:10]} to {commit[:10]}")
    elif record.commits and not record.whole:
        note("going on with a fetch that was stopped")
    if listing is not None:  # sizes are known before anything is written
        _check_disk(root, _files_of(listing, record), note)
    taken = f"{root}: another process fetches to it; or the git of a stopped one has not ended yet"
    with lock(root / ".git" / f"{_OURS}-lock", taken, _PATIENCE) as handle:
        record = _intent(root, source, parts)  # another process may have changed it meanwhile
        clone = git.Clone(root, handle)
        commits = (*(old for old in record.commits if old != commit), commit)
        _write_record(root, replace(record, commits=commits, whole=False))
        clone.set_up(record.source)
        if not clone.has(commit):
            clone.fetch_commit(commit)
        files = _files_of(clone.tree(commit), record)
        if listing is None:
            _check_disk(root, files, note)
        clone.expect(commit, _folders(record.parts), files)
        old = [
            _select(clone.tree(former), record.parts)
            for former in record.commits
            if clone.has(former)
        ]
        plan = _plan(root, files, clone.differing(), old)
        _carry_out(clone, commit, files, plan, on_progress)
        left = sorted((clone.differing() & files.keys()) - set(plan.keep))
        if left:
            raise InputError(
                f"{root}: changed while it was fetched: {listed(left)}; the same command again"
                " puts it right"
            )
        _write_record(root, replace(record, commits=(commit,), whole=True))
    return Fetched(
        str(root), record.source, commit, earlier, _count(files, record.parts), len(files),
        sum((root / path).stat().st_size for path in files if (root / path).is_file()),
        len(plan.write), len(plan.replace), len(plan.remove), tuple(plan.keep),
    )  # fmt: skip


def _intent(root: Path, source: str | None, parts: Sequence[Part] | None) -> _Record:
    """What the folder is to hold: what its record says, and what is asked for now."""
    record = _read_record(root)
    if source is not None and (folder := git.local_folder(source)) is not None:
        source = source if source.startswith("file://") else str(Path(folder).absolute())
    if record is None:
        _refuse_occupied(root)
        record = _Record(source or COMMA10K_URL, tuple(parts or ("imgs",)))
    if source not in (None, record.source):
        raise InputError(
            f"{root} was fetched from {record.source}: choose another folder for {source}"
        )
    every = {*record.parts, *(parts or ())}
    return replace(record, parts=tuple(part for part in comma10k.MASKS_OF if part in every))


def _refuse_occupied(root: Path) -> None:
    with writing_to(root):
        if root.is_dir():
            inside = [path.name for path in root.iterdir() if path.name != ".git"]
            of_git = root / ".git"
            if of_git.is_dir():  # a fetch that was stopped before it wrote its record
                names = (path.name for path in of_git.iterdir())
                inside += [name for name in names if not name.lstrip(".").startswith(_OURS)]
            if not inside:
                return
            raise InputError(
                f"{root}: holds other files, such as {min(inside)}: name a new folder, or an empty"
                " one"
            )
        if os.path.lexists(root):
            raise InputError(f"{root}: not a folder")


def _read_record(root: Path) -> _Record | None:
    path = root / ".git" / f"{_OURS}.json"
    if not path.is_file():
        return None
    values = read_json(path)
    try:
        return _Record(
            str(values["source"]),
            tuple(cast(Part, part) for part in values["parts"]),
            tuple(map(str, values["commits"])),
            bool(values["whole"]),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged: fetch to a new folder") from error


def _write_record(root: Path, record: _Record) -> None:
    write_json(root / ".git" / f"{_OURS}.json", {"schema": 1, **asdict(record)})


def _folders(parts: Iterable[Part]) -> list[str]:
    return [folder for part in parts for folder in (part, comma10k.MASKS_OF[part])]


def _files_of(tree: Tree, record: _Record) -> Tree:
    """Those in the folders of the record's parts, and at the root.

    Raises:
        InputError: there is nothing in one of the folders.
    """
    files = _select(tree, record.parts)
    missing = set(_folders(record.parts)) - set(map(_folder, files))
    if missing:
        raise InputError(
            f"{record.source}: has no files in {listed(sorted(missing))}/: not comma10k, or without"
            " that part"
        )
    return files


def _select(tree: Tree, parts: Iterable[Part]) -> Tree:
    folders = ("", *_folders(parts))
    return {path: entry for path, entry in tree.items() if _folder(path) in folders}


def _folder(path: str) -> str:
    """The folder at the root in which a file lies; "" for a file at the root itself."""
    return path.rpartition("/")[0].partition("/")[0]


def _check_disk(root: Path, files: Tree, note: Callable[[str], None]) -> None:
    """Tell how much is to come.

    Raises:
        InputError: the disk has no room for it.
    """
    absent = [path for path in files if not os.path.lexists(root / path)]
    if not absent:
        return
    size = sum(_size(path, files[path]) for path in absent)
    place = next(folder for folder in (root, *root.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    estimate = "" if all(files[path].size is not None for path in absent) else "about "
    note(
        f"{len(absent)} of {len(files)} files are to come: {estimate}{_gb(size)}, and as much again"
        f" as git keeps them; {_gb(free)} are free"
    )
    if 2 * size + _ROOM > free:
        raise InputError(
            f"{place}: {estimate}{_gb(2 * size + _ROOM)} are needed and {_gb(free)} are free: fewer"
            " --parts, or another disk"
        )


def _size(path: str, entry: git.Entry) -> int:
    if entry.size is not None:
        return entry.size
    folder = _folder(path)
    for part, masks in comma10k.MASKS_OF.items():
        if folder in (part, masks):
            height, width = comma10k.SIZES[part]
            return round(height * width * _BYTES_A_PIXEL["images" if folder == part else "masks"])
    return 0  # a text


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _plan(root: Path, files: Tree, differing: set[str], old: Sequence[Tree]) -> _Plan:
    plan = _Plan([], [], [], [])
    for path in sorted(differing & files.keys(), key=_by_frame):
        if not os.path.lexists(root / path):
            plan.write.append(path)
        else:
            (plan.replace if _is_of(root, path, old) else plan.keep).append(path)
    gone = {path for tree in old for path in tree} - files.keys()
    plan.remove.extend(path for path in sorted(gone) if _is_of(root, path, old))
    return plan


def _by_frame(path: str) -> tuple[str, str]:
    """Frames and their masks side by side, so that a folder half there has pairs."""
    return PurePosixPath(path).name, path


def _is_of(root: Path, path: str, trees: Sequence[Tree]) -> bool:
    """Whether a file is, byte for byte, what one of these trees has there."""
    file = root / path
    ids = {tree[path].id for tree in trees if path in tree}
    return (
        bool(ids)
        and file.is_file()
        and not file.is_symlink()
        and git.blob_id(file.read_bytes()) in ids
    )


def _carry_out(
    clone: git.Clone,
    commit: str,
    files: Mapping[str, git.Entry],
    plan: _Plan,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    for path in plan.remove:
        with writing_to(clone.root / path):
            (clone.root / path).unlink()
    paths = sorted((*plan.write, *plan.replace), key=_by_frame)
    missing = clone.missing(commit) if paths else set()
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        ids = {files[path].id for path in batch} & missing
        if ids:
            clone.fetch_blobs(ids)
        missing -= ids
        with writing_to(clone.root):
            clone.write(batch)
        if on_progress:
            on_progress(start + len(batch), len(paths))


def _count(files: Iterable[str], parts: Iterable[Part]) -> tuple[PartFiles, ...]:
    names: dict[str, set[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        if name.endswith(".png"):
            names.setdefault(folder, set()).add(name)
    counts = []
    for part in parts:
        images, masks = names.get(part, set()), names.get(comma10k.MASKS_OF[part], set())
        counts.append(PartFiles(part, len(images), len(masks), len(images & masks)))
    return tuple(counts)
