"""Exported models in turn: frames/s of the network alone, and from decoded frame to label.

python benchmarks/end_to_end.py --frames FOLDER EXPORT [EXPORT ...]

With --processor-time, what other programs take does not count; of several threads all do.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import dashseg
from dashseg.images import is_image_file, read_image, resize_image
from dashseg.inference import Segmenter
from dashseg.inference.upsampling import label_at
from dashseg.input_size import working_size
from dashseg.labels import Image

ROUNDS = 12
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, required=True, help="up to 8 images are used")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    files = sorted(filter(is_image_file, arguments.frames.iterdir()))[:8]
    frames = [read_image(file) for file in files]
    models = {name: dashseg.load(name, device="cpu") for name in arguments.models}
    times: dict[str, Times] = {name: defaultdict(list) for name in models}
    for segment in models.values():
        measure(segment, frames[0], defaultdict(list), clock)  # the first call prepares
    for _ in range(arguments.rounds):  # in turn, so that all see the same machine
        for name, segment in models.items():
            for frame in frames:
                measure(segment, frame, times[name], clock)
    height, width = frames[0].shape[:2]
    print(f"{len(frames)} frames of {height}x{width}, {arguments.rounds} rounds; ms (10 %, 90 %)")
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
