"""`evaluate` on a real Ray cluster, against the same on this machine alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dashseg


def test_every_figure_is_that_of_one_machine(
    scenes: Path, model_directory: Path, tmp_path: Path, cluster: str, monkeypatch: Any
) -> None:
    shutil.copytree(scenes, tmp_path / "scenes")
    monkeypatch.chdir(tmp_path)
    damaged = sorted(Path("scenes/imgs").iterdir())[7]
    damaged.write_bytes(damaged.read_bytes()[:2000])
    one, many = tmp_path / "one", tmp_path / "many"
    options: Any = {"data": "scenes", "split": "all", "examples": 3, "skip_broken": True}
    dashseg.evaluate(model_directory, out=one, device="cpu", **options)
    found = dashseg.evaluate(model_directory, out=many, cluster=cluster, device="cpu", **options)
    assert found.data["images"] == 19
    assert found.intervals["miou_95"]
    ours, theirs = (json.loads((out / "metrics.json").read_text()) for out in (many, one))
    assert all(value > 0 for value in ours.pop("throughput").values())
    theirs.pop("throughput")
    assert ours == theirs
    files = {path.relative_to(one) for path in one.rglob("*") if path.suffix in (".csv", ".png")}
    assert len(files) > 12  # label and prediction of the three best and the three worst
    for name in files:
        assert (many / name).read_bytes() == (one / name).read_bytes(), name
