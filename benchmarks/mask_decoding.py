"""Decoding a mask of 1164×874: the look-up in a table against a loop over the colours.

    python benchmarks/mask_decoding.py [--smoke]

Prints the ratio of their times, measured in turn, and the milliseconds of each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from common import SMALL, arguments, seconds, spread

from dashseg.labels import COMMA10K, IGNORE, Image, Label, decode_mask, encode_label
from dashseg.scenes import render_scene


def loop_over_colours(pixels: Image) -> Label:
    label = np.full(pixels.shape[:2], IGNORE, np.uint8)
    for class_id, colour in enumerate(COMMA10K.colours):
        label[(pixels == np.array(colour, np.uint8)).all(-1)] = class_id
    return label


WAYS: dict[str, Callable[[Image], Label]] = {
    "table": lambda mask: decode_mask(mask, COMMA10K),
    "loop": loop_over_colours,
}


def main() -> None:
    smoke = arguments(__doc__).parse_args().smoke
    size, rounds = (SMALL, 2) if smoke else ((874, 1164), 20)
    pixels = encode_label(render_scene(0, 0, size).label, COMMA10K)
    assert np.array_equal(WAYS["table"](pixels), WAYS["loop"](pixels))
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):  # in turn, so that both see the same machine
        for name, decode in WAYS.items():
            times[name].append(1000 * seconds(partial(decode, pixels)))
    ratios = [loop / table for loop, table in zip(times["loop"], times["table"], strict=True)]
    print(f"loop / table: {spread(ratios)} over {rounds} rounds")
    for name, values in times.items():
        print(f"{name}: {spread(values)} ms a mask")


if __name__ == "__main__":
    main()
