"""A camera or a stream -> its newest frame, whenever somebody asks; a lost connection is reopened.

Addresses hold passwords: messages show their scheme and host alone, and no error of FFmpeg's, which
quotes the address, is passed on.
"""

from __future__ import annotations

import errno
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any

import cv2

from dashseg.errors import InputError
from dashseg.images import MAX_PIXELS
from dashseg.inference.video.pyav import load_av
from dashseg.inference.video.read import TimedFrame, timed_frame

SCHEMES = ("rtsp", "rtsps", "udp", "rtp", "srt", "tcp", "http", "https")
TIME_BASE = Fraction(1, 1000)  # seconds that a stamp counts
_ENDED = "the stream ended"
_STDIN = 0  # the number of its file
_LONGEST_WAIT = 30.0  # seconds between two tries to connect
_OPEN_SECONDS = 15.0  # some cameras send a key frame, which tells the size, every ten seconds
_OPTIONS = {
    "flags": "low_delay",
    "rtsp_flags": "prefer_tcp",  # over UDP, lost packets smear the picture
    "protocol_whitelist": ",".join((*SCHEMES, "tls", "crypto")),  # a playlist may name files here
}


def is_live(source: str) -> bool:
    """Whether it is a URL, a camera (/dev/video0) or - (standard input)."""
    return source == "-" or "://" in source or _is_camera(source)


def shown(source: str) -> str:
    """An address without user, password, path and query, for messages."""
    scheme, separator, rest = source.partition("://")
    if not separator:
        return "standard input" if source == "-" else source
    host, path = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if "@" in path:  # perhaps of a password with a slash in it
        return f"{scheme}://…"
    return f"{scheme}://{host.rpartition('@')[2]}" + "/…" * (len(path) > 1)


class LiveSource:
    """Reads in a thread and keeps the newest frame.

    Args:
        source: a URL of one of `SCHEMES`, /dev/videoN, or - for standard input.
        note: gets a line when the connection is lost.
        reconnects: tries to connect again, one after the other, before it gives up; None: no limit.
        timeout: seconds without a packet after which the connection counts as lost.
        first_wait: seconds before the first try to connect again; each later wait is twice as long.

    Raises:
        InputError: the first connection fails, or has no video.
    """

    def __init__(
        self,
        source: str,
        note: Callable[[str], object] = lambda line: None,
        reconnects: int | None = None,
        timeout: float = 5.0,
        first_wait: float = 0.5,
    ) -> None:
        scheme = source.partition("://")[0]
        if "://" in source and scheme not in SCHEMES:
            raise InputError(f"{shown(source)}: live input comes by {', '.join(SCHEMES)}")
        self._source, self._note, self._limit = source, note, reconnects
        self._timeout, self._first_wait = timeout, first_wait
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._newest: tuple[Any, float] | None = None
        self._start: float | None = None  # when the first frame that was taken came
        self._taken = 0
        self._error: BaseException | None = None
        self.dropped = 0  # frames that a newer one replaced
        self.broken = 0  # frames or packets that could not be decoded
        self.reconnects = 0
        self.lost = ""  # why there are no more frames; "": they ended as they should
        self.rate = Fraction(20)  # frames/s, as the stream says
        frames = self._connect()
        self._thread = threading.Thread(target=self._run, args=(frames,), daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether no further frame will come."""
        return not self._thread.is_alive() and self._newest is None

    def newest(self, wait: float) -> TimedFrame | None:
        """The newest frame that was not taken yet, stamped with the time at which it came.

        Args:
            wait: seconds to wait for one; None if none comes.
        """
        with self._changed:
            if self._newest is None and self._thread.is_alive():
                self._changed.wait(wait)
            newest, self._newest = self._newest, None
        if newest is None:
            if self._error is not None and self.ended:
                raise self._error
            return None
        picture, came = newest
        self._start = came if self._start is None else self._start
        stamp, name = round((came - self._start) / TIME_BASE), f"live_{self._taken:06d}"
        self._taken += 1
        if isinstance(picture, load_av().VideoFrame):
            return timed_frame(picture, stamp, name, self._aspect)
        return TimedFrame(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), stamp, name)

    def close(self) -> None:
        """Stop reading. Waits for the thread, up to the time without a packet that it allows."""
        self._stop.set()
        self._thread.join(max(self._timeout, _OPEN_SECONDS) + 1)

    def _run(self, frames: Iterator[Any]) -> None:
        try:
            self._read(frames)
        except BaseException as error:  # raised in `newest`
            self._error = error
        with self._changed:
            self._changed.notify()

    def _read(self, frames: Iterator[Any] | None) -> None:
        failures = 0
        while True:
            try:
                frames = frames or self._connect()
                with closing(frames):  # type: ignore[type-var]
                    for picture in frames:
                        if self._stop.is_set():
                            return
                        self.reconnects += failures > 0
                        failures = 0
                        self._put(picture)
                return
            except InputError as error:
                reason = str(error)
            frames = None
            if self._stop.is_set():
                return
            failures += 1
            if self._limit is not None and failures > self._limit:
                self.lost = reason
                return
            wait = min(self._first_wait * 2 ** min(failures - 1, 20), _LONGEST_WAIT)
            self._note(f"{reason}; connecting again in {wait:g} s")
            if self._stop.wait(wait):
                return

    def _put(self, picture: Any) -> None:
        with self._changed:
            self.dropped += self._newest is not None
            self._newest = picture, time.monotonic()
            self._changed.notify()

    def _connect(self) -> Iterator[Any]:
        """Decoded frames, from now on; InputError when they end before they should."""
        return self._camera() if _is_camera(self._source) else self._stream()

    def _failure(self, what: object) -> InputError:
        return InputError(f"{shown(self._source)}: {what}")

    def _camera(self) -> Iterator[Any]:
        capture = cv2.VideoCapture(self._source, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise self._failure("no camera that can be read: is it there, and free?")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.rate = Fraction(capture.get(cv2.CAP_PROP_FPS) or 20).limit_denominator(1001)

        def frames() -> Iterator[Any]:
            try:
                while True:
                    there, picture = capture.read()
                    if not there:
                        raise self._failure("the camera gave no more frames")
                    yield picture
            finally:
                capture.release()

        return frames()

    def _stream(self) -> Iterator[Any]:
        av = load_av()
        piped = self._source == "-"
        where = _StandardInput(self._stop) if piped else self._source
        times = None if piped else (max(self._timeout, _OPEN_SECONDS), self._timeout)
        try:
            container = av.open(where, timeout=times, options=_OPTIONS)
        except (av.error.FFmpegError, ValueError) as error:
            raise self._failure(self._why(error)) from None
        if not container.streams.video:
            container.close()
            raise self._failure("has no video stream")
        if self._source.startswith("http") and container.duration:
            container.close()
            raise self._failure("a video file, no stream: download it, and give its name")
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads by frame would each hold one back
        self.rate = Fraction(stream.average_rate or 20)
        self._aspect = Fraction(stream.sample_aspect_ratio or 1)
        ends = piped or bool(container.duration)  # a recording that a server plays

        def frames() -> Iterator[Any]:
            try:
                yield from self._decoded(container, stream)
            finally:
                container.close()
            if not ends:
                raise self._failure(_ENDED)

        return frames()

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        av = load_av()
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, OSError) as error:
                raise self._failure(self._why(error)) from None
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.broken += 1
                continue
            for frame in frames:
                if frame.is_corrupt or frame.width * frame.height > MAX_PIXELS:
                    self.broken += 1
                else:
                    yield frame

    def _why(self, error: Exception) -> str:
        if isinstance(error, load_av().error.ExitError):
            return f"nothing came for {self._timeout:g} s"
        if getattr(error, "errno", None) == errno.EIO:  # what HTTP says of a connection cut
            return _ENDED
        return getattr(error, "strerror", None) or "not a stream that can be read"


class _StandardInput:
    """What PyAV reads from; it ends when the program is asked to stop."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def read(self, size: int) -> bytes:
        while not self._stop.is_set():
            if select.select([_STDIN], [], [], 0.2)[0]:
                return os.read(_STDIN, size)
        return b""


def _is_camera(source: str) -> bool:
    return re.fullmatch(r"/dev/(video[0-9]+|v4l/.+)", source) is not None
