"""Videos of every kind that people have, and broken ones, through a small real network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.errors import InputError
from dashseg.inference import Segmenter, load
from dashseg.inference.export import ExportPlan, export_model
from dashseg.inference.video import segment_video
from dashseg.labels import encode_label, read_mask

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def segmenter(model_directory: Path) -> Segmenter:
    return load(str(model_directory), device="cpu")


def read(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in read(path)]


def test_overlay_and_masks_are_what_the_segmenter_says_of_each_frame(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "drive.mp4", stamps=range(6))
    report = segment_video(
        segmenter, source, tmp_path / "seen.mkv", codec="ffv1", masks=tmp_path / "masks"
    )
    assert (report.frames, report.broken, report.interrupted) == (6, 0, False)
    masks = sorted((tmp_path / "masks").glob("*.png"))
    assert [mask.name for mask in masks] == [f"drive_{number:06d}.png" for number in range(6)]
    overlays = read(tmp_path / "seen.mkv")
    for mask, frame, overlay in zip(masks, read(source), overlays, strict=True):
        image = frame.to_ndarray(format="rgb24")
        label = segmenter(image).label
        assert np.array_equal(read_mask(mask, segmenter.classes), label)
        expected = (image.astype(int) + encode_label(label, segmenter.classes)) / 2
        shown = overlay.to_ndarray(format="rgb24")
        assert np.abs(shown - expected).mean() < 12  # colours go through 4:2:0


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_exported_model_labels_videos_as_it_labels_frames(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path, format: str
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip({"onnx": "onnxruntime"}.get(format, format))
    export_model(segmenter, tmp_path / "out", ExportPlan(format, "fp32", (36, 64)), lambda _: {})
    exported = load(tmp_path / "out", device="cpu")
    source = write_video(tmp_path / "drive.mp4", stamps=range(4))
    masks = tmp_path / "masks"
    report = segment_video(exported, source, tmp_path / "b.mp4", masks=masks, smooth=0.5)
    assert report.frames == len(read(tmp_path / "b.mp4")) == 4
    assert report.flicker is not None
    segment_video(exported, source, tmp_path / "b.mp4", masks=masks, overwrite=True)
    for mask, frame in zip(sorted(masks.glob("*.png")), read(source), strict=True):
        label = exported(frame.to_ndarray(format="rgb24")).label
        assert len(np.unique(label)) > 1
        assert np.array_equal(read_mask(mask, exported.classes), label)


def test_colours_keep_their_matrix_and_range(segmenter: Segmenter, tmp_path: Path) -> None:
    bt709, limited = 1, 1
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = bt709, limited
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 120, np.uint8), format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for out in (tmp_path / "b.mp4", tmp_path / "b.mkv"):
        segment_video(segmenter, source, out)
        (shown,) = read(out)
        assert (shown.colorspace, shown.color_range) == (bt709, limited)


def test_time_stamps_of_a_variable_frame_rate_are_kept(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    stamps = [0, 40, 55, 200, 1000, 1033, 1066]
    source = write_video(tmp_path / "a.mkv", stamps, time_base=Fraction(1, 1000))
    segment_video(segmenter, source, tmp_path / "b.mkv")
    segment_video(segmenter, source, tmp_path / "b.mp4")
    assert times(tmp_path / "b.mkv") == [Fraction(stamp, 1000) for stamp in stamps]
    assert [round(time * 1000) for time in times(tmp_path / "b.mp4")] == stamps


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (47, 63)])
def test_odd_sizes_grow_by_one_pixel(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path, size: tuple[int, int]
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    PIL.Image.new("RGB", (size[1], size[0]), (90, 120, 60)).save(frames / "0.png")
    segment_video(segmenter, frames, tmp_path / "b.mp4")
    (frame,) = read(tmp_path / "b.mp4")
    assert (frame.height, frame.width) == (48, 64)


def test_a_clip_that_lies_on_its_side_is_turned_upright(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(3), rotation=90)
    segment_video(segmenter, source, tmp_path / "b.mp4", masks=tmp_path / "masks")
    first = read(tmp_path / "b.mp4")[0]
    assert (first.height, first.width, first.rotation) == (64, 48, 0)
    lying = read(source)[0]
    upright = np.rot90(lying.to_ndarray(format="rgb24"), round(lying.rotation / 90))
    label = read_mask(tmp_path / "masks" / "a_000000.png", segmenter.classes)
    assert np.array_equal(label, segmenter(np.ascontiguousarray(upright)).label)


@pytest.mark.parametrize(("given", "rate"), [(None, 20), (Fraction(30), 30)])
def test_a_raw_stream_has_the_rate_that_is_given_or_its_own(
    segmenter: Segmenter,
    write_video: Callable[..., Path],
    tmp_path: Path,
    given: Fraction | None,
    rate: int,
) -> None:
    source = write_video(tmp_path / "fcamera.hevc", codec="libx265", format="hevc")
    shown: list[tuple[int, int]] = []
    report = segment_video(
        segmenter,
        source,
        tmp_path / "b.mkv",
        rate=given,
        on_progress=lambda *done: shown.append(done),
    )
    assert report.frames == 12
    assert shown == [(number, 0) for number in range(1, 13)]  # nobody knows how many come
    expected = [number / rate for number in range(12)]
    assert [float(time) for time in times(tmp_path / "b.mkv")] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "avi"])
def test_start_end_and_every_choose_frames_and_keep_the_time_between_them(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path, suffix: str
) -> None:
    source = write_video(tmp_path / f"a.{suffix}", stamps=range(40))
    segment_video(
        segmenter, source, tmp_path / "b.mkv", start=0.5, end=1.5, every=5, masks=tmp_path / "m"
    )
    chosen = [int(mask.stem.split("_")[1]) for mask in sorted((tmp_path / "m").glob("*.png"))]
    assert chosen == [10, 15, 20, 25]
    shown = [float(time) for time in times(tmp_path / "b.mkv")]
    assert np.diff(shown) == pytest.approx([0.25] * 3, abs=2e-3)


def test_of_every_so_many_frames_the_first_remains(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(4))
    assert segment_video(segmenter, source, tmp_path / "b.mp4", every=10**20).frames == 1


def test_a_broken_stretch_is_skipped_and_counted(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(40))
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = np.random.default_rng(0).bytes(1500)
    source.write_bytes(data)
    report = segment_video(segmenter, source, tmp_path / "b.mp4")
    assert report.broken > 0
    assert report.frames + report.broken == 40
    assert len(read(tmp_path / "b.mp4")) == report.frames


def test_an_unreadable_image_of_a_folder_is_skipped_and_counted(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(4):
        PIL.Image.new("RGB", (64, 48), (60 * number, 90, 90)).save(frames / f"{number}.png")
    (frames / "2.png").write_bytes(b"no picture")
    report = segment_video(segmenter, frames, tmp_path / "b.mp4", rate=Fraction(10))
    assert (report.frames, report.broken) == (3, 1)
    assert [float(time) for time in times(tmp_path / "b.mp4")] == pytest.approx([0, 0.1, 0.3])


def test_a_folder_plays_by_the_numbers_in_its_names_and_masks_keep_them(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for grey, name in enumerate(("f1.png", "f2.jpg", "f2.png", "f10.png", "f11.png")):
        PIL.Image.new("RGB", (64, 48), (60 * grey, 60 * grey, 60 * grey)).save(frames / name)
    masks = tmp_path / "masks"
    segment_video(segmenter, frames, tmp_path / "b.mkv", codec="ffv1", masks=masks)
    brightness = [frame.to_ndarray(format="gray").mean() for frame in read(tmp_path / "b.mkv")]
    assert len(brightness) == 5 and (np.diff(brightness) > 5).all()
    assert sorted(mask.name for mask in masks.glob("*.png")) == [
        *("f1.png", "f10.png", "f11.png", "f2.jpg.png", "f2.png.png")
    ]
    with pytest.raises(InputError, match="is an input"):
        segment_video(segmenter, frames, tmp_path / "c.mkv", masks=frames, overwrite=True)


@pytest.mark.parametrize("suffix", ["folder", "ts"])
def test_frames_of_other_sizes_stand_between_black_bars(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path, suffix: str
) -> None:
    sizes = [(48, 64), (96, 64), (24, 64)]  # H, W
    source = tmp_path / f"all.{suffix}"
    if suffix == "folder":
        source.mkdir()
        for number, (height, width) in enumerate(sizes):
            PIL.Image.new("RGB", (width, height), (250, 250, 250)).save(source / f"{number}.png")
    else:
        parts = [write_video(tmp_path / f"{size}.ts", range(1), size) for size in sizes]
        source.write_bytes(b"".join(part.read_bytes() for part in parts))
    masks = tmp_path / "masks"
    report = segment_video(segmenter, source, tmp_path / "b.mkv", codec="ffv1", masks=masks)
    assert (report.frames, report.letterboxed) == (3, 2)
    grey = [frame.to_ndarray(format="gray") for frame in read(tmp_path / "b.mkv")]
    assert [picture.shape for picture in grey] == [(48, 64)] * 3
    dark = [picture < 20 for picture in grey]
    # 96×64 becomes 48×32, with 16 black columns at each side; 24×64 gets 12 rows above and below.
    assert not dark[0].any()
    assert dark[1][:, :15].all() and dark[1][:, -15:].all() and not dark[1][4:-4, 20:-20].any()
    assert dark[2][:11].all() and dark[2][-11:].all() and not dark[2][16:-16, 4:-4].any()
    assert [PIL.Image.open(mask).size[::-1] for mask in sorted(masks.glob("*.png"))] == sizes


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mov"])
@pytest.mark.parametrize("rotation", [0, 90])
def test_the_shape_of_pixels_is_kept(
    segmenter: Segmenter,
    write_video: Callable[..., Path],
    tmp_path: Path,
    suffix: str,
    rotation: int,
) -> None:
    source = write_video(tmp_path / "a.mp4", range(2), aspect=Fraction(16, 11), rotation=rotation)
    segment_video(segmenter, source, tmp_path / f"b.{suffix}")
    with av.open(str(tmp_path / f"b.{suffix}")) as container:
        shown = container.streams.video[0].sample_aspect_ratio
    assert shown == (Fraction(11, 16) if rotation else Fraction(16, 11))


def test_smoothing_lowers_flicker_of_a_still_picture(segmenter: Segmenter, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = tmp_path / "frames"
    frames.mkdir()
    scene = rng.integers(0, 256, (12, 16, 3)).repeat(4, 0).repeat(4, 1)
    for number in range(12):  # the same scene under a sensor's noise
        noisy = (scene + rng.normal(0, 6, scene.shape)).clip(0, 255).astype(np.uint8)
        PIL.Image.fromarray(noisy).save(frames / f"{number:02d}.png")
    report = segment_video(segmenter, frames, tmp_path / "b.mp4", smooth=0.8)
    assert report.flicker is not None and report.flicker_unsmoothed is not None
    assert 0 <= report.flicker < 0.6 * report.flicker_unsmoothed


def test_what_is_in_the_way_is_not_replaced_unless_asked(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(2))
    out = tmp_path / "b.mp4"
    out.write_bytes(b"precious")
    with pytest.raises(InputError, match="exists"):
        segment_video(segmenter, source, out)
    assert out.read_bytes() == b"precious"
    with pytest.raises(InputError, match="was not written by dashseg predict"):
        segment_video(segmenter, source, out, overwrite=True)
    assert out.read_bytes() == b"precious"
    out.unlink()
    segment_video(segmenter, source, out)
    with pytest.raises(InputError, match="exists: choose another --out, or --overwrite"):
        segment_video(segmenter, source, out)
    segment_video(segmenter, source, out, every=2, overwrite=True)
    assert len(read(out)) == 1


def test_a_stopped_video_is_made_anew_by_the_same_command(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source, out, masks = (tmp_path / name for name in ("a.mp4", "out/b.mp4", "masks"))
    write_video(source, stamps=range(4))

    def stop(done: int, count: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    assert segment_video(segmenter, source, out, masks=masks, on_progress=stop).interrupted
    with pytest.raises(InputError, match="exists"):  # options differ: it may be wanted as it is
        segment_video(segmenter, source, out, masks=masks, smooth=0.5)
    assert segment_video(segmenter, source, out, masks=masks).frames == len(read(out)) == 4
    assert len(list(masks.glob("*.png"))) == 4


def test_frames_of_a_folder_are_never_replaced_by_their_masks(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    segment_video(
        segmenter, write_video(tmp_path / "drive.mp4", stamps=range(3)), tmp_path / "1.mp4",
        masks=drive,
    )  # fmt: skip
    before = {path: path.read_bytes() for path in drive.iterdir()}
    for masks in (drive, drive.parent / "link"):
        if masks != drive:
            masks.symlink_to(drive)
        with pytest.raises(InputError):
            segment_video(segmenter, drive, tmp_path / "2.mp4", masks=masks, overwrite=True)
    assert {path: path.read_bytes() for path in drive.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("text.mp4", b"this is no video", "not a video"),
        ("empty.mp4", b"", "not a video"),
        ("missing.mp4", None, "no such file"),
    ],
)
def test_what_is_no_video_is_an_error_that_leaves_nothing(
    segmenter: Segmenter, tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=says):
        segment_video(segmenter, tmp_path / name, tmp_path / "b.mp4")
    assert sorted(tmp_path.iterdir()) == before


def test_sound_alone_has_no_video_stream(segmenter: Segmenter, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    source = (tmp_path / "sound.wav").rename(tmp_path / "sound.mkv")
    with pytest.raises(InputError, match="no video stream"):
        segment_video(segmenter, source, tmp_path / "b.mp4")


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mov"])
def test_a_video_of_zero_frames_is_an_error_that_leaves_nothing(
    segmenter: Segmenter, tmp_path: Path, suffix: str
) -> None:
    source = tmp_path / f"empty{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(InputError, match=r"not one frame|no video stream|not a video"):
        segment_video(segmenter, source, tmp_path / "b.mp4")
    assert list(tmp_path.iterdir()) == [source]


def test_a_span_without_frames_is_an_error_that_leaves_nothing(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(4))
    with pytest.raises(InputError, match="no frame in the span"):
        segment_video(segmenter, source, tmp_path / "b.mp4", start=100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"codec": "cinepakkk"}, "not there; this installation has .*h264"),
        ({"start": 5, "end": 5}, "nothing lies between"),
        ({"every": 0}, "1 or more"),
        ({"rate": Fraction(20)}, "time stamps of its own"),
        ({"smooth": 1.0}, "--smooth"),
        ({"start": float("inf")}, "nothing lies between"),
        ({"start": float("nan")}, "nothing lies between"),
        ({"rate": Fraction(10**400)}, "from 1/3600 to 1000"),
    ],
)
def test_options_that_make_no_sense_are_errors(
    segmenter: Segmenter,
    write_video: Callable[..., Path],
    tmp_path: Path,
    options: dict[str, Any],
    says: str,
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(4))
    with pytest.raises(InputError, match=says):
        segment_video(segmenter, source, tmp_path / "b.mp4", **options)
    assert not (tmp_path / "b.mp4").exists()


def test_a_codec_that_does_not_go_into_the_container_is_an_error(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(4))
    with pytest.raises(InputError, match="webm"):
        segment_video(segmenter, source, tmp_path / "b.webm", codec="h264")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


_PROGRAM = """
import sys
from dashseg.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_leaves_a_file_that_plays(
    model_directory: Path, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mkv", stamps=range(3000))
    out = tmp_path / "b.mp4"
    command = ["predict", str(model_directory), str(source), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *command], stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob(".*.dashseg-*/*.mp4")):  # it has begun to write
        assert process.poll() is None, process.stderr and process.stderr.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    frames = read(out)
    assert 0 < len(frames) < 3000
    assert not list(tmp_path.glob(".*.dashseg-*/*.mp4"))


_ON_DISK = """
import sys
from pathlib import Path
from dashseg.errors import InputError
from dashseg.inference import load
from dashseg.inference.video import segment_video

disk, model, source = map(Path, sys.argv[1:])
try:
    segment_video(load(str(model), device="cpu"), source, disk / "b.mp4", masks=disk / "masks")
except InputError as error:
    print(error)
print(sorted(path.name for path in disk.iterdir()))
"""


def test_a_full_disk_is_an_error_that_leaves_no_half_video(
    in_small_disk: Callable[..., Any],
    model_directory: Path,
    write_video: Callable[..., Path],
    tmp_path: Path,
) -> None:
    source = write_video(tmp_path / "a.mp4", stamps=range(200))
    done = in_small_disk(_ON_DISK, model_directory, source, size="32k")
    message, left = done.stdout.splitlines()
    assert message.startswith("cannot write ") and "No space left" in message
    assert left == "['masks']"
