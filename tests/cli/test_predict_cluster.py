"""`predict --cluster`: its options, and what is said without Ray."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli.main import main


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--max-errors", "3"], "go with --cluster"),
        (["--format", "parquet"], "go with --cluster"),
        (["--cluster", "auto", "--format", "coco"], "--cluster writes masks, or parquet"),
        (["--cluster", "auto", "--probabilities"], "--probabilities does not go with --cluster"),
        (["--cluster", "auto", "--min-area", "3"], "--min-area does not go with --cluster"),
        (["--cluster", "auto", "--fps", "3"], "--fps does not go with --cluster"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "small", str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


VERBS = {
    "predict": ["predict", "small", "frames", "--out", "out"],
    "evaluate": ["evaluate", "small", "--data", "synthetic:3", "--out", "out"],
    "check": ["data", "check", "frames"],
    "stats": ["data", "stats", "synthetic:3"],
    "review": ["review", "small", "--data", "synthetic:3", "--out", "out"],
    "select": ["data", "select", "small", "frames", "--out", "picks.csv"],
    "pack": ["data", "pack", "synthetic:3", "out"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_without_ray_it_says_what_to_install(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: Any = None
    monkeypatch.setitem(sys.modules, "ray", nothing)
    assert main([*VERBS[verb], "--cluster", "auto"]) == 2
    assert capsys.readouterr().err == (
        "error: --cluster needs the package ray: pip install 'dashseg[scale]'\n"
    )


def test_ray_is_not_imported_without_cluster(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from dashseg.cli.main import main;"
        f" main(['predict', 'nothing', {str(tmp_path)!r}, '--out', 'x']);"
        " sys.exit(bool({'ray', 'pyarrow'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
