"""A fetch that is killed, at each of its steps: the same command goes on, and loses nothing.

A `git` that comes first in PATH kills the program that called it, by SIGKILL, at a given call; it
itself goes on, as a real git does that is not killed with its parent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dashseg.curate.fetch import fetch

STEPS = ("init", "config", "fetch", "read-tree", "update-index", "update-ref", "rev-list")
BATCH = 4  # files
FETCH = f"""
import sys
from pathlib import Path
from dashseg.curate.fetch import fetch
fetch(Path(sys.argv[1]), sys.argv[2], batch={BATCH})
"""


def fetch_until(out: Path, source: Path, verb: str, call: int = 1) -> None:
    """Fetch, and be killed as git is called for the `call`-th time with a verb."""
    folder = out.parent / "killing"
    folder.mkdir(exist_ok=True)
    (folder / "calls").write_text("")
    killer = folder / "git"
    killer.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" {verb} "*) echo >> {folder}/calls;'
        f" test $(wc -l < {folder}/calls) = {call} && kill -9 $PPID;; esac\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    killer.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(out), str(source)], env=environment, capture_output=True
    )
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.parametrize("verb", STEPS)
def test_killed_at_a_step_the_same_command_goes_on(
    upstream: Any, tmp_path: Path, verb: str
) -> None:
    out = tmp_path / "out"
    fetch_until(out, upstream.source, verb)
    fetch(out, str(upstream.source))
    assert upstream.below(out) == upstream.files("imgs", "masks")
    assert fetch(out).nothing_to_do


@pytest.mark.parametrize(("verb", "call"), [("--stdin", 9), ("checkout-index", 4)])
def test_killed_midway_only_whole_files_are_there_and_they_are_not_fetched_again(
    upstream: Any, tmp_path: Path, verb: str, call: int
) -> None:
    out, truth = tmp_path / "out", upstream.files("imgs", "masks")
    fetch_until(out, upstream.source, verb, call)
    there = upstream.below(out)
    assert 0 < len(there) < len(truth) and there.items() <= truth.items()
    times = {path: (out / path).stat().st_mtime_ns for path in there}
    notes: list[str] = []
    fetched = fetch(out, str(upstream.source), on_note=notes.append, batch=BATCH)
    assert notes[0] == "resuming a fetch that was stopped"
    assert upstream.below(out) == truth and fetched.written == len(truth) - len(there)
    assert {path: (out / path).stat().st_mtime_ns for path in there} == times


def test_what_a_killed_git_leaves_is_cleared(upstream: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch_until(out, upstream.source, "checkout-index")
    for leftover in ("index.lock", "shallow.lock", "objects/pack/tmp_pack_a1", "config.lock"):
        (out / ".git" / leftover).write_bytes(b"half")
    (out / ".git" / "dashseg-fetch-written" / "imgs").mkdir(parents=True, exist_ok=True)
    (out / ".git" / "dashseg-fetch-written" / "imgs" / upstream.name(0)).write_bytes(b"half")
    fetch(out)
    assert upstream.below(out) == upstream.files("imgs", "masks")
    names = {path.name for path in (out / ".git").rglob("*")}
    assert not any(name.endswith(".lock") or name.startswith("tmp_") for name in names)


def test_a_source_that_moved_on_before_and_after_a_kill_is_followed(
    upstream: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fetch(out, str(upstream.source))
    for index in range(8):
        upstream.write(f"masks/{upstream.name(index)}", b"second %d" % index)
    upstream.publish()
    fetch_until(out, upstream.source, "checkout-index", 2)
    contents = [(out / "masks" / upstream.name(index)).read_bytes() for index in range(8)]
    assert 0 < sum(content.startswith(b"second") for content in contents) < 8
    for index in range(2, 10):
        upstream.write(f"masks/{upstream.name(index)}", b"third %d" % index)
    (upstream.work / "masks" / upstream.name(0)).unlink()
    upstream.publish()
    fetched = fetch(out, batch=BATCH)
    assert upstream.below(out) == upstream.files("imgs", "masks") and fetched.kept == ()
