"""`review --cluster` against the same on this machine alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dashseg.cli.main import main


def test_tables_and_page_are_those_of_one_machine(
    scenes: Path, model_directory: Path, tmp_path: Path, in_process: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    review = ["review", str(model_directory), "--data", str(scenes), "--device", "cpu"]
    review += ["--top", "3"]  # fewer than a shard has
    assert main([*review, "--out", "many", "--cluster", "auto"]) == 0
    assert main([*review, "--out", "one"]) == 0
    names = {path.relative_to("one") for path in Path("one").rglob("*") if path.is_file()}
    assert len(names) > 4 * 3
    for name in names - {Path(".dashseg.jsonl")}:
        assert Path("many", name).read_bytes() == Path("one", name).read_bytes(), name
    assert set(os.listdir("one")) == set(os.listdir("many"))


def test_cores_are_of_actors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["review", "small", "--data", "synthetic:3", "--out", out, "--workers", "2"]) == 2
    assert "--workers goes with --cluster" in capsys.readouterr().err
