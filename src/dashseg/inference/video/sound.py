"""A video's sound on its way from the source to the output."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from dashseg.inference.video.pyav import load_av

_ENCODERS = {"webm": "libopus", "avi": "libmp3lame"}  # by container; elsewhere AAC
_COPIED_TO_MPEGTS = ("aac", "mp3", "mp2", "ac3", "eac3")  # FFmpeg takes any, but few players do


class Sound:
    """A sound track: the reader of a video puts packets in, the writer of the output takes them.

    Packets are copied if the output's container takes their codec, else decoded and encoded anew.
    """

    source: Any

    def __init__(self) -> None:
        self.packets: deque[Any] = deque()  # with the time stamps that they have in the output
        self.kept = ""  # "copied" or the name of the new codec, once there is an output
        self._last = -1

    def read_from(self, source: Any) -> None:
        """Start at the beginning of an av.AudioStream, whose container stays open meanwhile."""
        self.source = source
        self.packets.clear()

    def start(self, container: Any) -> None:
        """Add a stream to an av.OutputContainer whose header is not written yet."""
        with suppress(ValueError):  # what PyAV calls a codec that the container does not take
            if container.format.name != "mpegts" or self.source.codec.name in _COPIED_TO_MPEGTS:
                self._stream = container.add_stream_from_template(self.source)
                self.kept = "copied"
                return
        self.kept = _ENCODERS.get(container.format.name, "aac")
        self._stream = container.add_stream(self.kept)
        if self.source.rate in self._stream.codec.audio_rates:
            self._stream.rate = self.source.rate
        self._stream.layout = "mono" if self.source.channels == 1 else "stereo"

    def write(self, container: Any, last: bool = False) -> None:
        """Write the packets that were read so far; `last`: none follow.

        Raises:
            OSError: the disk is full.
        """
        for packet in self._copied() if self.kept == "copied" else self._encoded(last):
            with suppress(ValueError):  # a damaged packet that the container does not take
                container.mux_one(packet)

    def _copied(self) -> Iterator[Any]:
        while self.packets:
            packet = self.packets.popleft()
            if packet.dts > self._last:
                self._last = packet.dts  # containers refuse two at one time
                packet.stream = self._stream
                yield packet

    def _encoded(self, last: bool) -> Iterator[Any]:
        while self.packets:
            # Damaged, or of another rate than those before.
            with suppress(ValueError, load_av().error.FFmpegError):
                for frame in self.packets.popleft().decode():
                    yield from self._stream.encode(frame)
        if last:
            yield from self._stream.encode(None)
