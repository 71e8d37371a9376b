"""Tars and videos: the frames of one machine, in parts."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from dashseg.errors import InputError
from dashseg.images import read_image
from dashseg.inference.video.read import open_clip
from dashseg.scale import containers
from dashseg.scale.containers import index, read_part
from dashseg.scale.row import Row
from dashseg.scale.sources import rows_of
from dashseg.scale.storage import Storage

COUNT = 90


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """video("a.mp4") -> a moving pattern of 90 frames; a key frame now and then, others between."""

    def write(name: str, **options: str) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=20)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.gop_size = 12
            stream.options = {"bf": "2", **options}
            rng = np.random.default_rng(0)
            pattern = rng.integers(0, 256, (48, 64 + COUNT, 3), np.uint8)
            for number in range(COUNT):
                pixels = np.ascontiguousarray(pattern[:, number : number + 64])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
            container.mux(stream.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("drive.mp4", {}, 4),
        ("drive.mkv", {"x264-params": "open-gop=1"}, 4),  # frames that need those before the key
        ("drive.ts", {}, 4),
        ("drive.h264", {}, 1),  # no index to seek by
    ],
)
def test_parts_of_a_video_have_the_frames_and_names_of_the_whole(
    video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, str],
    parts: int,
) -> None:
    monkeypatch.setattr(containers, "_FRAMES", 24)
    path = video(name, **options)
    clip = open_clip(path)
    wanted = {frame.name: frame.image for frame in clip.frames()}
    clip.close()
    rows = list(rows_of([str(path)]))
    assert len(rows) == parts
    assert [name for row in rows for name in row.names()] == list(wanted)
    found = [pair for row in rows for pair in read_part(row)]
    assert [name for name, _ in found] == list(wanted)
    for name, image in found:
        np.testing.assert_array_equal(image, wanted[name])


def test_a_video_in_an_object_store(video: Callable[..., Path], tmp_path: Path, s3: str) -> None:
    path = video("drive.mp4")
    bucket = Storage(f"{s3}/{tmp_path.name}")
    bucket.write("cam/drive.mp4", path.read_bytes())
    rows = list(rows_of([bucket.url("cam")]))
    assert [name for row in rows for name, _ in read_part(row)] == [
        f"drive_{number:06d}" for number in range(COUNT)
    ]


def test_a_cut_off_video_gives_what_it_has_and_says_so(
    video: Callable[..., Path],
) -> None:
    path = video("drive.ts")
    *_, row = index(Row("drive", str(path)))
    assert row.first > 0
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    names = []
    with pytest.raises(InputError, match="could not be decoded"):
        for name, _ in read_part(row):
            names.append(name)
    assert 0 < len(names) < row.frames
    assert names == row.names()[: len(names)]


def test_images_in_a_tar(frames: Path, tmp_path: Path) -> None:
    path = tmp_path / "shard-0001.tar"
    with tarfile.open(path, "w") as tar:
        for file in sorted(frames.rglob("*")):
            tar.add(file, file.relative_to(frames), recursive=False)
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    rows = list(rows_of([str(path)]))
    assert [row.name for row in rows] == [
        f"shard-0001/drive{drive}/{number:04d}"
        for drive in (0, 1)
        for number in range(drive, 12, 2)
    ]
    for row in rows:
        data = Storage(row.path).read("", row.start, row.end - row.start)
        whole = frames / f"{row.name.removeprefix('shard-0001/')}.png"
        np.testing.assert_array_equal(
            np.array(PIL.Image.open(io.BytesIO(data)).convert("RGB")), read_image(whole)
        )


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.mp4"])
def test_what_cannot_be_read_is_one_row_that_says_why(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing that has frames" * 50)
    (row,) = rows_of([str(tmp_path / name)])
    assert row.path == str(tmp_path / name)
    with pytest.raises(InputError, match=name):
        index(row)
    if name == "a.mp4":
        with pytest.raises(InputError, match=r"a\.mp4: not a video"):
            list(read_part(row))
