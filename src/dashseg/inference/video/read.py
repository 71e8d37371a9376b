"""A video file, or a folder of images, -> upright RGB frames with their time stamps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dashseg.errors import InputError
from dashseg.files import natural_key
from dashseg.images import MAX_PIXELS, is_image_file, read_image
from dashseg.inference.video.pyav import load_av
from dashseg.inference.video.sound import Sound
from dashseg.labels import Image

VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".mov", ".m4v", ".avi", ".webm", ".ts", ".mts", ".m2ts", ".3gp", ".wmv", ".mpg",
    ".hevc", ".h265", ".h264",
)  # fmt: skip
RAW = ("hevc", "h264")  # containers that are none: no time stamps, no index to seek by
_LONGEST = 1e9  # seconds: 30 years; time stamps have 64 bits
# Seconds between two time stamps that tell a clock that was set from jitter and from a pause.
_BACK, _AHEAD = 0.2, 3600
COMMA_RATE = Fraction(20)  # frames/s of comma's road cameras, whose .hevc files do not say it


class TimedFrame(NamedTuple):
    """image uint8 H×W×3 RGB, upright; `stamp` in the clip's time base; a name for its mask."""

    image: Image
    stamp: int
    name: str
    aspect: Fraction = Fraction(1)  # of a pixel: its width by its height
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
    sound: Sound | None = None

    @abstractmethod
    def frames(self) -> Iterator[TimedFrame]:
        """The frames in turn; what does not decode is counted in `broken` and left out."""

    @abstractmethod
    def close(self) -> None:
        """Close the source, once its sound is written too."""


def is_video_file(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def open_clip(
    source: Path,
    start: float = 0,
    end: float | None = None,
    every: int = 1,
    rate: Fraction | None = None,
    audio: bool = False,
) -> Clip:
    """Open a video file or a folder of images, in the order of the numbers in their names.

    Args:
        start: seconds; frames before it are left out.
        end: seconds; frames from there on are left out.
        every: only each such frame.
        rate: frames/s, for folders and raw streams, which have no time stamps; 20 unless given or
            said by the stream.
        audio: read the first sound track too, if there is one.

    Raises:
        InputError: cannot be opened, has no video stream or no frame in the span; `rate` given for
            a file that has time stamps.
    """
    if every < 1:
        raise InputError(f"--every {every}: each how many frames? 1 or more")
    if not 0 <= start < (_LONGEST if end is None else min(end, _LONGEST)):
        raise InputError(f"nothing lies between --start {start:g} and --end {end or 0:g} seconds")
    if rate is not None and not Fraction(1, 3600) <= rate <= 1000:
        raise InputError("--fps: from 1/3600 to 1000 frames per second")
    span = _Span(start, end, every)
    return _Folder(source, span, rate) if source.is_dir() else _Video(source, span, rate, audio)


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
        try:
            found = filter(is_image_file, source.iterdir())
            self._files = sorted(found, key=lambda path: natural_key(path.name))
        except OSError as error:
            raise InputError(f"{source}: cannot be read: {error.strerror}") from error
        if not self._files:
            raise InputError(f"{source}: no images in this folder")
        rate = rate or COMMA_RATE
        super().__init__(source, rate, 1 / rate, span.count(len(self._files), rate))
        if self.count == 0:
            raise InputError(f"{source}: none of its {len(self._files)} frames is in the span")

    def frames(self) -> Iterator[TimedFrame]:
        stems = Counter(path.stem for path in self._files)
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
                yield TimedFrame(image, index, path.stem if stems[path.stem] == 1 else path.name)

    def close(self) -> None:
        """Each file is closed already."""


class _Video(Clip):
    def __init__(self, source: Path, span: _Span, rate: Fraction | None, audio: bool) -> None:
        self._av = load_av()
        self._span = span
        self._audio = audio
        self.source = source
        if not source.is_file():
            problem = "a pipe, socket or device" if source.exists() else "no such file or folder"
            raise InputError(f"{source}: {problem}")
        self._open()
        self._raw = self._container.format.name in RAW
        if rate is not None and not self._raw:
            self._container.close()
            raise InputError(f"{source}: has time stamps of its own: leave --fps out")
        own_rate = self._stream.codec_context.framerate if self._raw else self._stream.average_rate
        rate = rate or (Fraction(own_rate) if own_rate else COMMA_RATE)
        time_base = 1 / rate if self._raw else Fraction(self._stream.time_base)
        super().__init__(source, rate, time_base, self._estimate(rate), sound=self.sound)

    def _open(self) -> None:
        try:
            self._container = self._av.open(str(self.source))
        except self._av.error.FFmpegError as error:
            raise InputError(
                f"{self.source}: not a video that can be read ({error.strerror})"
            ) from error
        streams = self._container.streams
        problem = ""
        if not streams.video:
            problem = "has no video stream"
        elif (context := streams.video[0].codec_context) is None:
            problem = "its codec is not one that FFmpeg decodes here"
        elif context.width * context.height > MAX_PIXELS:
            problem = f"{context.width}×{context.height} pixels; frames may have {MAX_PIXELS}"
        if problem:
            self._container.close()
            raise InputError(f"{self.source}: {problem}")
        self._stream = streams.video[0]
        self._stream.thread_type = "AUTO"
        if self._audio and streams.audio:
            self.sound = self.sound or Sound()
            self.sound.read_from(streams.audio[0])
        self._clock = _Clock()

    def _estimate(self, rate: Fraction) -> int | None:
        frames = self._stream.frames
        if not frames and self._container.duration:
            frames = round(self._container.duration / self._av.time_base * rate)
        return self._span.count(frames, rate) if frames else None

    def close(self) -> None:
        self._container.close()

    def frames(self) -> Iterator[TimedFrame]:
        read = False
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        for number, frame in self._numbered():
            read = True
            time = self._stamp(frame, number) * self.time_base
            if self._span.ended(time):
                return
            if self._span.keeps(time, number):
                name = f"{self.source.stem}_{number:06d}"
                yield timed_frame(frame, self._stamp(frame, number), name, aspect)
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
        streams = [self._stream, self.sound.source] if self.sound else [self._stream]
        packets = self._container.demux(streams)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.stream.type == "audio":
                    self._hear(packet)
                    continue
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
                    if frame.pts is not None and not self._raw:
                        time = frame.pts * self.time_base
                        frame.pts += round(self._clock.shift(0, time) / self.time_base)
                    yield frame

    def _hear(self, packet: Any) -> None:
        """Keep a packet of sound that lies in the span, with the time that it has in the output."""
        if self.sound is None or packet.pts is None:
            return
        start = (self._stream.start_time or 0) * self.time_base
        time = packet.pts * packet.time_base
        time += self._clock.shift(1, time) - start
        packet.dts = packet.pts = round(time / packet.time_base)  # sound is stored in order
        if time >= self._span.start and not self._span.ended(time):
            self.sound.packets.append(packet)


class _Clock:
    """Time stamps that go on where those of a file, joined of several, start anew.

    Sound and pictures reach such a place at different packets: each counts its own restarts, and
    the first to reach one decides how far the clock is put forward for both.
    """

    def __init__(self) -> None:
        self._shifts = [Fraction(0)]  # seconds, after each restart
        self._last: dict[int, tuple[Fraction, Fraction, int]] = {}  # stream -> time, step, restarts

    def shift(self, stream: int, time: Fraction) -> Fraction:
        """Seconds to add to the next time stamp, in order of presentation, of a stream."""
        last, step, restarts = self._last.get(stream, (time, Fraction(0), 0))
        if time < last - _BACK or time > last + _AHEAD:
            restarts += 1
            if restarts == len(self._shifts):
                self._shifts.append(self._shifts[-1] + last + step - time)
        elif time > last:
            step = time - last
        self._last[stream] = time, step, restarts
        return self._shifts[restarts]


def upright(frame: Any) -> Image:
    """An av.VideoFrame as uint8 H×W×3 RGB, turned as the file's display matrix says.

    Phones film lying on a side.
    """
    image: Image = frame.to_ndarray(format="rgb24")
    turns = _turns(frame)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def timed_frame(frame: Any, stamp: int, name: str, aspect: Fraction) -> TimedFrame:
    """An av.VideoFrame, upright.

    Args:
        aspect: of a pixel, as the frame lies.
    """
    turns = _turns(frame)
    shape = 1 / aspect if turns % 2 else aspect
    return TimedFrame(upright(frame), stamp, name, shape, None if turns else frame)


def _turns(frame: Any) -> int:
    """Quarters of a circle to turn it by, counter-clockwise."""
    return round(frame.rotation / 90) % 4
