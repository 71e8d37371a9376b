"""A shard, done in this process as an actor does it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow.parquet
import pytest

from dashseg.errors import InputError
from dashseg.inference import load, predict_files
from dashseg.scale.model import read_model, store
from dashseg.scale.outputs import FORMATS
from dashseg.scale.plan import Plan, extend
from dashseg.scale.record import FOLDER, Record, Settings, code_digest
from dashseg.scale.sources import rows_of
from dashseg.scale.storage import Storage
from dashseg.scale.worker import Done, Job, Worker

Outputs = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def job(tmp_path: Path, model_directory: Path) -> Callable[..., Job]:
    """job(frames, format="files", out=…) -> of a run that was planned, of one shard."""

    def make(frames: Path, format: str = "files", out: str = str(tmp_path / "many")) -> Job:
        storage = Storage(out, f"{FOLDER}/tmp")
        record, files = Record(storage), read_model(str(model_directory), None)
        store(record.folder, files)
        record.begin_run(Settings((str(frames),), format, files.digest(), (), code_digest()))
        plan = extend(Plan(record.folder), rows_of([str(frames)]), largest=64)
        assert len(plan.sizes()) in (1, 3)
        return Job(storage, format, files.first, files.digest(), code_digest())  # type: ignore[arg-type]

    return make


def do(job: Job) -> list[Done]:
    """What became of each of three shards."""
    return list(map(Worker(job), range(3)))


def test_files_are_those_of_one_machine(
    frames: Path, job: Callable[..., Job], model_directory: Path, tmp_path: Path, outputs: Outputs
) -> None:
    predict_files(load(model_directory, device="cpu"), [str(frames)], tmp_path / "one")
    assert do(job(frames)) == [(4, 0), (4, 0), (4, 0)]
    assert outputs(tmp_path / "many") == outputs(tmp_path / "one")


def test_files_in_an_object_store_are_the_same(
    frames: Path, job: Callable[..., Job], model_directory: Path, tmp_path: Path, outputs: Outputs,
    s3: str,
) -> None:  # fmt: skip
    predict_files(load(model_directory, device="cpu"), [str(frames)], tmp_path / "one")
    out = f"{s3}/{tmp_path.name}"
    do(job(frames, out=out))
    found = {
        name: Storage(out).read(name)
        for name, _ in Storage(out).walk()
        if not name.startswith(FOLDER)
    }
    assert found == outputs(tmp_path / "one")


def test_parquet_has_label_shares_and_confidence(
    frames: Path, job: Callable[..., Job], model_directory: Path, tmp_path: Path
) -> None:
    do(job(frames, "parquet"))
    segment = load(model_directory, device="cpu")
    folder = tmp_path / "many" / "frames"
    rows = pyarrow.parquet.read_table(folder).to_pylist()
    assert [row["name"] for row in rows] == [row.name for row in rows_of([str(frames)])]
    for row in rows:
        result = segment(row["path"])
        label = np.array(PIL.Image.open(io.BytesIO(row["label"])))
        np.testing.assert_array_equal(label, result.label)
        assert (row["height"], row["width"]) == label.shape
        counts = np.bincount(label.ravel(), minlength=len(segment.classes)) / label.size
        assert list(row["shares"].values()) == pytest.approx(counts.tolist())
        assert list(row["shares"]) == list(segment.classes.names)
        logits = np.asarray(result.logits, np.float64)
        p = np.exp(logits) / np.exp(logits).sum(0)
        assert row["confidence"] == pytest.approx(p.max(0).mean(), rel=1e-5)


@pytest.mark.parametrize("format", ["files", "parquet"])
def test_a_damaged_frame_harms_no_other_and_is_tried_again(
    frames: Path, job: Callable[..., Job], tmp_path: Path, outputs: Outputs, format: str
) -> None:
    whole = job(frames, format, str(tmp_path / "whole"))
    do(whole)
    good = frames / "drive0/0002.png"
    kept = good.read_bytes()
    good.write_bytes(kept[:100])
    work = job(frames, format)
    assert do(work)[0] == (4, 1)
    (error,) = Record(work.out).failed(0)
    assert error["name"] == "drive0/0002"
    assert "truncated" in error["reason"]
    good.write_bytes(kept)
    assert do(work) == [(1, 0), (0, 0), (0, 0)]
    assert outputs(tmp_path / "many") == outputs(tmp_path / "whole")
    assert Record(work.out).failed(0) == []


def test_an_exception_that_nobody_foresaw_is_the_rows_own(
    frames: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashseg.scale import worker

    real = worker._read

    def read(unit):
        if unit.name == "drive0/0004":
            raise ZeroDivisionError("odd")
        return real(unit)

    monkeypatch.setattr(worker, "_read", read)
    work = job(frames)
    assert [errors for _, errors in do(work)] == [1, 0, 0]
    assert "ZeroDivisionError: odd" in Record(work.out).failed(0)[0]["reason"]


def test_a_row_that_kills_its_process_harms_no_other(
    frames: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dashseg.scale import worker

    class Death(BaseException):
        """Stands for a crash: nothing below catches it."""

    real = worker._read

    def read(unit):
        if unit.name == "drive0/0004":
            raise Death
        return real(unit)

    monkeypatch.setattr(worker, "_read", read)
    work, deaths = job(frames), 0
    while True:
        try:
            done = do(work)
            break
        except Death:  # Ray starts another process, and gives it the shard again
            deaths += 1
    assert deaths == 3
    assert [errors for _, errors in done] == [1, 0, 0]
    assert "the process that read it died" in Record(work.out).failed(0)[0]["reason"]
    assert len(list((tmp_path / "many/masks").rglob("*.png"))) == 11


def test_a_shard_that_was_cut_off_is_finished(
    frames: Path, job: Callable[..., Job], tmp_path: Path, outputs: Outputs
) -> None:
    work = job(frames)
    do(work)
    whole = outputs(tmp_path / "many")
    # As if killed before the last file, and before the shard was noted as done.
    (tmp_path / "many/masks/drive0/0000.png").unlink()
    (tmp_path / f"many/{FOLDER}/done/00000000.json").unlink()
    assert do(work)[0] == (4, 0)
    assert outputs(tmp_path / "many") == whole


def test_a_file_that_dashseg_did_not_write_stays(
    frames: Path, job: Callable[..., Job], tmp_path: Path
) -> None:
    mine = tmp_path / "many/masks/drive0/0002.png"
    work = job(frames)
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"0002\.png was not written by dashseg predict"):
        do(work)
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"code": "another"}, "another version of dashseg"),
        ({"digest": "another"}, "was changed since"),
        ({"out": Storage("/nowhere/out")}, "does not see /nowhere/out"),
    ],
)
def test_what_concerns_every_shard_stops_the_run(
    frames: Path, job: Callable[..., Job], change: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        do(replace(job(frames), **change))


def test_largest_shards_fit_in_memory() -> None:
    assert all(0 < format.largest <= 1024 for format in FORMATS.values())


def test_a_network_that_gives_nonsense_is_each_rows_error(
    frames: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashseg.inference.segmenter import Segmenter

    def batch(self, images):
        raise InputError("the network gives NaN")

    monkeypatch.setattr(Segmenter, "batch", batch)
    assert [errors for _, errors in do(job(frames))] == [4, 4, 4]
