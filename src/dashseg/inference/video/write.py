"""Frames with time stamps -> a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from dashseg.errors import InputError
from dashseg.inference.video.read import load_av
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
        path: file to write.
        suffix: of the file's name in the end: decides the container.
        codec: h264, hevc, vp9, av1, or the name of any encoder that FFmpeg has here.
        rate: frames/s on average, for the encoder's rate control.
        time_base: seconds that a time stamp counts.
    """

    def __init__(
        self, path: Path, suffix: str, codec: str, rate: Fraction, time_base: Fraction
    ) -> None:
        self._av = load_av()
        self._path = path
        self._encoder = _ENCODERS.get(codec, codec)
        self._rate = rate
        self._time_base = time_base
        if self._encoder == "mpeg4" and time_base.denominator > _LARGEST_TICK:
            self._time_base = Fraction(1, _LARGEST_TICK)
        self._source_base = time_base
        self._container = self._av.open(str(path), "w", format=FORMATS[suffix.lower()])
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
        finally:
            self._container.close()

    def write(self, image: Image | Any, stamp: int) -> None:
        """Append a frame of the first one's size, at a time later than the last one's.

        Args:
            image: uint8 H×W×3 RGB, or an av.VideoFrame of even sides, whose matrix and range of
                colours the video then has.

        Raises:
            InputError: the codec refuses such frames, or does not go into this container.
            OSError: the disk is full.
        """
        frame: Any = image
        if isinstance(image, np.ndarray):
            if self._stream is None:
                self._start(*image.shape[:2])
            height, width = self._stream.height, self._stream.width
            if image.shape[:2] != (height, width):  # odd sides: one row or column more
                down, right = height - image.shape[0], width - image.shape[1]
                image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
            frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        elif self._stream is None:
            self._start(image.height, image.width, image)
        pts = round(stamp * self._source_base / self._time_base)
        self._last = frame.pts = max(pts, self._last + 1)  # encoders refuse two at one time
        frame.time_base = self._time_base
        self._container.mux(self._stream.encode(frame))

    def _start(self, height: int, width: int, like: Any = None) -> None:
        av = self._av
        try:
            stream = self._container.add_stream(
                self._encoder, rate=self._rate, options=_OPTIONS.get(self._encoder, {})
            )
            formats = [form.name for form in stream.codec_context.codec.video_formats or ()]
            stream.pix_fmt = "yuv420p" if "yuv420p" in formats or not formats else formats[0]
            halved = stream.pix_fmt.startswith("yuv420")
            stream.height = height + height % 2 if halved else height
            stream.width = width + width % 2 if halved else width
            stream.codec_context.time_base = self._time_base
            if like is not None:
                stream.codec_context.colorspace = like.colorspace
                stream.codec_context.color_range = like.color_range
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (28, 30, 122):
                raise
            raise InputError(
                f"codec {self._encoder} cannot write {width}×{height} frames to"
                f" {self._container.format.name}: {error}"
            ) from error
        self._stream = stream
