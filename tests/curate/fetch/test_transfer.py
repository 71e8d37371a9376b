"""Fetching parts of a repository laid out like comma10k: whole, again, changed, and refused."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dashseg.curate.fetch import PartFiles, fetch
from dashseg.errors import InputError

FRAMES = 10


def status(root: Path) -> str:
    """What the user's own git says has changed."""
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_default_part_comes_whole_byte_for_byte_and_without_history(
    upstream: Any, tmp_path: Path
) -> None:
    upstream.write("README.md", b"a second commit")
    commit = upstream.publish()
    out = tmp_path / "out"
    fetched = fetch(out, str(upstream.source))
    assert upstream.below(out) == upstream.files("imgs", "masks")
    assert fetched.parts == (PartFiles("imgs", FRAMES, FRAMES, FRAMES),)
    assert (fetched.commit, fetched.files) == (commit, 2 * FRAMES + 3)
    assert fetched.bytes == sum(map(len, upstream.below(out).values()))
    log = subprocess.run(["git", "log", "--format=%H"], cwd=out, capture_output=True, text=True)
    assert log.stdout.split() == [commit] and status(out) == ""


def test_objects_of_other_parts_are_not_fetched(upstream: Any, tmp_path: Path) -> None:
    fetch(tmp_path / "out", str(upstream.source), ["imgs2"])
    listing = subprocess.run(
        ["git", "rev-list", "--objects", "--missing=print", "HEAD"],
        cwd=tmp_path / "out", check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    missing = {line[1:] for line in listing.splitlines() if line.startswith("?")}
    others = {
        upstream.git("rev-parse", f"HEAD:{folder}/{upstream.name(index)}").strip()
        for folder in ("imgs", "masks", "imgsd", "masksd")
        for index in range(FRAMES)
    }
    assert others <= missing
    assert len(missing) == len(others) + 1  # tools/deep/viewer.py


def test_a_second_run_has_nothing_to_do_and_needs_no_source_named(
    upstream: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert not fetch(out, str(upstream.source)).nothing_to_do
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*.png")}
    assert fetch(out).nothing_to_do
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.png")} == times


def test_parts_are_added_to_those_that_are_there(upstream: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(out, str(upstream.source), ["imgsd"])
    fetched = fetch(out, parts=["imgs2"])
    assert [part.part for part in fetched.parts] == ["imgs2", "imgsd"]
    assert upstream.below(out) == upstream.files("imgs2", "masks2", "imgsd", "masksd")
    assert fetched.written == 2 * FRAMES


@pytest.mark.parametrize("form", ["{path}", "file://{path}", "relative"])
def test_a_source_is_a_path_or_a_url(
    upstream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = os.path.relpath(upstream.source, tmp_path)
    fetch(Path("out"), relative if form == "relative" else form.format(path=upstream.source))
    monkeypatch.chdir("/")
    assert fetch(tmp_path / "out").nothing_to_do
    assert upstream.below(tmp_path / "out") == upstream.files("imgs", "masks")


def test_the_hooks_of_a_source_or_a_template_are_not_run(
    upstream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("reference-transaction", "post-index-change", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
    fetch(tmp_path / "out", str(upstream.source))
    assert not (tmp_path / "ran").exists()


def test_a_changed_source_is_followed_and_said(upstream: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = fetch(out, str(upstream.source)).commit
    upstream.write(f"masks/{upstream.name(3)}", b"a better mask")
    upstream.write(f"imgs/{upstream.name(77)}", b"a new frame")
    (upstream.work / "imgs" / upstream.name(5)).unlink()
    second = upstream.publish()
    notes: list[str] = []
    fetched = fetch(out, on_note=notes.append)
    assert upstream.below(out) == upstream.files("imgs", "masks")
    assert (fetched.written, fetched.replaced, fetched.removed) == (1, 1, 1)
    assert (fetched.earlier, fetched.commit) == (first, second)
    assert fetched.parts == (PartFiles("imgs", FRAMES, FRAMES, FRAMES - 1),)
    assert f"moved on from {first[:10]} to {second[:10]}" in notes[0]
    assert status(out) == ""


def test_a_file_that_was_lost_comes_back(upstream: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(out, str(upstream.source))
    shutil.rmtree(out / "masks")
    assert fetch(out).written == FRAMES
    assert upstream.below(out) == upstream.files("imgs", "masks")


def test_the_users_own_files_and_changes_stay(upstream: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(out, str(upstream.source))
    mine = {
        "notes.txt": b"mine",
        "imgs/mine.png": b"mine",
        f"imgs/{upstream.name(99)}": b"mine, where a new frame is to come",
        f"masks/{upstream.name(1)}": b"a mask that I mended",
        f"masks/{upstream.name(2)}": b"a mask that I mended, of which there is a new one",
        f"masks/{upstream.name(4)}": b"a mask that I mended, which the source no longer has",
    }
    for path, content in mine.items():
        (out / path).write_bytes(content)
    fetched = fetch(out)
    assert fetched.nothing_to_do and len(fetched.kept) == 3
    upstream.write(f"imgs/{upstream.name(99)}", b"a new frame")
    upstream.write(f"masks/{upstream.name(2)}", b"a new mask")
    (upstream.work / "masks" / upstream.name(4)).unlink()
    upstream.publish()
    fetched = fetch(out)
    assert {path: (out / path).read_bytes() for path in mine} == mine
    assert fetched.kept == tuple(
        f"{folder}/{upstream.name(index)}"
        for index, folder in ((1, "masks"), (2, "masks"), (99, "imgs"))
    )
    assert upstream.below(out) == {**upstream.files("imgs", "masks"), **mine}


def test_a_disk_too_small_is_told_before_anything_is_written(
    upstream: Any, in_small_disk: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    script = (
        "import os, sys; from dashseg.cli import main;"
        "code = main(['data', 'fetch', sys.argv[1] + '/out', '--source', sys.argv[2]]);"
        "print(os.listdir(sys.argv[1])); sys.exit(code)"
    )
    done = in_small_disk(script, upstream.source, size="40m")
    assert done.returncode == 2 and done.stdout == "[]\n"
    assert done.stderr.splitlines()[-1].startswith("error: ") and "are needed" in done.stderr


def test_without_sizes_the_room_is_estimated_from_comma10ks_frames(
    upstream: Any, daemon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    fetched = fetch(tmp_path / "out", daemon, ["imgs"], on_note=notes.append)
    assert upstream.below(tmp_path / "out") == upstream.files("imgs", "masks")
    # The sample's frames and masks are 614 and 11 kB on average.
    assert "about 6 MB" in notes[0] and fetched.source == daemon
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**7))
    with pytest.raises(InputError, match=r"about .* are needed"):
        fetch(tmp_path / "other", daemon)
    assert not (tmp_path / "other").exists()


@pytest.fixture
def daemon(upstream: Any) -> Iterator[str]:
    """The URL of the source on a server."""
    upstream.git("config", "uploadpack.allowFilter", "true", cwd=upstream.source)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--export-all", f"--base-path={upstream.source.parent}"]
    process = subprocess.Popen(
        ["git", "daemon", *place, "--listen=127.0.0.1", f"--port={port}"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"git://127.0.0.1:{port}/{upstream.source.name}"
    try:
        for _ in range(100):
            time.sleep(0.05)
            if subprocess.run(["git", "ls-remote", url], capture_output=True).returncode == 0:
                break
        else:
            pytest.skip("no git server can be started here")
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def publish_a_path_that_leads_out(upstream: Any, content: bytes, up: int) -> None:
    """Commit imgs/../… /precious.txt, which git's own commands would refuse to add."""

    def git(*arguments: str, text: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=upstream.work, input=text, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    blob = git("hash-object", "-w", "--stdin", text=content)
    entry = f"100644 blob {blob}\tprecious.txt"
    for _ in range(up):
        entry = f"040000 tree {git('mktree', text=entry.encode())}\t.."
    images = git("ls-tree", "HEAD:imgs") + f"\n{entry}"
    images = git("mktree", text=images.encode())
    lines = [line for line in git("ls-tree", "HEAD").splitlines() if not line.endswith("\timgs")]
    root = git("mktree", text="\n".join([*lines, f"040000 tree {images}\timgs"]).encode())
    commit = upstream.git("commit-tree", root, "-p", "HEAD", "-m", "evil").strip()
    upstream.git("push", "--quiet", "--force", str(upstream.source), f"{commit}:master")


def test_a_path_that_leads_out_of_the_folder_is_refused(upstream: Any, tmp_path: Path) -> None:
    publish_a_path_that_leads_out(upstream, b"not the user's", up=1)
    with pytest.raises(InputError, match=r"precious\.txt' is not a path inside this folder"):
        fetch(tmp_path / "out", str(upstream.source))
    assert not (tmp_path / "out").exists()


def test_a_commit_with_such_a_path_deletes_nothing_once_it_is_gone(
    upstream: Any, tmp_path: Path
) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious.txt"
    precious.write_bytes(b"a content that everybody has")
    fetch(out, str(upstream.source))
    publish_a_path_that_leads_out(upstream, precious.read_bytes(), up=2)
    for _ in range(2):
        with pytest.raises(InputError, match="is not a path inside"):
            fetch(out)
    upstream.git("push", "--quiet", "--force", str(upstream.source), "HEAD:master")
    upstream.write("README.md", b"sound again")
    upstream.publish()
    assert fetch(out).kept == () and upstream.below(out) == upstream.files("imgs", "masks")
    assert precious.read_bytes() == b"a content that everybody has"


def test_nothing_is_written_through_a_link_that_leads_out(upstream: Any, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    fetch(out, str(upstream.source))
    (out / "imgs").rename(other)
    (out / "imgs").symlink_to(other)
    upstream.write(f"imgs/{upstream.name(77)}", b"a new frame")
    upstream.publish()
    before = sorted(other.iterdir())
    with pytest.raises(InputError, match="a symbolic link leads out of"):
        fetch(out)
    assert sorted(other.iterdir()) == before


@pytest.mark.parametrize("source", ["fd::17/x", "ext::sh -c true", "--upload-pack=true"])
def test_transports_that_run_commands_or_wait_are_refused_at_once(
    tmp_path: Path, source: str
) -> None:
    with pytest.raises(InputError, match="cannot be fetched from: ") as error:
        fetch(tmp_path / "out", source)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "values", [{}, {"schema": 1}, {"commits": [""]}, {"parts": ["all"]}, {"source": 3}, []]
)
def test_a_damaged_record_is_told(upstream: Any, tmp_path: Path, values: Any) -> None:
    (tmp_path / "out" / ".git").mkdir(parents=True)
    record = {"source": str(upstream.source), "parts": ["imgs"], "commits": [], "whole": True}
    text = json.dumps({**record, **values} if values else values)
    (tmp_path / "out" / ".git" / "dashseg-fetch.json").write_text(text)
    with pytest.raises(InputError, match=r"dashseg-fetch\.json: damaged"):
        fetch(tmp_path / "out")


def test_a_part_that_the_source_lacks_leaves_the_folder_usable(
    upstream: Any, daemon: str, tmp_path: Path
) -> None:
    upstream.git("rm", "-r", "--quiet", "imgs2")
    upstream.publish()
    fetch(tmp_path / "out", daemon)
    with pytest.raises(InputError, match="has no files in imgs2/"):
        fetch(tmp_path / "out", parts=["imgs2"])
    assert fetch(tmp_path / "out").nothing_to_do


def test_links_are_not_fetched(upstream: Any, tmp_path: Path) -> None:
    (upstream.work / "imgs" / "link.png").symlink_to("/etc/passwd")
    upstream.publish()
    fetch(tmp_path / "out", str(upstream.source))
    assert not os.path.lexists(tmp_path / "out" / "imgs" / "link.png")


def test_a_folder_with_other_files_is_refused_and_left_alone(upstream: Any, tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    (occupied / "imgs").mkdir(parents=True)
    (occupied / "imgs" / "a.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="holds other files, such as imgs"):
        fetch(occupied, str(upstream.source))
    assert upstream.below(occupied) == {"imgs/a.png": b"mine"} and not (occupied / ".git").exists()
    clone = tmp_path / "clone"
    upstream.git("clone", "--quiet", str(upstream.source), str(clone))
    with pytest.raises(InputError, match="holds other files"):
        fetch(clone, str(upstream.source))
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InputError, match="not a folder"):
        fetch(tmp_path / "file", str(upstream.source))


def test_another_source_for_a_folder_is_refused(upstream: Any, tmp_path: Path) -> None:
    fetch(tmp_path / "out", str(upstream.source))
    with pytest.raises(InputError, match="was fetched from"):
        fetch(tmp_path / "out", str(upstream.work))


def test_what_is_no_repository_no_comma10k_or_lacks_a_part_is_refused_and_nothing_made(
    upstream: Any, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match="does not appear to be a git repository"):
        fetch(tmp_path / "out", str(tmp_path / "plain"))
    with pytest.raises(InputError, match="cannot be fetched from"):
        fetch(tmp_path / "out", str(tmp_path / "nowhere"))
    upstream.git("rm", "-r", "--quiet", "imgs2")
    upstream.publish()
    with pytest.raises(InputError, match="has no files in imgs2/"):
        fetch(tmp_path / "out", str(upstream.source), ["imgs2"])
    empty = tmp_path / "empty.git"
    upstream.git("init", "--quiet", "--bare", str(empty))
    with pytest.raises(InputError, match="has no commit"):
        fetch(tmp_path / "out", str(empty))
    assert not (tmp_path / "out").exists()


def test_without_git_the_error_says_so(
    upstream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="git is not installed"):
        fetch(tmp_path / "out", str(upstream.source))


def test_a_git_too_old_is_told(
    upstream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\necho git version 1.8.3.1\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(InputError, match=r"2\.29 or newer; here is git version 1\.8\.3\.1"):
        fetch(tmp_path / "out", str(upstream.source))


def test_two_at_a_time_are_refused(upstream: Any, tmp_path: Path) -> None:
    (tmp_path / "out" / ".git").mkdir(parents=True)
    with (tmp_path / "out" / ".git" / "dashseg-fetch-lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process fetches to it"):
            fetch(tmp_path / "out", str(upstream.source), patience=0.2)
    fetch(tmp_path / "out", str(upstream.source))
    assert upstream.below(tmp_path / "out") == upstream.files("imgs", "masks")
