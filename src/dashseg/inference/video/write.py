"""Frames with time stamps -> a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from dashseg.errors import InputError
from dashseg.images import resize_image
from dashseg.inference.video.pyav import load_av
from dashseg.inference.video.sound import Sound
from dashseg.labels import Image

FORMATS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm",
    ".avi": "avi", ".ts": "mpegts",
}  # fmt: skip
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "h265": "libx265", "vp9": "libvpx-vp9",
             "av1": "libsvtav1"}  # fmt: skip
_OPTIONS = {  # looks like the frames, and leaves the cores to the network
    # A third of the work of veryfast at crf 20 (4.0 and 12.4 ms of a core for 960×540), for files
    # that are two thirds larger.
    "libx264": {"preset": "ultrafast", "crf": "23"},
    "libx265": {"preset": "ultrafast", "crf": "22", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0"},
    "libsvtav1": {"preset": "12", "crf": "30"},
}
# A frame leaves the encoder at once, and the muxer with the next one at the latest.
_AT_ONCE = {"libx264": {"tune": "zerolatency"}, "libx265": {"tune": "zerolatency"}}
_MUX_AT_ONCE = {"flush_packets": "1", "cluster_time_limit": "1"}  # the latter: Matroska's, in ms
_LARGEST_TICK = 65535  # MPEG-4 part 2 has 16 bits for the time base


def check_target(path: Path, codec: str) -> None:
    """Raise InputError for a suffix or a codec that cannot be written."""
    av = load_av()
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a video's name ends in {', '.join(FORMATS)}")
    encoder = _ENCODERS.get(codec, codec)
    try:
        kind = av.codec.Codec(encoder, "w").type
    except av.error.FFmpegError:
        kind = None
    except ValueError:  # what PyAV calls a codec it does not know
        kind = None
    if kind != "video":
        there = sorted(
            name for name, known in (*_ENCODERS.items(), ("mpeg4", "mpeg4"), ("ffv1", "ffv1"))
            if known in av.codecs_available
        )  # fmt: skip
        raise InputError(f"--codec {codec}: not there; this installation has {', '.join(there)}")


class VideoWriter:
    """Encodes frames of one size; closing it makes the file whole, whatever came before.

    Args:
        path: file to write; or an object with a method write(bytes), which cannot seek.
        suffix: of the file's name in the end: decides the container.
        codec: h264, hevc, vp9, av1, or the name of any encoder that FFmpeg has here.
        rate: frames/s on average, for the encoder's rate control.
        time_base: seconds that a time stamp counts.
        sound: to write with the frames.
        live: keep no frame back for better compression.
    """

    def __init__(
        self,
        path: Path | Any,
        suffix: str,
        codec: str,
        rate: Fraction,
        time_base: Fraction,
        sound: Sound | None = None,
        live: bool = False,
    ) -> None:
        self._av = load_av()
        self._encoder = _ENCODERS.get(codec, codec)
        self._rate = max(rate, Fraction(1, 1000)).limit_denominator(10**6)  # FFmpeg has 32 bits
        self._time_base = time_base
        if self._encoder == "mpeg4" and time_base.denominator > _LARGEST_TICK:
            self._time_base = Fraction(1, _LARGEST_TICK)
        self._source_base = time_base
        self._sound = sound
        self.letterboxed = 0  # frames of another size than the first one's
        self._live = live
        self._container = self._av.open(
            str(path) if isinstance(path, Path) else path,
            "w",
            format=FORMATS[suffix.lower()],
            options=_MUX_AT_ONCE if live else {},
        )
        self._stream: Any = None
        self._last = -1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
                if self._sound:
                    self._sound.write(self._container, last=True)
        finally:
            self._container.close()

    def write(self, image: Image | Any, stamp: int, aspect: Fraction = Fraction(1)) -> None:
        """Append a frame at a time later than the last one's.

        A frame of another size than the first one's is scaled to fit, between black bars.

        Args:
            image: uint8 H×W×3 RGB, or an av.VideoFrame of even sides, whose matrix and range of
                colours the video then has.
            aspect: a pixel's width by its height; the first frame's counts.

        Raises:
            InputError: the codec refuses such frames, or does not go into this container.
            OSError: the disk is full.
        """
        frame: Any = image
        like = None if isinstance(image, np.ndarray) else frame
        size = (like.height, like.width) if like else frame.shape[:2]
        if self._stream is None:
            self._size = size
            self._start(size, aspect, like)
        if size != self._size:
            frame = _letterbox(frame.to_ndarray(format="rgb24") if like else frame, self._size)
            self.letterboxed += 1
        if isinstance(frame, np.ndarray):
            down, right = self._stream.height - self._size[0], self._stream.width - self._size[1]
            if down or right:  # odd sides: one row or column more
                frame = cv2.copyMakeBorder(frame, 0, down, 0, right, cv2.BORDER_REPLICATE)
            frame = self._av.VideoFrame.from_ndarray(frame, format="rgb24")
        pts = round(stamp * self._source_base / self._time_base)
        self._last = frame.pts = max(pts, self._last + 1)  # encoders refuse two at one time
        frame.time_base = self._time_base
        self._container.mux(self._stream.encode(frame))
        if self._sound:
            self._sound.write(self._container)

    def _start(self, size: tuple[int, int], aspect: Fraction, like: Any) -> None:
        av = self._av
        height, width = size
        try:
            options = _OPTIONS.get(self._encoder, {})
            options = options | (_AT_ONCE.get(self._encoder, {}) if self._live else {})
            stream = self._container.add_stream(self._encoder, rate=self._rate, options=options)
            formats = [form.name for form in stream.codec_context.codec.video_formats or ()]
            stream.pix_fmt = "yuv420p" if "yuv420p" in formats or not formats else formats[0]
            halved = stream.pix_fmt.startswith("yuv420")
            stream.height = height + height % 2 if halved else height
            stream.width = width + width % 2 if halved else width
            stream.codec_context.time_base = self._time_base
            stream.codec_context.sample_aspect_ratio = aspect
            if like is not None:
                stream.codec_context.colorspace = like.colorspace
                stream.codec_context.color_range = like.color_range
            if self._sound:
                self._sound.start(self._container)
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (28, 30, 122):
                raise
            raise InputError(
                f"codec {self._encoder} cannot write {width}×{height} frames to"
                f" {self._container.format.name}: {error}"
            ) from error
        self._stream = stream


def _letterbox(image: Image, size: tuple[int, int]) -> Image:
    """Scale a frame to fit (H, W), between black bars."""
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    out = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    out[top : top + height, left : left + width] = resize_image(image, (height, width))
    return out
