"""A video file, or a folder of images, -> upright RGB frames with their time stamps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from dashseg.errors import InputError
from dashseg.images import is_image_file, read_image
from dashseg.labels import Image

VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".mov", ".m4v", ".avi", ".webm", ".ts", ".hevc", ".h265", ".h264",
)  # fmt: skip
_RAW = ("hevc", "h264")  # containers that are none: no time stamps, no index to seek by
COMMA_RATE = Fraction(20)  # frames/s of comma's road cameras, whose .hevc files do not say it


class TimedFrame(NamedTuple):
    """image uint8 H×W×3 RGB, upright; `stamp` in the clip's time base; its number in the source."""

    image: Image
    stamp: int
    number: int
    decoded: Any = None  # the upright av.VideoFrame that `image` was made from, if there is one


@dataclass
class Clip(ABC):
    """What is read, and how much of it was broken."""

    source: Path
    rate: Fraction  # frames/s, on average
    time_base: Fraction  # seconds that a stamp counts
    count: int | None  # frames that the span holds, where that is known
    broken: int = 0  # frames or packets that did not decode; what a damaged .ts or .mkv drops
    # before it gets to the decoder, nobody can count

    @abstractmethod
    def frames(self) -> Iterator[TimedFrame]:
        """The frames in turn; what does not decode is counted in `broken` and left out."""


def is_video_file(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def load_av() -> ModuleType:
    """PyAV, which only video needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("video needs PyAV: pip install av") from error
    av.logging.set_level(av.logging.PANIC)  # what is broken is counted; FFmpeg would print it all
    return av


def open_clip(
    source: Path,
    start: float = 0,
    end: float | None = None,
    every: int = 1,
    rate: Fraction | None = None,
) -> Clip:
    """Open a video file or a folder of images in the order of their names.

    Args:
        start: seconds; frames before it are left out.
        end: seconds; frames from there on are left out.
        every: only each such frame.
        rate: frames/s, for folders and raw streams, which have no time stamps; 20 unless given or
            said by the stream.

    Raises:
        InputError: cannot be opened, has no video stream or no frame in the span; `rate` given for
            a file that has time stamps.
    """
    if every < 1:
        raise InputError(f"--every {every}: each how many frames? 1 or more")
    if start < 0 or (end is not None and end <= start):
        raise InputError(f"nothing lies between --start {start:g} and --end {end or 0:g} seconds")
    if rate is not None and not 0 < rate <= 1000:
        raise InputError(f"--fps {float(rate):g}: frames per second, above 0")
    span = _Span(start, end, every)
    return _Folder(source, span, rate) if source.is_dir() else _Video(source, span, rate)


@dataclass(frozen=True)
class _Span:
    start: float
    end: float | None
    every: int

    def keeps(self, time: Fraction, index: int) -> bool:
        return time >= self.start and index % self.every == 0

    def ended(self, time: Fraction) -> bool:
        return self.end is not None and time >= self.end

    def count(self, frames: int, rate: Fraction) -> int:
        """Frames kept of so many at a constant rate."""
        return sum(
            self.keeps(index / rate, index) and not self.ended(index / rate)
            for index in range(frames)
        )


class _Folder(Clip):
    def __init__(self, source: Path, span: _Span, rate: Fraction | None) -> None:
        self._span = span
        self._files = sorted(filter(is_image_file, source.iterdir()))
        if not self._files:
            raise InputError(f"{source}: no images in this folder")
        rate = rate or COMMA_RATE
        super().__init__(source, rate, 1 / rate, span.count(len(self._files), rate))
        if self.count == 0:
            raise InputError(f"{source}: none of its {len(self._files)} frames is in the span")

    def frames(self) -> Iterator[TimedFrame]:
        for index, path in enumerate(self._files):
            time = index / self.rate
            if self._span.ended(time):
                return
            if self._span.keeps(time, index):
                try:
                    image = read_image(path)
                except InputError:
                    self.broken += 1
                    continue
                yield TimedFrame(image, index, index)


class _Video(Clip):
    def __init__(self, source: Path, span: _Span, rate: Fraction | None) -> None:
        av = load_av()
        self._av = av
        self._span = span
        self.source = source
        if not source.is_file():
            raise InputError(f"{source}: no such file or folder")
        self._open()
        self._raw = self._container.format.name in _RAW
        if rate is not None and not self._raw:
            self._container.close()
            raise InputError(f"{source}: has time stamps of its own: leave --fps out")
        own_rate = self._stream.codec_context.framerate if self._raw else self._stream.average_rate
        rate = rate or (Fraction(own_rate) if own_rate else COMMA_RATE)
        time_base = 1 / rate if self._raw else Fraction(self._stream.time_base)
        super().__init__(source, rate, time_base, self._estimate(rate))

    def _open(self) -> None:
        try:
            self._container = self._av.open(str(self.source))
        except self._av.error.FFmpegError as error:
            raise InputError(
                f"{self.source}: not a video that can be read ({error.strerror})"
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{self.source}: has no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"

    def _estimate(self, rate: Fraction) -> int | None:
        frames = self._stream.frames
        if not frames and self._container.duration:
            frames = round(self._container.duration / self._av.time_base * rate)
        return self._span.count(frames, rate) if frames else None

    def frames(self) -> Iterator[TimedFrame]:
        try:
            yield from self._frames()
        finally:
            self._container.close()

    def _frames(self) -> Iterator[TimedFrame]:
        read = False
        for number, frame in self._numbered():
            read = True
            time = self._stamp(frame, number) * self.time_base
            if self._span.ended(time):
                return
            if self._span.keeps(time, number):
                decoded = frame if _turns(frame) == 0 else None
                yield TimedFrame(_upright(frame), self._stamp(frame, number), number, decoded)
        if not read:
            raise InputError(f"{self.source}: not one frame could be decoded")

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        """Frames from the start of the span on, or earlier, with their numbers in the source."""
        if not self._raw and self._span.start > 0 and self._seek():
            decoded = self._decoded()
            first = next(decoded, None)
            if first is not None and self._stamp(first, 0) * self.time_base <= self._span.start:
                for frame in chain([first], decoded):
                    yield round(self._stamp(frame, 0) * self.time_base * self.rate), frame
                return
            self._container.close()  # it went too far, as MPEG-TS does: read all, and leave out
            self._open()
            self.broken = 0
        yield from enumerate(self._decoded())

    def _stamp(self, frame: Any, number: int) -> int:
        if self._raw or frame.pts is None:
            return number
        return int(frame.pts) - (self._stream.start_time or 0)

    def _seek(self) -> bool:
        """Go to the key frame before the span, if the file knows where that is."""
        stamp = (self._stream.start_time or 0) + int(self._span.start / self.time_base)
        with suppress(self._av.error.FFmpegError):
            self._container.seek(stamp, stream=self._stream)
            return True
        return False

    def _decoded(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except self._av.error.EOFError:
                return
            except self._av.error.FFmpegError:
                self.broken += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.broken += 1
                else:
                    yield frame


def _upright(frame: Any) -> Image:
    """uint8 H×W×3 RGB, turned as the file's display matrix says: phones film lying on a side."""
    image: Image = frame.to_ndarray(format="rgb24")
    turns = _turns(frame)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _turns(frame: Any) -> int:
    """Quarters of a circle to turn it by, counter-clockwise."""
    return round(frame.rotation / 90) % 4
