"""A git repository laid out like comma10k, made by git itself, that fetches are held to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

FOLDERS = ("imgs", "masks", "imgs2", "masks2", "imgsd", "masksd")
FRAMES = 10

if shutil.which("git") is None:
    pytest.skip("git is not installed", allow_module_level=True)


class Upstream:
    """The project's working copy and the bare repository `source` that it is published to."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.source = folder / "comma10k.git"
        self.rng = np.random.default_rng(0)
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=master", str(self.work), cwd=folder)
        for directory in FOLDERS:
            (self.work / directory).mkdir()
            for index in range(FRAMES):
                size = 3000 if directory.startswith("imgs") else 200
                self.write(f"{directory}/{self.name(index)}", self.rng.bytes(size))
        self.write("README.md", b"frames\r\nand masks\r\n")  # line ends that git would like to mend
        self.write("files_trainable", f"masks/{self.name(0)}\n".encode())
        self.write(".gitattributes", b"*.png filter=lfs diff=lfs merge=lfs\n*.md text eol=lf\n")
        self.write("tools/deep/viewer.py", b"print()\n")
        self.git("init", "--quiet", "--bare", "--initial-branch=master", str(self.source))
        self.publish()

    @staticmethod
    def name(index: int) -> str:
        return f"{index:04}_0085e9e41513078a_2018-08-19--13-26-08_11_{100 + index}.png"

    def write(self, path: str, content: bytes) -> None:
        (self.work / path).parent.mkdir(parents=True, exist_ok=True)
        (self.work / path).write_bytes(content)

    def publish(self) -> str:
        """Commit everything, byte for byte; returns the commit's id."""
        info = self.work / ".git" / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text("* -text -filter -eol\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "frames")
        self.git("push", "--quiet", str(self.source), "HEAD:master")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "someone"), ("EMAIL", "someone@example.com"))
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.work,
            env={**os.environ, **identity},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def files(self, *folders: str) -> dict[str, bytes]:
        """Path -> content of the files at the root and in these folders."""
        paths = [path for path in self.work.iterdir() if path.is_file()]
        for folder in folders:
            paths += (self.work / folder).iterdir()
        return {path.relative_to(self.work).as_posix(): path.read_bytes() for path in paths}

    @staticmethod
    def below(root: Path) -> dict[str, bytes]:
        """Path -> content of everything in a fetched folder but .git/."""
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and path.relative_to(root).parts[0] != ".git"
        }


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    return Upstream(tmp_path / "upstream")
