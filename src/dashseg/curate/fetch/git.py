"""The `git` program, run on one clone: never asks, runs no hook or filter, says why it failed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dashseg.errors import InputError
from dashseg.files import make_folder, write_text

_OLDEST = (2, 29)  # of October 2020: the first with `fetch --stdin`
_FILE_MODES = ("100644", "100755")  # not links, whose target anything could be, nor submodules
# A user's git settings stay (proxy, certificates, credentials), but for those that would change
# what is done here.
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.fileMode": "false",  # whether a file may be executed says nothing of a picture
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.recurseSubmodules": "false",
    "http.lowSpeedLimit": "1000",  # bytes a second, under which a line counts as dead …
    "http.lowSpeedTime": "60",  # … after so many seconds
}
# What makes git take another repository for this one, such as when run by a hook.
_FOREIGN = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE",
)  # fmt: skip


class Entry(NamedTuple):
    """A file of a commit."""

    id: str  # of its blob
    size: int | None = None  # bytes, where it was asked for


class Clone:
    """A clone that holds one commit, and of its files those that were asked for.

    Args:
        root: the folder with .git/ in it.
        keep_open: a file descriptor that git processes inherit: those that outlive this one keep
            its lock.
    """

    def __init__(self, root: Path, keep_open: int) -> None:
        self.root = root
        self.folder = root / ".git"
        self._place = [f"--git-dir={self.folder}", f"--work-tree={root}"]
        self._keep_open = (keep_open,)
        self._written = self.folder / "dashseg-fetch-written"  # files on their way to their place

    def set_up(self, source: str) -> None:
        """Make the repository, or go on with a half-made one, without what a stopped git left."""
        shutil.rmtree(self._written, ignore_errors=True)
        for leftover in (*self.folder.rglob("*.lock"), *self.folder.glob("objects/pack/tmp_*")):
            leftover.unlink(missing_ok=True)
        # No template: it could bring hooks.
        _ask(["init", "--quiet", "--template=", "--object-format=sha1", "--", str(self.root)])
        settings = {
            "remote.origin.url": source,
            "remote.origin.promisor": "true",
            "remote.origin.partialclonefilter": "blob:none",
            "core.sparseCheckout": "true",
            "core.sparseCheckoutCone": "true",
            "core.fileMode": "false",
        }
        if local_folder(source):  # git would send a folder's files whole or not at all
            allow = "-c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true"
            settings["remote.origin.uploadpack"] = f"git {allow} upload-pack"
        for key, value in settings.items():
            self._run("config", key, value)
        make_folder(self.folder / "info")
        # Files are what the source holds, byte for byte, whatever attributes it ships.
        attributes = "* -text -filter -ident -eol -working-tree-encoding\n"
        write_text(self.folder / "info" / "attributes", attributes)

    def fetch_commit(self, commit: str) -> None:
        """Bring a commit and its trees; where the source knows no partial clone, its files too."""
        self._run(
            "fetch", "--quiet", "--depth=1", "--filter=blob:none", "--no-tags", "--",
            "origin", commit,
        )  # fmt: skip

    def fetch_blobs(self, ids: Iterable[str]) -> None:
        """Bring blobs. What git itself does when one is missing, but for many at once."""
        self._run(
            # Without noop, git would tell that it has the commit, and get nothing.
            "-c", "fetch.negotiationAlgorithm=noop",
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none",
            "--stdin", "origin", text="".join(f"{id}\n" for id in ids),
        )  # fmt: skip

    def missing(self, commit: str) -> set[str]:
        """Ids of the commit's blobs that are not here yet."""
        listing = self._run("rev-list", "--objects", "--missing=print", commit)
        return {line[1:] for line in listing.splitlines() if line.startswith("?")}

    def tree(self, commit: str) -> dict[str, Entry]:
        """Path -> file of a commit that is here."""
        return _parse_tree(self._run("ls-tree", "-r", "-z", "--full-tree", commit))

    def has(self, commit: str) -> bool:
        """Whether the commit is here."""
        return self._run("cat-file", "-t", commit, may_fail=True).strip() == "commit"

    def expect(self, commit: str, folders: Sequence[str], files: Iterable[str]) -> None:
        """Let git expect, of a commit, these files here, which lie in these folders or in none.

        No file is touched. From then on `differing` and the user's `git status` go by it.

        Raises:
            InputError: a path that git refuses, such as one that leads out of the folder.
        """
        # In the words of `git sparse-checkout set`, so that `git checkout` and others agree.
        lines = ["/*", "!/*/", *(f"/{folder}/" for folder in folders)]
        write_text(self.folder / "info" / "sparse-checkout", "\n".join(lines) + "\n")
        # --reset: files that are already the new commit's, of an update that was stopped, may lie
        # where the index has the old one's.
        self._run("read-tree", "--reset", commit)
        expected = set(files)
        others = set(_split(self._run("ls-files", "-z"))) - expected
        for option, paths in (("--no-skip-worktree", expected), ("--skip-worktree", others)):
            self._run("update-index", option, "-z", "--stdin", text=_joined(paths))
        self._run("update-ref", "--no-deref", "HEAD", commit)

    def differing(self) -> set[str]:
        """Files that are not here as the commit expected has them, missing ones included.

        By each file's hash; where size and times are those of the last look, by these.
        """
        self._run("update-index", "-q", "--refresh", may_fail=True)  # it fails if some differ
        return set(_split(self._run("ls-files", "-z", "--modified")))

    def write(self, paths: Sequence[str]) -> None:
        """Put files of the commit expected in their places, each at once, over what is there."""
        # git itself would write them where they go, and leave half of one when it is killed.
        self._run(
            "checkout-index", "--force", "-z", "--stdin", f"--prefix={self._written}/",
            text=_joined(paths),
        )  # fmt: skip
        for path in paths:
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self._written / path).replace(self.root / path)

    def _run(self, *arguments: str, text: str = "", may_fail: bool = False) -> str:
        try:
            return _ask([*self._place, *arguments], text, self._keep_open)
        except _GitError as error:
            if may_fail:
                return ""
            verb = next(word for word in arguments if word[0] != "-" and "=" not in word)
            raise InputError(f"{self.root}: git {verb} failed: {error}") from error


class _GitError(Exception):
    """A git that ended with an error; the message is what it said."""


def check_git() -> None:
    """Raise InputError unless there is a git that is new enough."""
    if shutil.which("git") is None:
        raise InputError("git is not installed, and comma10k comes from a git repository")
    words = _ask(["--version"])
    match = re.search(r"(\d+)\.(\d+)", words)
    if match and (int(match[1]), int(match[2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise InputError(f"this needs git {oldest} or newer; here is {words.strip()}")


def newest_commit(source: str) -> str:
    """The id of the commit at the source's HEAD.

    Raises:
        InputError: no git repository, an empty one, or it cannot be reached.
    """
    try:
        words = _ask(["ls-remote", "--", source, "HEAD"]).split()
    except _GitError as error:
        raise InputError(f"{source}: cannot be fetched from: {error}") from error
    if not words:
        raise InputError(f"{source}: the repository has no commit")
    return words[0]


def local_tree(source: str, commit: str) -> dict[str, Entry] | None:
    """Files of a source on this machine, with their sizes; None for others."""
    folder = local_folder(source)
    if folder is None:
        return None
    try:
        return _parse_tree(_ask(["-C", folder, "ls-tree", "-r", "-l", "-z", "--full-tree", commit]))
    except _GitError:  # a partial clone itself
        return None


def blob_id(content: bytes) -> str:
    """The id that git gives a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def local_folder(source: str) -> str | None:
    """The folder that a source is, if it is on this machine."""
    if source.startswith("file://"):
        return unquote(urlsplit(source).path)
    return source if Path(source).is_dir() else None


def _ask(arguments: Sequence[str], text: str = "", keep_open: Sequence[int] = ()) -> str:
    """What git prints; `text` is its input."""
    settings = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
    environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1"}
    done = subprocess.run(
        ["git", *settings, *arguments],
        input=text.encode(errors="surrogateescape"),
        capture_output=True,
        env=environment,
        pass_fds=keep_open if os.name == "posix" else (),
    )
    if done.returncode:
        raise _GitError(_reason(done.stderr.decode(errors="replace")))
    return done.stdout.decode(errors="surrogateescape")


def _reason(said: str) -> str:
    """The line of git's in which it says what went wrong; those after it only say where."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        if line.startswith(("fatal: ", "error: ")):
            return line.split(": ", 1)[1]
    return lines[-1] if lines else "it gave no reason"


def _parse_tree(listing: str) -> dict[str, Entry]:
    files = {}
    for line in _split(listing):
        mode, kind, rest = line.split(" ", 2)
        details, path = rest.split("\t", 1)
        id, *size = details.split()
        if kind == "blob" and mode in _FILE_MODES:
            files[path] = Entry(id, int(size[0]) if size else None)
    return files


def _split(listing: str) -> list[str]:
    return [path for path in listing.split("\0") if path]


def _joined(paths: Iterable[str]) -> str:
    return "".join(f"{path}\0" for path in paths)
