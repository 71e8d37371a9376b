"""Runs on a real Ray cluster: an actor on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import psutil
import pyarrow.parquet
import pytest

from dashseg.errors import InputError
from dashseg.inference import load, predict_files
from dashseg.scale.predict import ClusterReport, predict

Outputs = Callable[[Path], dict[str, bytes]]


def test_a_run_with_a_damaged_frame_then_without_it(
    frames: Path, model_directory: Path, tmp_path: Path, outputs: Outputs, cluster: str
) -> None:
    one, many, model = tmp_path / "one", tmp_path / "many", str(model_directory)
    predict_files(load(model_directory, device="cpu"), [str(frames)], one)
    damaged = frames / "drive0/0002.png"
    kept = damaged.read_bytes()
    damaged.write_bytes(b"")
    told: list[tuple[int, int]] = []
    report = predict(
        model, [str(frames)], str(many), cluster, on_progress=lambda *counts: told.append(counts)
    )
    assert report == ClusterReport(written=11, failed=1)
    assert told[-1] == (12, 12)
    wanted = {name: data for name, data in outputs(one).items() if "0002" not in name}
    (error,) = pyarrow.parquet.read_table(many / "errors.parquet").to_pylist()
    assert (error["name"], error["path"]) == ("drive0/0002", str(damaged))
    assert "empty" in error["reason"]
    (many / "errors.parquet").rename(tmp_path / "errors.parquet")
    assert outputs(many) == wanted

    damaged.write_bytes(kept)
    assert predict(model, [str(frames)], str(many), cluster) == ClusterReport(written=1, kept=11)
    assert outputs(many) == outputs(one)
    assert predict(model, [str(frames)], str(many), cluster) == ClusterReport(kept=12)

    with pytest.raises(InputError, match="another --format"):
        predict(model, [str(frames)], str(many), cluster, format="parquet")
    with pytest.raises(InputError, match="another --tta"):
        predict(model, [str(frames)], str(many), cluster, tta=["flip"])
    with pytest.raises(InputError, match="another inputs"):
        predict(model, [str(frames / "drive0")], str(many), cluster)
    with pytest.raises(InputError, match="another model"):
        predict("small", [str(frames)], str(many), cluster)
    assert outputs(many) == outputs(one)

    changed = many / "masks/drive0/0000.png"
    written = changed.read_bytes()
    changed.write_bytes(b"mended by hand")
    with pytest.raises(InputError, match=r"0000\.png was changed since"):
        predict(model, [str(frames)], str(many), cluster, format="parquet", overwrite=True)
    assert changed.read_bytes() == b"mended by hand"
    changed.write_bytes(written)
    mine = many / "masks/mine.txt"
    mine.write_text("mine")
    report = predict(model, [str(frames)], str(many), cluster, format="parquet", overwrite=True)
    assert report == ClusterReport(written=12)
    shards = [f"frames/{number:08d}.parquet" for number in range(3)]
    assert sorted(outputs(many)) == [*shards, "masks/mine.txt"]


def test_a_killed_actor_harms_nothing(
    model_directory: Path, tmp_path: Path, outputs: Outputs, cluster: str
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(200):
        rng = np.random.default_rng(number)
        PIL.Image.fromarray(rng.integers(0, 256, (40, 56, 3), np.uint8)).save(
            frames / f"{number}.png"
        )
    predict_files(load(model_directory, device="cpu"), [str(frames)], tmp_path / "one")
    killed: list[int] = []

    def kill_once(*counts: int) -> None:
        if not killed:
            killed.append(actor())
            os.kill(killed[0], signal.SIGKILL)

    report = predict(
        str(model_directory), [str(frames)], str(tmp_path / "many"), cluster, on_progress=kill_once
    )
    assert killed
    assert report.failed == 0
    assert outputs(tmp_path / "many") == outputs(tmp_path / "one")


def actor() -> int:
    """The process of an actor that holds the model."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "MapWorker" in " ".join(process.cmdline()):
                return process.pid
    raise LookupError("no actor")


def test_too_many_errors_stop_the_run(
    frames: Path, model_directory: Path, tmp_path: Path, cluster: str
) -> None:
    for path in frames.rglob("*.png"):
        path.write_bytes(b"no image")
    out = tmp_path / "many"
    with pytest.raises(InputError, match="more than --max-errors 2"):
        predict(str(model_directory), [str(frames)], str(out), cluster, max_errors=2)
    assert pyarrow.parquet.read_table(out / "errors.parquet").num_rows > 2


def test_what_is_there_already_stays(
    frames: Path, model_directory: Path, tmp_path: Path, cluster: str
) -> None:
    mine = tmp_path / "many/masks/0.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="masks exists"):
            arguments: Any = (str(model_directory), [str(frames)], str(tmp_path / "many"), cluster)
            predict(*arguments, overwrite=overwrite)
    assert mine.read_bytes() == b"mine"
