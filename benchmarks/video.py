"""A video end to end against the network alone, each stage's work, and memory over a long one.

python benchmarks/video.py MODEL CLIP [--rounds 3] [--codec h264]
python benchmarks/video.py MODEL CLIP --minutes 10     the clip looped to so long; memory by time

The ratio is of frames/s, in turn. The stages' times are of processor cores, one stage at a time:
what they sum up to is shared by all cores when they overlap.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from dashseg.inference import Segmenter, load
from dashseg.inference.video import segment_video
from dashseg.inference.video.overlay import overlay
from dashseg.inference.video.read import open_clip
from dashseg.inference.video.write import VideoWriter
from dashseg.input_size import to_working_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    segmenter = load(options.model, device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.minutes:
            trace(segmenter, looped(options.clip, 60 * options.minutes, folder), folder)
        else:
            stages(segmenter, options.clip, options.codec, folder)
            compare(segmenter, options.clip, options.codec, options.rounds, folder)


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
        f"video / network alone: median {statistics.median(ratios):.2f}"
        f" ({min(ratios):.2f}-{max(ratios):.2f}) over {rounds} rounds of {len(frames)} frames"
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
        stream, base, span, length = None, 0, 0, 0.0
        while length < seconds:
            with av.open(str(clip)) as source:
                given = source.streams.video[0]
                stream = stream or target.add_stream_from_template(given)
                for packet in source.demux(given):
                    if packet.dts is None:
                        continue
                    span = max(span, packet.pts + packet.duration)
                    packet.pts, packet.dts, packet.stream = (
                        packet.pts + base,
                        packet.dts + base,
                        stream,
                    )
                    target.mux(packet)
                base += span
                length = float(base * given.time_base)
    return out


def trace(segmenter: Segmenter, clip: Path, folder: Path) -> None:
    """Memory at every 500th frame."""
    start = time.perf_counter()

    def advance(count: int, total: int) -> None:
        if count % 500 == 0:
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
