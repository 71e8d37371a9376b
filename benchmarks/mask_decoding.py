"""Decoding a 1164×874 mask: the table look-up against a loop over the colours, as a ratio.

python benchmarks/mask_decoding.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from dashseg.labels import COMMA10K, Image, Label, decode_mask, encode_label
from dashseg.scenes import render_scene

ROUNDS = 20


def loop_over_colours(pixels: Image) -> Label:
    label = np.full(pixels.shape[:2], 255, np.uint8)
    for class_id, colour in enumerate(COMMA10K.colours):
        label[(pixels == np.array(colour, np.uint8)).all(-1)] = class_id
    return label


def seconds(decode: Callable[[Image], Label], pixels: Image) -> float:
    start = time.perf_counter()
    decode(pixels)
    return time.perf_counter() - start


def main() -> None:
    pixels = encode_label(render_scene(0, 0).label, COMMA10K)
    ways: dict[str, Callable[[Image], Label]] = {
        "table": lambda mask: decode_mask(mask, COMMA10K),
        "loop": loop_over_colours,
    }
    assert np.array_equal(ways["table"](pixels), ways["loop"](pixels))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):  # in turn, so that both see the same machine
        for name, decode in ways.items():
            times[name].append(seconds(decode, pixels))
    ratios = [loop / table for loop, table in zip(times["loop"], times["table"], strict=True)]
    print(
        f"loop / table: median {statistics.median(ratios):.1f}"
        f" (min {min(ratios):.1f}, max {max(ratios):.1f}) over {ROUNDS} rounds"
    )
    for name, values in times.items():
        print(f"{name}: median {1000 * statistics.median(values):.1f} ms a mask")


if __name__ == "__main__":
    main()
