"""`dashseg predict` on a video."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from dashseg.cli import main

av = pytest.importorskip("av")


@pytest.fixture
def drive(film: Callable[[Path, int], None], tmp_path: Path) -> Path:
    path = tmp_path / "drive.mp4"
    film(path, 40)
    return path


def test_a_video_is_written_with_the_masks_asked_for(
    model_directory: Path, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, masks = tmp_path / "seen.mkv", tmp_path / "masks"
    arguments = ["predict", str(model_directory), str(drive), "--out", str(out), "--masks"]
    arguments += [str(masks), "--start", "0:01", "--end", "1.5", "--every", "2", "--json"]
    assert main([*arguments, "--smooth", "0.5"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 5 and report["broken"] == 0
    assert [mask.name for mask in sorted(masks.glob("*.png"))] == [
        f"drive_{number:06d}.png" for number in (20, 22, 24, 26, 28)
    ]
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) == 5


def test_a_folder_as_out_gets_a_file_named_after_the_video(
    model_directory: Path, drive: Path, tmp_path: Path
) -> None:
    assert main(["predict", str(model_directory), str(drive), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "drive.seg.mp4").is_file()


def test_globs_of_videos_go_into_a_folder_and_a_broken_one_is_skipped(
    model_directory: Path, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "night.mkv").write_bytes(drive.read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    arguments = [str(tmp_path / "*.mp4"), str(tmp_path / "n*.mkv"), "--out", str(out), "--json"]
    arguments += ["--end", "0.08", "--masks", str(tmp_path / "masks")]
    assert main(["predict", str(model_directory), *arguments]) == 1
    said = capsys.readouterr()
    assert [report["frames"] for report in json.loads(said.out)] == [2, 2]
    assert f"skipped: {tmp_path / 'broken.mp4'}: not a video" in said.err
    assert sorted(path.name for path in out.glob("*.mp4")) == ["drive.seg.mp4", "night.seg.mp4"]
    assert sorted(path.name for path in (tmp_path / "masks").rglob("*.png")) == [
        *("drive_000000.png", "drive_000001.png", "night_000000.png", "night_000001.png")
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{drive}", "--out", "{drive}"], "is the input video"),
        (["{drive}", "{drive}", "--out", "a.mp4"], "2 inputs for one video: name a folder"),
        (["{drive}", "{frame}", "--out", "seen"], "videos and images"),
        (["{drive}", "other/drive.mkv", "--out", "seen"], "would both be written as seen/drive"),
        (["{drive}", "--out", "-"], "--out - is for live input"),
        (["{drive}", "--out", "a.mp4", "--probabilities"], "--probabilities is for images"),
        (["{drive}", "--out", "a.mp4", "--start", "soon"], "--start soon: expected seconds"),
        (["{drive}", "--out", "a.mp4", "--fps", "1/0"], "--fps 1/0"),
        (["{drive}", "--out", "a.mp4", "--fps", "1e999"], "--fps 1e999: expected a number"),
        (["{drive}", "--out", "a.mp4", "--fps", "1/" + "9" * 5000], "expected a number"),
        (["{drive}", "--out", "a.mp4", "--start", "1e999"], "--start 1e999: expected seconds"),
        (["{drive}", "--out", "a.mp4", "--end", "nan"], "--end nan: expected seconds"),
        (["{frame}", "--out", "seen", "--every", "2"], "--every is for videos"),
        (["{frame}", "--out", "seen", "--no-audio"], "--no-audio is for videos"),
        (["missing.mkv", "--out", "a.mp4"], "missing.mkv: no such file"),
    ],
)
def test_bad_input_is_one_line(
    model_directory: Path,
    drive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    frame, other = tmp_path / "frame.png", tmp_path / "other"
    PIL.Image.new("RGB", (64, 48)).save(frame)
    other.mkdir()
    (other / "drive.mkv").write_bytes(drive.read_bytes())
    before = sorted(tmp_path.iterdir())
    filled = [argument.format(drive=drive, frame=frame) for argument in arguments]
    assert main(["predict", str(model_directory), *filled]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert says in error
    assert sorted(tmp_path.iterdir()) == before
