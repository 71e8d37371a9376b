"""`dashseg data fetch`: what it tells people and programs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from dashseg.cli import main


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "source"
    for part in ("imgs", "masks"):
        (folder / part).mkdir(parents=True)
        for index in range(3):
            (folder / part / f"{index}.png").write_bytes(b"frame %d" % index)
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "frames"]):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def test_it_tells_size_first_then_what_came_and_then_that_nothing_is_left(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch = ["data", "fetch", str(tmp_path / "out"), "--source", str(source), "--parts", "imgs"]
    assert main(fetch) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("6 of 6 files are to come: 0 MB") and "6/6" in shown.err
    assert shown.out.startswith("6 files fetched") and "imgs: 3 pairs" in shown.out
    (tmp_path / "out" / "masks" / "1.png").write_bytes(b"mended")
    assert main(fetch) == 0
    out = capsys.readouterr().out
    assert out.startswith("nothing to do") and "changed by you and kept: 1\n  masks/1.png" in out


def test_json_is_one_document(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "fetch", str(tmp_path / "out"), "--source", str(source), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["schema"] == 1 and values["written"] == 6
    assert values["parts"] == [{"part": "imgs", "images": 3, "masks": 3, "pairs": 3}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--parts", "imgs,imgs3"], "'imgs3' is none of imgs, imgs2, imgsd"),
        (["--parts", "imgs2"], "has no files in imgs2, masks2/"),
        (["--source", "nowhere"], "cannot be fetched from"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    out = tmp_path / "out"
    assert main(["data", "fetch", str(out), "--source", str(source), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and says in error
    assert not out.exists()
