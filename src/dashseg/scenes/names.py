"""A seed and an index in, a file name of comma10k's shape out."""

import numpy as np

MARK = "scenes.json"  # in a folder of drawn scenes
PER_DEVICE = 10  # scenes in a row that one device filmed; the last of them is for validation


def scene_name(seed: int, index: int) -> str:
    """`{index}_{device}_{date}--{time}_{segment}_{frame}.png`.

    comma10k validates on the frames whose name ends in 9: every tenth of these does, no other.
    """
    device = np.random.default_rng([seed, index // PER_DEVICE, 2])
    own = np.random.default_rng([seed, index, 2])
    serial = "".join(f"{b:02x}" for b in device.integers(0, 256, 8))
    month, day = int(device.integers(5, 10)), int(device.integers(1, 29))
    hour, minute, second = (int(device.integers(0, n)) for n in (24, 60, 60))
    last = 9 if index % PER_DEVICE == PER_DEVICE - 1 else int(own.integers(0, 9))
    segment, frame = int(own.integers(0, 90)), int(own.integers(0, 120)) * 10 + last
    route = f"2018-{month:02d}-{day:02d}--{hour:02d}-{minute:02d}-{second:02d}"
    return f"{index:04d}_{serial}_{route}_{segment}_{frame}.png"
