"""The `git` program on a partial clone: never asks, runs no hook or filter, fails with one line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dashseg.errors import InputError
from dashseg.files import join_inside, make_folder, write_text

_OLDEST = (2, 29)  # of October 2020: the first with `fetch --stdin`
_FILE_MODES = ("100644", "100755")  # no symbolic links, which may point anywhere; no submodules
_LS_TREE = ("ls-tree", "-r", "-z", "--full-tree")
# The user's git settings apply (proxy, certificates, credentials), except for these.
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.fileMode": "false",  # the executable bit says nothing about a picture
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.recurseSubmodules": "false",
    "http.lowSpeedLimit": "1000",  # bytes a second; a slower connection counts as dead …
    "http.lowSpeedTime": "60",  # … after this many seconds
}
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",  # ext:: runs commands, fd:: waits for ever
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
# Variables that point git at another repository; hooks, for example, run with them set.
_FOREIGN = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE",
)  # fmt: skip

Tree = dict[str, str]  # path of a file in a commit -> id of its content


def git(*arguments: str, failure: str, text: str = "", pass_fds: Sequence[int] = ()) -> str:
    """What git prints; `text` is its input.

    Raises:
        InputError: git failed; the message is `failure` and git's reason.
    """
    settings = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
    environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    done = subprocess.run(
        ["git", *settings, *arguments],
        input=text.encode(errors="surrogateescape"),
        capture_output=True,
        env=environment | _ENVIRONMENT,
        pass_fds=pass_fds if os.name == "posix" else (),
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        # The first "fatal" or "error" says what went wrong; later lines only say where.
        reason = re.search(r"^(?:fatal|error): (.*)", said, re.MULTILINE)
        last = said.rpartition("\n")[2] or "git gives no reason"
        raise InputError(f"{failure}: {reason[1] if reason else last}")
    return done.stdout.decode(errors="surrogateescape")


class Clone:
    """A shallow, partial, sparse clone: one commit, and the content of the files asked for.

    Args:
        root: the folder that contains .git/.
        lock: file descriptor of a held lock. Git processes inherit it, so that the lock outlives a
            killed parent for as long as they run.
    """

    def __init__(self, root: Path, lock: int) -> None:
        self.root = root
        self._folder = root / ".git"
        self._staging = self._folder / "dashseg-fetch-written"  # files are moved from here
        place = (f"--git-dir={self._folder}", f"--work-tree={root}")
        self._git = partial(git, *place, failure=f"{root}: git failed", pass_fds=(lock,))

    def set_up(self, source: str) -> None:
        """Create the repository, or clear what a killed git left in it."""
        shutil.rmtree(self._staging, ignore_errors=True)
        for leftover in (*self._folder.rglob("*.lock"), *self._folder.glob("objects/pack/tmp_*")):
            leftover.unlink(missing_ok=True)
        # Without a template, which could bring hooks.
        self._git("init", "--quiet", "--template=", "--object-format=sha1")
        self._git("config", "remote.origin.url", source)
        self._git("config", "core.sparseCheckout", "true")
        self._git("config", "core.sparseCheckoutCone", "true")
        if local_folder(source):  # by default, a local repository sends all or nothing
            allow = "-c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true"
            self._git("config", "remote.origin.uploadpack", f"git {allow} upload-pack")
        # Files are written byte for byte, whatever attributes the source has.
        attributes = "* -text -filter -ident -eol -working-tree-encoding\n"
        write_text(make_folder(self._folder / "info") / "attributes", attributes)

    def fetch_commit(self, commit: str) -> None:
        """Fetch a commit and its trees; from a server without partial clone, its files too."""
        self._git("fetch", "-q", "--depth=1", "--filter=blob:none", "--no-tags", "origin", commit)

    def tree(self, commit: str, folders: Iterable[str]) -> Tree:
        """The commit's files at its root and in these folders.

        Raises:
            InputError: a path that leads out of the clone's folder.
        """
        tree = {}
        for line in _split(self._git(*_LS_TREE, commit)):
            details, path = line.split("\t", 1)
            mode, _, id = details.split()
            if mode in _FILE_MODES and ("/" not in path or path.split("/")[0] in folders):
                join_inside(self.root, path)
                tree[path] = id
        return tree

    def expect(self, commit: str, folders: Iterable[str], files: Iterable[str]) -> None:
        """Tell git which commit is wanted, and which of its files in `folders` and at the root.

        Writes none of them. `differing`, and the user's `git status`, compare with these.

        Raises:
            InputError: the commit has a path that git refuses.
        """
        # In the format of `git sparse-checkout set`, so that `git checkout` and others agree.
        lines = ["/*", "!/*/", *(f"/{folder}/" for folder in folders)]
        write_text(self._folder / "info" / "sparse-checkout", "\n".join(lines) + "\n")
        # --reset: a stopped update leaves files of the new commit beside an index of the old one.
        self._git("read-tree", "--reset", commit)
        others = set(_split(self._git("ls-files", "-z"))).difference(files)
        for option, paths in (("--no-skip-worktree", files), ("--skip-worktree", others)):
            self._git("update-index", option, "-z", "--stdin", text="\0".join(paths))
        self._git("update-ref", "--no-deref", "HEAD", commit)

    def differing(self) -> set[str]:
        """Expected files that are missing here or have other content.

        Git hashes a file only if its size or times have changed since it last looked.
        """
        with suppress(InputError):  # it fails if some differ
            self._git("update-index", "-q", "--refresh")
        return set(_split(self._git("ls-files", "-z", "--modified")))

    def missing(self, commit: str) -> set[str]:
        """Ids of the commit's file contents that are not fetched yet."""
        listing = self._git("rev-list", "--objects", "--missing=print", commit)
        return {line[1:] for line in listing.splitlines() if line.startswith("?")}

    def fetch_blobs(self, ids: Iterable[str]) -> None:
        """Fetch the content of files in one request. Git computes the ids of what arrives."""
        # With negotiation, git would say that it has the commit, and get nothing.
        noop = ("-c", "fetch.negotiationAlgorithm=noop")
        options = ("-q", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin")
        self._git(*noop, "fetch", *options, "origin", text="\n".join(ids))

    def write(self, paths: Sequence[str]) -> None:
        """Write expected files, replacing what is there; each appears whole or not at all."""
        # A killed git would leave half a file, so git writes elsewhere and each file is moved.
        options = ("--force", "-z", "--stdin", f"--prefix={self._staging}/")
        self._git("checkout-index", *options, text="\0".join(paths))
        for path in paths:
            place = join_inside(self.root, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            (self._staging / path).replace(place)


def check_git() -> None:
    """Raise InputError unless there is a git that is new enough."""
    if shutil.which("git") is None:
        raise InputError("git is not installed, and comma10k comes from a git repository")
    words = git("--version", failure="git does not start").strip()
    match = re.search(r"(\d+)\.(\d+)", words)
    if match and (int(match[1]), int(match[2])) < _OLDEST:
        raise InputError(f"this needs git {_OLDEST[0]}.{_OLDEST[1]} or newer; here is {words}")


def newest_commit(source: str) -> str:
    """The id of the commit at the source's HEAD.

    Raises:
        InputError: no git repository, an empty one, or it cannot be reached.
    """
    words = git("ls-remote", "--", source, "HEAD", failure=f"{source}: cannot be fetched from")
    if not words:
        raise InputError(f"{source}: the repository has no commit")
    return words.split()[0]


def local_folder(source: str) -> str | None:
    """The folder of a source on this machine."""
    if source.startswith("file://"):
        return unquote(urlsplit(source).path)
    return source if Path(source).is_dir() else None


def local_sizes(source: str, commit: str) -> dict[str, int]:
    """Id -> bytes of each file of a complete repository on this machine; empty for others."""
    if (folder := local_folder(source)) is None:
        return {}
    try:
        listing = git("-C", folder, *_LS_TREE, "-l", commit, failure=source)
    except InputError:  # a partial clone itself
        return {}
    entries = (line.split("\t")[0].split() for line in _split(listing))
    return {id: int(size) for _, _, id, size in entries if size.isdigit()}


def _split(listing: str) -> list[str]:
    return [path for path in listing.split("\0") if path]
