"""A video end to end against the network alone, each stage's work, and memory over a long one.

    python benchmarks/video.py MODEL CLIP [--rounds 3] [--codec h264]
    python benchmarks/video.py MODEL CLIP --minutes 10
    python benchmarks/video.py --smoke

Prints the milliseconds of a processor core that each stage takes per frame, one stage at a time
(all cores share their sum when stages overlap), and the ratio of frames/s, measured in turn. With
--minutes the clip is looped until it is so long; memory is printed every 500 frames. --smoke draws
a clip, takes the model that comes with dashseg, and does both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from common import arguments, spread

from dashseg.inference import Segmenter, load
from dashseg.inference.video import segment_video
from dashseg.inference.video.overlay import overlay
from dashseg.inference.video.read import open_clip
from dashseg.inference.video.write import VideoWriter
from dashseg.input_size import to_working_size
from dashseg.scenes import render_scene


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model", nargs="?", default="small")
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    if not (options.smoke or options.clip):
        parser.error("name a model and a clip, or use --smoke")
    segmenter = load(options.model, device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, rounds, length = options.clip, options.rounds, 60 * (options.minutes or 0.0)
        if options.smoke:
            clip, rounds, length = drawn(folder / "drawn.mp4"), 1, 0.1
        if options.smoke or not length:
            stages(segmenter, clip, options.codec, folder)
            compare(segmenter, clip, options.codec, rounds, folder)
        if length:
            trace(segmenter, looped(clip, length, folder), folder, 2 if options.smoke else 500)


def drawn(clip: Path) -> Path:
    """Two frames of a drawn scene, which moves to the left."""
    image = render_scene(0, 0, (96, 128)).image
    with VideoWriter(clip, ".mp4", "h264", Fraction(25), Fraction(1, 25)) as writer:
        for number in range(2):
            writer.write(np.roll(image, -4 * number, axis=1), number)
    return clip


def compare(segmenter: Segmenter, clip: Path, codec: str, rounds: int, folder: Path) -> None:
    frames = [frame.image for frame in open_clip(clip).frames()]
    batches = [to_working_size(frame, segmenter.input)[None] for frame in frames]
    segmenter.runtime(batches[0])
    alone, whole = [], []
    for turn in range(rounds):
        start = time.perf_counter()
        for batch in batches:
            segmenter.runtime(batch)
        alone.append(len(batches) / (time.perf_counter() - start))
        start = time.perf_counter()
        segment_video(segmenter, clip, folder / f"{turn}.mp4", codec=codec)
        whole.append(len(batches) / (time.perf_counter() - start))
    ratios = [b / a for a, b in zip(alone, whole, strict=True)]
    print(
        f"network alone {statistics.median(alone):.1f} frames/s,"
        f" video {statistics.median(whole):.1f}"
    )
    print(
        f"video / network alone: {spread(ratios, 2)} over {rounds} rounds of {len(frames)} frames"
    )


def stages(segmenter: Segmenter, clip: Path, codec: str, folder: Path) -> None:
    """Milliseconds of processor time per frame."""
    frames = list(open_clip(clip).frames())
    images = [frame.image for frame in frames]
    cost("decode", lambda: len(list(open_clip(clip).frames())))
    cost("resize", lambda: each(lambda image: to_working_size(image, segmenter.input), images))
    cost(
        "network",
        lambda: each(
            segmenter.runtime, [to_working_size(image, segmenter.input)[None] for image in images]
        ),
    )
    results = [segmenter(image) for image in images]
    cost("label", lambda: each(lambda result: result.label, results))
    pairs = list(zip(frames, results, strict=True))
    cost("overlay", lambda: each(lambda pair: overlay(*pair), pairs))
    overlays = [overlay(*pair) for pair in pairs]

    def encode() -> int:
        with VideoWriter(folder / "e.mp4", ".mp4", codec, Fraction(25), Fraction(1, 25)) as writer:
            for number, shown in enumerate(overlays):
                writer.write(shown, number)
        return len(overlays)

    cost("encode", encode)
    print(f"encoded: {(folder / 'e.mp4').stat().st_size / 1e6:.2f} MB")


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> int:
    return sum(1 for _ in map(function, items))


def cost(name: str, run: Callable[[], int]) -> None:
    start = time.process_time()
    count = run()
    print(f"{name:8} {1e3 * (time.process_time() - start) / count:6.2f} ms of a core per frame")


def looped(clip: Path, seconds: float, folder: Path) -> Path:
    """The clip's packets again and again, unchanged, until it is so long."""
    out = folder / "long.mp4"
    with av.open(str(out), "w") as target:
        stream, start, length = None, 0, 0.0  # start: of this round, in the clip's time base
        while length < seconds:
            end = 0
            with av.open(str(clip)) as source:
                given = source.streams.video[0]
                stream = stream or target.add_stream_from_template(given)
                for packet in source.demux(given):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts += start
                    packet.dts += start
                    packet.stream = stream
                    target.mux(packet)
                assert end and given.time_base is not None, f"{clip} has no time stamps"
                start += end
                length = float(start * given.time_base)
    return out


def trace(segmenter: Segmenter, clip: Path, folder: Path, every: int) -> None:
    """Print the memory at every so many frames."""
    start = time.perf_counter()

    def advance(count: int, total: int) -> None:
        if count % every == 0:
            rate = count / (time.perf_counter() - start)
            print(
                f"{count} of {total} frames: {resident_mb():.0f} MB, {rate:.1f} frames/s",
                flush=True,
            )

    segment_video(segmenter, clip, folder / "out.mp4", on_progress=advance)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    main()
