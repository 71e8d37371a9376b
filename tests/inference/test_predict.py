"""Files go in, masks and overlays of the same names come out, and nothing is lost on the way."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.errors import InputError
from dashseg.inference import PredictReport, Segmenter, load, predict_files
from dashseg.labels import COMMA10K, read_mask
from dashseg.outputs import RECORD

PREDICT = """
import sys
from pathlib import Path
from dashseg.errors import InputError
from dashseg.inference import load, predict_files

out = Path(sys.argv[1])
segmenter = load(sys.argv[2], device="cpu")
try:
    report = predict_files(segmenter, [sys.argv[3]], out, probabilities=True)
    print(report)
except InputError as error:
    print(error)
print(sorted(str(path.relative_to(out)) for path in out.rglob("*.*g")))
"""


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """frames/{a.png, night/b.jpg, night/rain/c.png} of different sizes, and a text file."""
    root = tmp_path / "frames"
    sizes = {"a.png": (40, 56), "night/b.jpg": (33, 70), "night/rain/c.png": (48, 48)}
    for name, size in sizes.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(name))
        blocks = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(10, 0).repeat(10, 1)
        PIL.Image.fromarray(blocks[: size[0], : size[1]]).save(path)
    (root / "notes.txt").write_text("rain at noon")
    return root


def files(folder: Path) -> list[str]:
    """All but the record of what was written."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if name != RECORD)


def predict(segmenter: Segmenter, out: Path, *inputs: Path | str, **options: Any) -> PredictReport:
    return predict_files(segmenter, [str(entry) for entry in inputs], out, **options)


def problem(segmenter: Segmenter, out: Path, *inputs: Path | str, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        predict(segmenter, out, *inputs, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_keeps_its_subfolders(segmenter: Segmenter, frames: Path, tmp_path: Path) -> None:
    report = predict(segmenter, tmp_path / "out", frames)
    assert report == PredictReport(written=3, unreadable=[])
    assert files(tmp_path / "out") == [
        *("masks/a.png", "masks/night/b.png", "masks/night/rain/c.png"),
        *("overlays/a.jpg", "overlays/night/b.jpg", "overlays/night/rain/c.jpg"),
    ]


def test_what_is_written_is_the_result_at_the_frames_size(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(segmenter, out, frames / "night" / "b.jpg", probabilities=True)
    result = segmenter(frames / "night" / "b.jpg")
    assert files(out) == ["masks/b.png", "overlays/b.jpg", "probabilities/b.npy"]
    assert np.array_equal(read_mask(out / "masks" / "b.png", COMMA10K), result.label)
    overlay = np.array(PIL.Image.open(out / "overlays" / "b.jpg"), float)
    assert overlay.shape == (33, 70, 3)
    assert np.abs(overlay - np.array(result.overlay())).mean() < 15  # JPEG of hard edges
    probabilities = np.load(out / "probabilities" / "b.npy")
    assert (probabilities.shape, probabilities.dtype) == ((5, 33, 70), np.float16)
    assert np.allclose(probabilities, result.probabilities, atol=1e-3)


def test_globs_and_files_go_together(segmenter: Segmenter, frames: Path, tmp_path: Path) -> None:
    predict(segmenter, tmp_path / "out", frames / "a.png", f"{frames}/night/**/*.png")
    assert files(tmp_path / "out" / "masks") == ["a.png", "c.png"]


def test_a_frame_named_twice_is_predicted_once(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    report = predict(segmenter, tmp_path / "out", frames, frames / "a.png", f"{frames}/*.png")
    assert report.written == 3


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    (frames / "a.png").rename(frames / "a[1].png")
    predict(segmenter, tmp_path / "out", frames / "a[1].png")
    assert files(tmp_path / "out" / "masks") == ["a[1].png"]


def test_a_name_with_dots_keeps_them(segmenter: Segmenter, frames: Path, tmp_path: Path) -> None:
    (frames / "a.png").rename(frames / "12.30.05.png")
    predict(segmenter, tmp_path / "one", frames / "12.30.05.png")
    predict(segmenter, tmp_path / "all", frames)
    assert files(tmp_path / "one" / "masks") == ["12.30.05.png"]
    assert files(tmp_path / "all" / "masks")[0] == "12.30.05.png"


def test_unreadable_files_are_reported_and_do_not_stop_the_others(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    whole = (frames / "a.png").read_bytes()
    (frames / "cut.png").write_bytes(whole[: len(whole) // 2])
    (frames / "empty.png").touch()
    PIL.Image.fromarray(np.zeros((40, 56), np.uint16)).save(frames / "deep.png")
    os.mkfifo(frames / "pipe.png")
    (frames / "._a.png").write_bytes(b"\0\5\26\7")  # macOS keeps notes of its own
    report = predict(segmenter, tmp_path / "out", frames)
    assert report.written == 3
    assert len(report.unreadable) == 4
    for message, name, reason in zip(
        report.unreadable,
        ("cut.png", "deep.png", "empty.png", "pipe.png"),
        (
            "the file is truncated",
            "uint16 samples",
            "the file is empty",
            "a pipe, socket or device",
        ),
        strict=True,
    ):
        assert message.startswith(f"{frames / name}: {reason}")
    assert files(tmp_path / "out" / "masks") == ["a.png", "night/b.png", "night/rain/c.png"]


def test_hidden_folders_are_left_out_and_unreadable_ones_reported(
    segmenter: Segmenter, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, locked = frames / ".thumbnails", frames / "locked"
    for folder in (hidden, locked):
        folder.mkdir()
        (folder / "d.png").write_bytes((frames / "a.png").read_bytes())
    scandir = os.scandir

    def refuse(path: Any) -> Any:  # root, as in containers, may read any folder
        if not isinstance(path, int) and Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = predict(segmenter, tmp_path / "out", frames)
    assert report.unreadable == [f"{locked}: cannot be listed: Permission denied"]
    assert files(tmp_path / "out" / "masks") == ["a.png", "night/b.png", "night/rain/c.png"]


def test_progress_counts_every_file(segmenter: Segmenter, frames: Path, tmp_path: Path) -> None:
    (frames / "empty.png").touch()
    seen: list[tuple[int, int]] = []
    predict(segmenter, tmp_path / "out", frames, on_progress=lambda *done: seen.append(done))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_earlier_outputs_are_kept_unless_told(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "overlays" / "night").mkdir(parents=True)
    (out / "overlays" / "night" / "b.jpg").write_text("mine")
    message = problem(segmenter, out, frames)
    assert message.startswith(f"{out / 'overlays/night/b.jpg'} exists: choose another --out, or")
    assert files(out) == ["overlays/night/b.jpg"]  # nothing was written before the refusal
    assert (out / "overlays" / "night" / "b.jpg").read_text() == "mine"
    message = problem(segmenter, out, frames, overwrite=True)
    assert message.startswith(f"{out / 'overlays/night/b.jpg'} was not written by dashseg predict")
    assert files(out) == ["overlays/night/b.jpg"]
    assert (out / "overlays" / "night" / "b.jpg").read_text() == "mine"


def test_outputs_of_another_model_or_frame_are_replaced_only_when_told(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(segmenter, out, frames)
    other = Segmenter(segmenter.runtime, segmenter.input, segmenter.classes, "other", tta=["flip"])
    assert "exists and 5 more: choose another --out, or --overwrite" in problem(other, out, frames)
    assert predict(other, out, frames, overwrite=True).written == 3
    save(frames / "a.png", (50, 50))  # the frame changes, its outputs are of the old one
    assert "exists and 1 more: choose" in problem(other, out, frames)
    predict(other, out, frames, overwrite=True)
    assert PIL.Image.open(out / "masks" / "a.png").size == (50, 50)


def test_a_mask_that_a_person_mended_is_never_replaced(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(segmenter, out, frames)
    save(out / "masks" / "a.png", (7, 7))
    for overwrite in (False, True):
        message = problem(segmenter, out, frames, overwrite=overwrite)
        assert message.startswith(str(out / "masks" / "a.png"))
    assert PIL.Image.open(out / "masks" / "a.png").size == (7, 7)


def test_a_rerun_writes_what_is_missing_and_keeps_the_rest(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(segmenter, out, frames)
    (out / "overlays" / "night" / "b.jpg").unlink()  # as if killed between mask and overlay
    before = (out / "masks" / "a.png").stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    report = predict(segmenter, out, frames, on_progress=lambda *done: seen.append(done))
    assert (report.written, report.kept, seen) == (1, 2, [(3, 3)])
    assert len(files(out)) == 6
    assert (out / "masks" / "a.png").stat().st_mtime_ns == before
    assert predict(segmenter, out, frames) == PredictReport(kept=3)


def test_the_same_call_resumes_one_that_was_killed(
    model_directory: Path, frames: Path, tmp_path: Path, forks: Any
) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from dashseg.inference import load, predict_files

def kill(done, count):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

predict_files(load(sys.argv[1], device="cpu"), [sys.argv[2]], Path(sys.argv[3]), on_progress=kill)
"""
    for number in range(30):  # more than the threads work ahead of the progress
        shutil.copy(frames / "a.png", frames / f"{number}.png")
    out = tmp_path / "out"
    killed = forks.run("-c", script, model_directory, frames, out, cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL
    model = load(model_directory, device="cpu")
    done = sum(path.is_file() for path in out.rglob("*.*g"))
    assert done < 66
    report = predict(model, out, frames)
    assert (report.written + report.kept, report.unreadable) == (33, [])
    assert len(files(out)) == 66
    assert {path.name for path in out.iterdir()} == {"masks", "overlays", RECORD}


@pytest.mark.parametrize("link", [None, Path.symlink_to, Path.hardlink_to])
def test_an_output_is_never_an_input(
    segmenter: Segmenter, frames: Path, tmp_path: Path, link: Any
) -> None:
    """Not even one that an earlier call wrote, nor by another name."""
    out = tmp_path / "out"
    predict(segmenter, out, frames / "a.png")
    entry, taken = out / "overlays" / "a.jpg", out / "overlays" / "a.jpg"
    if link:
        entry = tmp_path / "a.jpg"
        link(entry, taken)
    before = taken.read_bytes()
    message = problem(segmenter, out, entry, overwrite=True)
    assert message == f"{taken} is an input: choose another folder"
    assert taken.read_bytes() == before


def test_masks_beside_images_are_never_replaced(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    """`predict data/images --out data --overwrite` on a data set that has masks."""
    root = tmp_path / "data"
    root.mkdir()
    frames.rename(root / "images")
    (root / "masks").mkdir()
    (root / "masks" / "a.png").write_text("drawn by hand")
    assert "masks/a.png was not written by" in problem(
        segmenter, root, root / "images", overwrite=True
    )
    assert (root / "masks" / "a.png").read_text() == "drawn by hand"
    assert not (root / "overlays").exists()


def save(path: Path, size: tuple[int, int]) -> None:
    PIL.Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)


def test_two_frames_of_one_name_are_an_error_that_names_both(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    (frames / "a.jpg").write_bytes((frames / "night" / "b.jpg").read_bytes())
    out = tmp_path / "out"
    message = problem(segmenter, out, frames)
    assert f"{frames / 'a.png'} and {frames / 'a.jpg'} would both be written as a" in message
    message = problem(segmenter, out, frames / "a.png", f"{frames}/*.jpg")
    assert "would both be written as a" in message
    assert not out.exists()


def test_no_images_are_an_error_that_names_the_input(segmenter: Segmenter, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    assert f"{tmp_path / 'empty'}: no images in this folder (.png, " in problem(
        segmenter, out, tmp_path / "empty"
    )
    for missing in (tmp_path / "gone.png", f"{tmp_path}/*.png"):
        assert problem(segmenter, out, missing) == (
            f"{missing}: no such file or folder, and no file matches it"
        )
    assert not out.exists()


def test_a_file_where_the_output_folder_should_go_is_an_error(
    segmenter: Segmenter, frames: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("mine")
    message = problem(segmenter, tmp_path / "out", frames)
    assert message.startswith("cannot write ")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("disk", "reason", "left"),
    [
        # A mask and an overlay take 8 kB, the probabilities 23 kB.
        ({"size": "24k"}, "a.npy: No space left on device", "['masks/a.png', 'overlays/a.jpg']"),
        ({"read_only": True}, "disk: Read-only file system", "[]"),
    ],
)
def test_a_disk_that_takes_no_more_is_an_error_and_leaves_no_half_file(
    in_small_disk: Callable[..., Any],
    model_directory: Path,
    frames: Path,
    disk: dict[str, Any],
    reason: str,
    left: str,
) -> None:
    result = in_small_disk(PREDICT, model_directory, frames / "a.png", **disk)
    assert result.returncode == 0, result.stderr
    message, found = result.stdout.splitlines()
    assert message.startswith("cannot write ")
    assert reason in message
    assert found == left
