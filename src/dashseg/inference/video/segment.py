"""A video, segmented: frames are decoded and encoded in order, and worked on in threads between."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from dashseg.errors import InputError
from dashseg.inference.pipeline import Pace, run
from dashseg.inference.predict import made_of
from dashseg.inference.segmenter import Result, Segmenter, as_array
from dashseg.inference.upsampling import label_at
from dashseg.inference.video.overlay import overlay
from dashseg.inference.video.read import TimedFrame, open_clip
from dashseg.inference.video.smooth import Flicker, Smoother, small_grey
from dashseg.inference.video.write import VideoWriter, check_target
from dashseg.labels import Image, write_mask
from dashseg.outputs import Record, entries
from dashseg.overlap import ahead

_DRAWERS = 2  # threads that draw smoothed labels, which come one after the other


@dataclass
class VideoReport:
    """What became of a video."""

    frames: int = 0  # written
    broken: int = 0  # frames or packets that could not be decoded
    interrupted: bool = False
    # With smoothing: the share of still pixels that change class from frame to frame, and what it
    # would have been without.
    flicker: float | None = None
    flicker_unsmoothed: float | None = None
    letterboxed: int = 0  # frames of another size than the first one's, between black bars
    sound: str | None = None  # "copied", the codec that it was encoded with, or none


def segment_video(
    segmenter: Segmenter,
    source: Path,
    out: Path,
    *,
    masks: Path | None = None,
    codec: str = "h264",
    start: float = 0,
    end: float | None = None,
    every: int = 1,
    rate: Fraction | None = None,
    smooth: float = 0,
    audio: bool = True,
    overwrite: bool = False,
    pace: Pace | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> VideoReport:
    """Lay the labels over a video.

    Time stamps are the source's, less its first, and go on where joined streams start anew. Frames
    come upright; sides that the codec needs even grow by one pixel. The shape of pixels and the
    first sound track are kept. Ctrl-C ends the file early and whole.

    Args:
        source: a video file (also a raw .hevc of a comma device), or a folder of images.
        out: the video to write; its suffix chooses the container.
        masks: folder that gets each frame's mask: as NAME_NUMBER.png of a video, and under the
            frame's own name of a folder.
        codec: h264, hevc, vp9, av1, or any encoder that FFmpeg has here.
        start, end: seconds.
        every: only each such frame.
        rate: frames/s of a folder or a raw stream.
        smooth: 0 (off) to below 1: how much of the past a still pixel's class keeps.
        audio: keep the sound.
        overwrite: replace `out` and masks that an earlier call wrote, and nobody changed since.
            What a stopped call of the same video and options wrote is always replaced.
        pace: how many frames are worked on at once.
        on_progress: called with (frames done, frames in all; 0 where that is not known).

    Raises:
        InputError: source cannot be read, codec not there, `out` taken or not writable.
    """
    check_target(out, codec)
    made = made_of(segmenter, [source], codec, start, end, every, rate, smooth, audio)
    inputs = [source, *(source.iterdir() if source.is_dir() else ())]
    video, labels = Record(out.parent, "predict"), Record(masks or out.parent, "predict")
    stopped = video.state(out.name, f"stopped {made}") == "whole"
    if video.accept({out.name: made}, inputs, overwrite or stopped):
        raise InputError(f"{out} exists: choose another --out, or --overwrite")
    labels.accept(dict.fromkeys(entries(masks) if masks else (), made), inputs, overwrite)
    flicker = (Flicker(), Flicker()) if Smoother(smooth).strength else None
    clip = open_clip(source, start, end, every, rate, audio)
    report = VideoReport()
    with ExitStack() as stack:
        stack.callback(clip.close)  # when the writer is done with its sound
        stack.enter_context(video.open())
        if masks is not None:
            stack.enter_context(labels.open())
        temporary = stack.enter_context(
            video.file(out.name, lambda: f"stopped {made}" if report.interrupted else made)
        )
        stop = stack.enter_context(stop_event())
        writer = stack.enter_context(
            VideoWriter(temporary, out.suffix, codec, clip.rate / every, clip.time_base, clip.sound)
        )

        def draw(frame: TimedFrame, result: Result) -> tuple[TimedFrame, Image | Any]:
            if masks is not None:
                with labels.file(f"{frame.name}.png", made) as path:
                    write_mask(path, result.label, result.classes)
            return frame, overlay(frame, result)

        if flicker is None:
            pictures = run(segmenter, clip.frames(), _read, draw, pace)
        else:
            results = run(segmenter, clip.frames(), _read, lambda *pair: pair, pace)
            still = _smoothed(segmenter, results, Smoother(smooth), flicker)
            pictures = ahead(still, lambda pair: draw(*pair), threads=_DRAWERS)
        for picture in stack.enter_context(closing(pictures)):
            if isinstance(picture, InputError):
                raise picture
            if stop.is_set():
                report.interrupted = True
                break
            frame, shown = picture
            writer.write(shown, frame.stamp, frame.aspect)
            report.frames += 1
            if on_progress:
                count = clip.count or 0  # an estimate: joined streams have more frames
                on_progress(report.frames, count if report.frames <= count else 0)
        if report.frames == 0 and not report.interrupted:
            raise InputError(f"{source}: no frame in the span that was asked for")
    report.broken, report.letterboxed = clip.broken, writer.letterboxed
    report.sound = clip.sound.kept if clip.sound else None
    if flicker is not None:
        report.flicker_unsmoothed, report.flicker = (found.share for found in flicker)
    return report


def _read(frame: TimedFrame) -> tuple[Image, TimedFrame]:
    return frame.image, frame


def _smoothed(
    segmenter: Segmenter,
    results: Generator[tuple[TimedFrame, Result] | InputError, None, None],
    smoother: Smoother,
    flicker: tuple[Flicker, Flicker],
) -> Generator[tuple[TimedFrame, Result], None, None]:
    """The frames with averaged logits; their flicker before and after is added to `flicker`."""
    with closing(results):
        for outcome in results:
            if isinstance(outcome, InputError):
                raise outcome
            frame, result = outcome
            size = segmenter.size_for(frame.image)
            grey = small_grey(frame.image, size)
            logits = as_array(result.logits)
            flicker[0].add(label_at(size, logits), grey)
            logits = smoother(logits, grey)
            flicker[1].add(label_at(size, logits), grey)
            yield frame, replace(result, logits=logits)


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that the frame at hand is finished; a second one stops now."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals are the main thread's
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
