"""Exported models in turn: frames/s of the network alone, and from decoded frame to label.

    python benchmarks/end_to_end.py --frames FOLDER EXPORT [EXPORT ...]
    python benchmarks/end_to_end.py --smoke

Prints the milliseconds of each stage: resize, network, label, and all of it. With
--processor-time, what other programs take does not count; of several threads all do. --smoke
takes drawn scenes and the model that comes with dashseg.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from common import SMALL, arguments

import dashseg
from dashseg.images import is_image_file, read_image, resize_image
from dashseg.inference import Segmenter
from dashseg.inference.upsampling import label_at
from dashseg.input_size import working_size
from dashseg.labels import Image
from dashseg.scenes import render_scene

T = TypeVar("T")
Times = dict[str, list[float]]
Clock = Callable[[], float]


def timed(times: Times, part: str, clock: Clock, work: Callable[[], T]) -> T:
    start = clock()
    result = work()
    times[part].append(1000 * (clock() - start))
    return result


def measure(segment: Segmenter, frame: Image, times: Times, clock: Clock) -> None:
    size = segment.runtime.size or working_size(frame.shape[:2], segment.input)
    small = timed(times, "resize", clock, lambda: resize_image(frame, size)[None])
    logits = timed(times, "network", clock, lambda: segment.runtime(small))
    timed(times, "label", clock, lambda: label_at(frame.shape[:2], logits[0]))
    timed(times, "end to end", clock, lambda: segment(frame).label)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=Path, help="a folder; up to 8 of its images are used")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    if options.frames and options.models:
        files = sorted(filter(is_image_file, options.frames.iterdir()))[:8]
        compare(options.models, [read_image(file) for file in files], options.rounds, clock)
    elif options.smoke:
        compare(["small"], [render_scene(0, 0, SMALL).image], 2, clock)
    else:
        parser.error("name --frames and models, or use --smoke")


def compare(names: Sequence[str], frames: Sequence[Image], rounds: int, clock: Clock) -> None:
    models = {name: dashseg.load(name, device="cpu") for name in names}
    times: dict[str, Times] = {name: defaultdict(list) for name in models}
    for segment in models.values():
        measure(segment, frames[0], defaultdict(list), clock)  # the first call prepares
    for _ in range(rounds):  # in turn, so that all see the same machine
        for name, segment in models.items():
            for frame in frames:
                measure(segment, frame, times[name], clock)
    height, width = frames[0].shape[:2]
    print(f"{len(frames)} frames of {height}x{width}, {rounds} rounds; ms (10 %, 90 %)")
    for name in models:
        print(name)
        for part, values in times[name].items():
            deciles = statistics.quantiles(values, n=10)
            median = statistics.median(values)
            print(
                f"  {part:10} {median:6.2f} ({deciles[0]:.2f}, {deciles[-1]:.2f})"
                f"  {1000 / median:.0f} a second"
            )


if __name__ == "__main__":
    main()
