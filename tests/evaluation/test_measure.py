"""evaluate(): what it writes, what it refuses, and what it leaves behind when it is stopped."""

from __future__ import annotations

import csv
import gc
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score

from dashseg.data import Sample
from dashseg.data.dataset import FileDataset, Frame
from dashseg.errors import InputError
from dashseg.evaluation import evaluate
from dashseg.images import encode_png
from dashseg.inference import upsample
from dashseg.labels import Classes, write_mask


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "per_image.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def predicted(segmenter, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, prediction and −ln p of the labelled pixels of one frame, by the slow road."""
    full = upsample(segmenter.logits(sample.image), sample.label.shape).double().numpy()
    p = np.exp(full) / np.exp(full).sum(0)
    keep = sample.label != 255
    label = sample.label[keep].astype(int)
    return label, full.argmax(0)[keep], -np.log(p[:, keep][label, np.arange(len(label))])


def test_metrics_json_keeps_its_contract_and_is_what_is_returned(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    metrics = evaluate(segmenter, frames, tmp_path / "out").to_dict()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8")) == metrics
    assert metrics["schema"] == 1
    assert metrics["data"] == {
        "root": "frames",
        "kind": "comma10k",
        "split": "val",
        "images": 12,
        "unlabelled": 0,
        "unreadable": [],
        "fingerprint": "0123456789abcdef",
        "resized": False,
    }
    assert (metrics["model"], metrics["weights"]) == ("runs/tiny", None)
    assert metrics["classes"] == list(frames.classes.names) == list(metrics["iou"])
    assert set(metrics["ce"]) == {"native", "padded_896x1184", "square_256"}
    assert set(metrics["groups"]) == {"dark", "dim", "bright"}
    assert set(metrics["intervals"]) == {"ce_native_95", "miou_95"}
    assert metrics["throughput"]["images_per_s"] > 0
    assert metrics["throughput"]["peak_rss_mb"] > 10


def test_weights_are_told_by_the_digest_that_they_had_when_the_pass_began(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    segmenter.weights = tmp_path / "model.safetensors"
    segmenter.weights.write_bytes(b"abc")
    out = tmp_path / "out"
    metrics = evaluate(
        segmenter, frames, out, on_progress=lambda *_: segmenter.weights.unlink(True)
    )
    # The example of FIPS 180-2, appendix B.1.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert metrics.weights == digest
    assert digest[:16] in (out / "report/index.html").read_text("utf-8")


def test_numbers_are_those_of_all_pixels_together_not_of_frames_averaged(
    make_frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    # Frames of different sizes: an average of averages would be another number.
    small, large = make_frames(4), make_frames(3, seed=1, size=(60, 50))
    samples = [*small.samples, *large.samples]
    metrics = evaluate(segmenter, make_frames(samples=samples), tmp_path / "out")
    label, prediction, loss = (
        np.concatenate(parts)
        for parts in zip(*(predicted(segmenter, sample) for sample in samples), strict=True)
    )
    assert metrics.ce["native"] == pytest.approx(loss.mean(), rel=1e-5)
    assert metrics.ce["padded_896x1184"] == pytest.approx(loss.sum() / (7 * 896 * 1184), rel=1e-5)
    np.testing.assert_array_equal(metrics.confusion, confusion_matrix(label, prediction))
    assert metrics.miou == pytest.approx(jaccard_score(label, prediction, average="macro"))
    assert metrics.pixel_accuracy == pytest.approx((label == prediction).mean())


def test_one_frame_too_large_for_padding_takes_the_padded_number_from_all(
    make_frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    wide = Sample(np.zeros((4, 1185, 3), np.uint8), np.zeros((4, 1185), np.uint8), "wide")
    frames = make_frames(samples=[*make_frames(2).samples, wide, *make_frames(2, seed=1).samples])
    metrics = evaluate(segmenter, frames, tmp_path / "out", examples=0)
    assert metrics.ce["padded_896x1184"] is None
    assert metrics.ce["native"] is not None


def test_per_image_csv_has_a_row_for_every_frame_in_order(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    evaluate(segmenter, frames, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [row["name"] for row in rows] == frames.names
    ious = [f"iou_{name}" for name in frames.classes.names]
    assert list(rows[0]) == [
        *("name", "loss", "miou", "pixel_accuracy", *ious, "pixels", "luminance", "group")
    ]
    for row, sample in zip(rows, frames.samples, strict=True):
        label, prediction, loss = predicted(segmenter, sample)
        assert float(row["loss"]) == pytest.approx(loss.mean(), rel=1e-4)
        assert int(row["pixels"]) == len(label)
        expected = jaccard_score(label, prediction, average=None)
        np.testing.assert_allclose([float(row[iou]) for iou in ious], expected, rtol=1e-4)
        assert float(row["miou"]) == pytest.approx(expected.mean(), rel=1e-4)


def test_groups_share_out_all_frames_and_pixels(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    metrics = evaluate(segmenter, frames, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert len({row["group"] for row in rows}) == 3
    for name, group in metrics.groups.items():
        mine = [row for row in rows if row["group"] == name]
        pixels = np.array([int(row["pixels"]) for row in mine])
        losses = np.array([float(row["loss"]) for row in mine])
        assert group["images"] == len(mine)
        assert group["ce_native"] == pytest.approx((losses * pixels).sum() / pixels.sum(), rel=1e-4)


def test_an_absent_class_is_null_in_json_and_empty_in_csv(
    make_frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    samples = make_frames(3).samples
    for sample in samples:
        sample.label[sample.label == 1] = 0
    evaluate(segmenter, make_frames(samples=samples), tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))
    assert metrics["iou"]["lane markings"] is None
    present = [iou for iou in metrics["iou"].values() if iou is not None]
    assert metrics["miou"] == pytest.approx(np.mean(present))
    assert {row["iou_lane markings"] for row in rows_of(tmp_path / "out")} == {""}


def test_a_frame_without_labels_counts_in_nothing_but_is_listed(
    make_frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    samples = make_frames(4).samples
    blank = Sample(samples[0].image, np.full_like(samples[0].label, 255), "blank")
    without = evaluate(segmenter, make_frames(samples=samples), tmp_path / "without")
    metrics = evaluate(segmenter, make_frames(samples=[*samples, blank]), tmp_path / "with")
    assert (metrics.data["images"], metrics.data["unlabelled"]) == (5, 1)
    for same in ("ce", "miou", "iou", "confusion", "groups", "intervals"):
        assert getattr(metrics, same) == getattr(without, same)
    row = rows_of(tmp_path / "with")[-1]
    assert (row["name"], row["loss"], row["miou"], row["pixels"]) == ("blank", "", "", "0")


def test_data_without_any_label_gives_nulls_and_still_a_report(
    make_frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    samples = make_frames(2).samples
    for sample in samples:
        sample.label[:] = 255
    metrics = evaluate(segmenter, make_frames(samples=samples), tmp_path / "out")
    assert metrics.ce == {"native": None, "padded_896x1184": None, "square_256": None}
    assert metrics.miou is None
    assert (tmp_path / "out" / "report" / "index.html").is_file()


def test_shown_frames_are_the_ends_of_the_table(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    evaluate(segmenter, frames, tmp_path / "out", examples=3)
    ranked = sorted(rows_of(tmp_path / "out"), key=lambda row: float(row["loss"]))
    html = (tmp_path / "out" / "report" / "index.html").read_text("utf-8")
    shown = [f"</span> {row['name']}</h3>" for row in (*ranked[:-4:-1], *ranked[:3])]
    places = [html.index(heading) for heading in shown]
    assert places == sorted(places)
    assert html.count("<h3><span") == 6


def test_the_same_seed_gives_the_same_intervals(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    first, again, other = (
        evaluate(segmenter, frames, tmp_path / "out", examples=0, seed=seed) for seed in (4, 4, 5)
    )
    assert first.intervals == again.intervals != other.intervals
    interval = first.intervals["ce_native_95"]
    assert interval is not None
    low, high = interval
    ce = first.ce["native"]
    assert ce is not None and low < ce < high


def test_progress_is_told_frame_by_frame(frames: Any, segmenter: Any, tmp_path: Path) -> None:
    told = []
    evaluate(
        segmenter,
        frames,
        tmp_path / "out",
        examples=0,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 12) for done in range(1, 13)]


def test_memory_does_not_grow_with_the_data_set(
    make_frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    base: Any = type(make_frames())

    class Made(base):  # type: ignore[misc]
        """Frames made when they are read, as files are."""

        def __len__(self) -> int:
            return len(self.samples)

        def __getitem__(self, index: int) -> Sample:
            return make_frames(1, seed=index, size=(16, 24)).samples[0]

    def held_after(count: int) -> int:
        """Bytes held at a pass's last frame that were allocated during the pass."""
        held = []

        def watch(done: int, total: int) -> None:
            if done == total:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])

        tracemalloc.start()
        try:
            evaluate(
                segmenter, Made(range(count)), tmp_path / "out",
                examples=2, bootstrap=50, on_progress=watch,
            )  # fmt: skip
        finally:
            tracemalloc.stop()
        return held[0]

    held_after(100)  # libraries fill their caches
    short, long = held_after(100), held_after(500)
    # A row of the table takes 600 bytes, a frame's score more. What libraries keep for reuse levels
    # off: 30 kB more after 500 frames than after 100, 75 bytes a frame, give or take 50 kB.
    assert (long - short) / 400 < 300


def test_models_of_other_classes_are_refused_with_both_lists(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    segmenter.classes = Classes(("road", "tree"), ((1, 2, 3), (4, 5, 6)))
    with pytest.raises(InputError, match=r"frames has the classes road, .*; runs/tiny has road, t"):
        evaluate(segmenter, frames, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_without_frames_are_refused(make_frames: Any, segmenter: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frames"):
        evaluate(segmenter, make_frames(0), tmp_path / "out")


def test_logits_that_are_no_numbers_are_an_error_that_names_the_frame(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    segmenter.logits = lambda image: torch.full((5, 3, 4), float("nan"))
    with pytest.raises(InputError, match="frame_000"):
        evaluate(segmenter, frames, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("held", [["notes.txt"], ["metrics.json", "notes.txt"], ["per_image.csv"]])
def test_a_folder_that_is_no_evaluation_is_refused_and_untouched(
    frames: Any, segmenter: Any, tmp_path: Path, held: Any
) -> None:
    for name in held:
        (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="no earlier evaluation"):
        evaluate(segmenter, frames, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        held, "mine"
    )


def test_a_file_in_the_folders_place_is_refused(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        evaluate(segmenter, frames, tmp_path / "out")


def test_an_earlier_evaluation_is_replaced_whole_and_what_others_put_there_stays(
    frames: Any, make_frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    evaluate(segmenter, frames, out, examples=4)
    for name in (".DS_Store", "notes.txt", "report/notes.txt"):
        (out / name).write_text("mine")
    evaluate(segmenter, make_frames(4), out, examples=1)
    assert len(rows_of(out)) == 4
    for name in (".DS_Store", "notes.txt", "report/notes.txt"):
        assert (out / name).read_text() == "mine"
    assert len(list((out / "report").glob("worst-*-frame.jpg"))) == 1


def test_an_evaluation_that_somebody_changed_is_refused_and_untouched(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    evaluate(segmenter, frames, out, examples=1)
    (out / "report" / "index.html").write_text("mine")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"index\.html was changed since dashseg wrote it"):
        evaluate(segmenter, frames, out, examples=1)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("held", ["metrics.json", "per_image.csv", "report"])
def test_results_of_another_tool_are_no_evaluation(
    frames: Any, segmenter: Any, tmp_path: Path, held: str
) -> None:
    """Names are no proof: the record in the folder is."""
    (tmp_path / "out" / held).parent.mkdir()
    (tmp_path / "out" / held).write_text('{"tool": "another"}')
    with pytest.raises(InputError, match=f"holds {held} and is no earlier evaluation"):
        evaluate(segmenter, frames, tmp_path / "out")
    assert (tmp_path / "out" / held).read_text() == '{"tool": "another"}'


def test_an_empty_folder_is_filled(frames: Any, segmenter: Any, tmp_path: Path) -> None:
    evaluate(segmenter, frames, tmp_path / "deep" / "er", examples=0)
    (tmp_path / "empty").mkdir()
    evaluate(segmenter, frames, tmp_path / "empty", examples=0)
    assert (tmp_path / "empty" / "metrics.json").is_file()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, InputError("frame 5: truncated")])
def test_a_stopped_evaluation_leaves_nothing_and_the_earlier_one_as_it_was(
    frames: Any, segmenter: Any, tmp_path: Path, stop: Any
) -> None:
    base: Any = type(frames)

    class Failing(base):  # type: ignore[misc]
        def __getitem__(self, index: int) -> Sample:
            if index == 5:
                raise stop
            return super().__getitem__(index)

    failing = Failing(frames.samples)
    with pytest.raises(type(stop) if isinstance(stop, Exception) else stop):
        evaluate(segmenter, failing, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []

    out = tmp_path / "out"
    evaluate(segmenter, frames, out, examples=0)
    before = (out / "metrics.json").read_bytes()
    with pytest.raises(type(stop) if isinstance(stop, Exception) else stop):
        evaluate(segmenter, failing, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "metrics.json").read_bytes() == before


def test_tta_is_recorded(frames: Any, segmenter: Any, tmp_path: Path) -> None:
    metrics = evaluate(replace(segmenter, tta=("flip",)), frames, tmp_path / "out", examples=0)
    assert metrics.tta == ["flip"]


@pytest.fixture
def files(frames: Any, tmp_path: Path) -> FileDataset:
    """The same frames as PNG files."""
    folder = tmp_path / "data"
    folder.mkdir()
    found = []
    for image, label, name in frames.samples:
        frame = Frame(name, folder / f"{name}.png", folder / f"{name}-mask.png")
        frame.image.write_bytes(encode_png(image))
        # comma10k's palette has no colour for ignored pixels
        write_mask(frame.mask, np.where(label == 255, 0, label).astype(np.uint8), frames.classes)
        found.append(frame)
    return FileDataset(str(folder), "folder", "val", frames.classes, tuple(found))


def test_a_frame_deleted_meanwhile_is_named_and_the_earlier_evaluation_stays(
    files: FileDataset, segmenter: Any, tmp_path: Path
) -> None:
    out, gone = tmp_path / "out", files.frames[10]
    before = evaluate(segmenter, files, out)
    with pytest.raises(InputError) as error:
        evaluate(segmenter, files, out, on_progress=lambda *_: gone.mask.unlink(missing_ok=True))
    assert str(error.value) == (
        f"{gone.mask}: cannot be read: No such file or directory (frame 11 of 12);"
        " --skip-broken skips it"
    )
    assert json.loads((out / "metrics.json").read_text("utf-8")) == before.to_dict()


def test_skip_broken_scores_the_other_frames(
    files: FileDataset, segmenter: Any, tmp_path: Path
) -> None:
    """One frame is deleted before it is read, another after that; both before the report."""
    others = files.select([name for name in files.names if name != files.names[10]], "val")
    expected = evaluate(segmenter, others)

    def delete(*_: int) -> None:
        files.frames[10].image.unlink(missing_ok=True)
        files.frames[0].image.unlink(missing_ok=True)

    opened = files.fingerprint()
    out = tmp_path / "out"
    metrics = evaluate(segmenter, files, out, skip_broken=True, on_progress=delete)
    assert metrics.data["images"] == 11
    assert [text.split(":")[0] for text in metrics.data["unreadable"]] == [
        str(files.frames[10].image)
    ]
    assert metrics.data["fingerprint"] == opened
    assert (metrics.ce, metrics.confusion) == (expected.ce, expected.confusion)
    assert [row["name"] for row in rows_of(out)] == list(others.names)
    assert (
        "could not be read, and are in no number: 1." in (out / "report" / "index.html").read_text()
    )


def test_when_no_frame_can_be_read_there_is_nothing_to_skip(
    files: FileDataset, segmenter: Any, tmp_path: Path
) -> None:
    for frame in files.frames:
        frame.image.write_bytes(b"")
    with pytest.raises(InputError, match=r"none of 12 frames can be read; .*: the file is empty"):
        evaluate(segmenter, files, tmp_path / "out", skip_broken=True)
    assert not (tmp_path / "out").exists()
