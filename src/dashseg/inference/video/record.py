"""Live input, segmented into a recording that plays at the speed of life: `record_live`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashseg.errors import InputError
from dashseg.inference.segmenter import Result, Segmenter, as_array
from dashseg.inference.video.live import TIME_BASE, LiveSource, shown
from dashseg.inference.video.overlay import overlay
from dashseg.inference.video.read import TimedFrame
from dashseg.inference.video.segment import stop_event
from dashseg.inference.video.smooth import Smoother, small_grey
from dashseg.inference.video.window import Window
from dashseg.inference.video.write import VideoWriter, check_target
from dashseg.outputs import Record

_POLL = 0.1  # seconds after which Ctrl-C and a window that was closed are noticed
_PIPED = ".mkv"  # Matroska takes every codec, and needs no way back in the file


@dataclass
class LiveReport:
    """What became of live input."""

    frames: int = 0  # written
    dropped: int = 0  # decoded, but a newer one came before the network was free
    broken: int = 0  # frames or packets that could not be decoded
    reconnects: int = 0
    seconds: float = 0  # from the first frame to the last
    interrupted: bool = False
    lost: str = ""  # why the input ended, if not as it should


def record_live(
    segmenter: Segmenter,
    source: str,
    out: Path | None,
    *,
    codec: str = "h264",
    end: float | None = None,
    smooth: float = 0,
    show: bool = False,
    overwrite: bool = False,
    reconnects: int | None = None,
    timeout: float = 5.0,
    first_wait: float = 0.5,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], object] = lambda line: None,
) -> LiveReport:
    """Segment the newest frame again and again; each is stamped with the time at which it came.

    Of the frames that come while one is worked on, the last is next. Sound is left out.
    Ctrl-C, and closing the window, end the recording early and whole.

    Args:
        source: a URL (rtsp, udp, http, …), /dev/videoN, or - for standard input.
        out: the video to write; its suffix chooses the container. None: Matroska to standard
            output, until nobody reads it any more.
        codec: as of `segment_video`.
        end: seconds after the first frame.
        smooth: as of `segment_video`.
        show: show the frames in a window too.
        overwrite: replace `out` if it is a recording that nobody changed since.
        reconnects: tries to connect again, one after the other, before the recording ends; None:
            no limit.
        timeout: seconds without a packet after which the connection counts as lost.
        first_wait: seconds before the first of these tries; each later wait is twice as long.
        on_progress: called with (frames done, 0).
        on_note: called with a line when the connection is lost.

    Raises:
        InputError: source cannot be opened or gives no frame, codec not there, `out` taken or not
            writable, no display for the window.
        KeyboardInterrupt: Ctrl-C before the first frame; nothing is written.
    """
    if end is not None and end <= 0:
        raise InputError(f"--end {end:g}: seconds after the first frame, more than 0")
    smoother = Smoother(smooth)
    check_target(out or Path(f"out{_PIPED}"), codec)
    report = LiveReport()
    with ExitStack() as stack:
        pipe = _StandardOutput()
        target: Path | _StandardOutput = pipe
        if out is not None:
            record = Record(out.parent, "predict")
            if record.accept({out.name: "live"}, [], overwrite):
                raise InputError(f"{out} exists: choose another --out, or --overwrite")
        window = stack.enter_context(Window("dashseg")) if show else None
        stop = stack.enter_context(stop_event())
        live = LiveSource(source, on_note, reconnects, timeout, first_wait)
        stack.callback(live.close)
        if out is not None:
            stack.enter_context(record.open())
            target = stack.enter_context(record.file(out.name, "live"))
        suffix = out.suffix if out else _PIPED
        writer = stack.enter_context(
            VideoWriter(target, suffix, codec, live.rate, TIME_BASE, live=True)
        )
        while not (stop.is_set() or pipe.closed or (window and window.closed)):
            if window:
                window.update()
            frame = live.newest(_POLL)
            if frame is None:
                if live.ended:
                    break
                continue
            seconds = float(frame.stamp * TIME_BASE)
            if end is not None and seconds >= end:
                break
            picture = overlay(frame, _smoothed(segmenter, smoother, frame))
            writer.write(picture, frame.stamp, frame.aspect)
            if window:
                window.show(picture)
            report.frames, report.seconds = report.frames + 1, seconds
            if on_progress:
                on_progress(report.frames, 0)
        report.interrupted = stop.is_set()
        if report.frames == 0:
            if report.interrupted:
                raise KeyboardInterrupt
            raise InputError(live.lost or f"{shown(source)}: not one frame came")
    report.dropped, report.broken = live.dropped, live.broken
    report.reconnects, report.lost = live.reconnects, live.lost
    return report


def _smoothed(segmenter: Segmenter, smoother: Smoother, frame: TimedFrame) -> Result:
    result = segmenter(frame.image)
    if not smoother.strength:
        return result
    grey = small_grey(frame.image, segmenter.size_for(frame.image))
    return replace(result, logits=smoother(as_array(result.logits), grey))


class _StandardOutput:
    """Takes what the muxer writes; a reader that went away closes it without an error."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left and not self.closed:
                left = left[os.write(1, left) :]
        except BrokenPipeError:
            self.closed = True
        return len(data)
