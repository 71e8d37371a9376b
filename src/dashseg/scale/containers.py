"""Files that hold many frames: what is in them, and the frames themselves.

A tar (WebDataset's shards) has a row for each image. A video has a row for each stretch between key
frames, so that machines share one long drive. Indexing a video reads its packets and decodes none.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from dashseg.errors import InputError
from dashseg.images import IMAGE_SUFFIXES
from dashseg.inference.video.pyav import load_av
from dashseg.inference.video.read import RAW, upright
from dashseg.labels import Image
from dashseg.scale.row import Row, is_video
from dashseg.scale.storage import Storage

_TAR = ".tar"
_PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")
_BACK = (0, 5, 60, 1_000_000)  # seconds to seek before a time: MPEG-TS goes too far
_FRAMES = 64  # of a part of a video at least; between the key frames of a dash camera are 20 to 250


def is_container(path: str) -> bool:
    """Whether the name says that it holds many frames."""
    return is_tar(path) or is_video(path)


def is_tar(path: str) -> bool:
    """Whether the name is a tar's, be it compressed."""
    return path.lower().endswith((_TAR, *_PACKED))


def index(row: Row) -> list[Row]:
    """The rows of a container; `row` names it as a whole.

    Raises:
        InputError: it cannot be read, or is a compressed tar.
    """
    if row.path.lower().endswith(_PACKED):
        raise InputError(f"{row.path}: a compressed tar has no index: unpack it to a .tar")
    rows = list((_video if is_video(row.path) else _tar)(row))
    if not rows:
        raise InputError(f"{row.path}: no images in it")
    return rows


def _tar(row: Row) -> Iterator[Row]:
    with Storage(row.path).open() as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep all
                    path = PurePosixPath(member.name)
                    if member.isreg() and path.suffix.lower() in IMAGE_SUFFIXES and (
                        not path.name.startswith(".")
                    ):  # fmt: skip
                        name = f"{row.name}/{path.with_suffix('').as_posix().removeprefix('./')}"
                        start = member.offset_data
                        yield Row(name, row.path, start, start + member.size)
        except tarfile.TarError as error:
            raise InputError(f"{row.path}: not a tar that can be read: {error}") from error


def _video(row: Row) -> Iterator[Row]:
    with Storage(row.path).open() as file, _opened(file, row.path) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in _packets(container, stream) if packet.size]
        stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
        keys = [p.pts for p in packets if p.is_keyframe and p.pts is not None]
        cuts = container.format.name not in RAW  # those cannot be sought in
    if not packets:
        raise InputError(f"{row.path}: no frames in it")
    starts = [0]
    # Joined of several, it has time stamps twice or in another order: it stays in one part.
    if cuts and keys == sorted(keys) and len(set(stamps)) == len(packets):
        for place in np.searchsorted(stamps, keys).tolist():
            if place - starts[-1] >= _FRAMES:
                starts.append(place)
    for first, end in zip(starts, [*starts[1:], len(packets)], strict=True):
        yield Row(
            f"{row.name}_{first:06d}",
            row.path,
            stamps[first] if first else -1,
            stamps[end] if end < len(packets) else -1,
            first,
            end - first,
        )


def read_part(row: Row) -> Iterator[tuple[str, Image]]:
    """Name and frame, uint8 H×W×3 RGB, of each frame of a part of a video.

    Names are those of `predict --masks` on one machine, which reads a video from its start.

    Raises:
        InputError: it cannot be read; some of its frames could not be decoded, after the others.
    """
    if not row.name.endswith(f"_{row.first:06d}"):
        index(row)  # it failed when it was planned, and says why again
    names = iter(row.names())
    found = 0
    with Storage(row.path).open() as file, _opened(file, row.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        frames = _frames(container, stream)
        if row.start >= 0:
            frames = _frames_from(container, stream, row.start)
        for frame in frames:
            if row.start >= 0 and frame.pts < row.start:
                continue
            if row.end >= 0 and frame.pts >= row.end:
                break
            name = next(names, None)
            if name is None:
                break
            yield name, upright(frame)
            found += 1
    if found < row.frames:
        raise InputError(f"{row.path}: {row.frames - found} frames could not be decoded")


def _frames_from(container: Any, stream: Any, start: int) -> Iterator[Any]:
    """Frames from a key frame at or before a time stamp on."""
    first = stream.start_time or 0
    for seconds in _BACK:
        stamp = max(first, start - round(seconds / stream.time_base))
        with suppress(load_av().error.FFmpegError):
            container.seek(stamp, stream=stream)
        frames = _frames(container, stream)
        frame = next(frames, None)
        if frame is not None and frame.pts <= start:
            break
    return frames if frame is None else chain([frame], frames)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Packets up to the end, or to where the file is too damaged to go on."""
    with suppress(load_av().error.FFmpegError):
        yield from container.demux(stream)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """The frames that can be decoded."""
    error = load_av().error.FFmpegError
    for packet in _packets(container, stream):
        frames: list[Any] = []
        with suppress(error):
            frames = packet.decode()
        yield from (frame for frame in frames if not frame.is_corrupt)


def _opened(file: Any, source: str) -> Any:
    """An av.InputContainer with a video stream."""
    av = load_av()
    try:
        container = av.open(file)
    except av.error.FFmpegError as error:
        raise InputError(f"{source}: not a video that can be read ({error.strerror})") from error
    if not container.streams.video or container.streams.video[0].codec_context is None:
        container.close()
        raise InputError(f"{source}: has no video stream that FFmpeg decodes here")
    return container
