"""Reading frames in random order: from a pack against decoding their files.

    python benchmarks/packs.py [DATA] [--smoke]

DATA as for --data; 24 drawn scenes unless given. One thread; files and packs are in the page cache.
Prints how many times faster a pack is, at the frames' own size and at 437×582, and the
milliseconds that a frame and its label take.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from common import SMALL, arguments, seconds, spread

from dashseg.config import DataConfig
from dashseg.curate.pack import pack
from dashseg.data import Dataset, open_dataset
from dashseg.data.sources import open_whole
from dashseg.scenes import synthesise


def read(frames: Dataset, order: list[int]) -> None:
    for index in order:
        frames[index]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("data", nargs="?")
    options = parser.parse_args()
    smoke = options.smoke
    scenes, native, half = (4, SMALL, (54, 72)) if smoke else (24, (874, 1164), (437, 582))
    rounds, reads = (1, 4) if smoke else (7, 48)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = options.data or str(folder / "scenes")
        if not options.data:
            synthesise(folder / "scenes", scenes, seed=0, size=native)
        of_files, splits = open_whole(DataConfig(root=root))
        pack(of_files, folder / "native", splits)
        pack(of_files, folder / "half", splits, size=half)
        ways: dict[str, Dataset] = {
            "files": of_files,
            "native": open_dataset(DataConfig(root=str(folder / "native"))),
            f"{half[0]}×{half[1]}": open_dataset(DataConfig(root=str(folder / "half"))),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        rng = np.random.default_rng(0)
        for _ in range(1 + rounds):  # in turn, so that all see the same machine; the first warms up
            order = rng.integers(0, len(of_files), reads).tolist()
            for way, frames in ways.items():
                times[way].append(1000 * seconds(partial(read, frames, order)) / reads)
    files = times["files"][1:]
    for way in list(ways)[1:]:
        ratios = [file / packed for file, packed in zip(files, times[way][1:], strict=True)]
        print(
            f"decoding / pack at {way}: {spread(ratios, 0)} over {rounds} rounds of {reads} reads"
        )
    for way, values in times.items():
        print(f"{way}: {spread(values[1:], 2)} ms a frame and its label")


if __name__ == "__main__":
    main()
