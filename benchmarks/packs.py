"""Reading a frame at random: from a pack against decoding its files, as a ratio.

python benchmarks/packs.py [DATA]

DATA as for --data; 24 drawn scenes unless given. One thread; files and pack are in the page cache.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from dashseg.config import DataConfig
from dashseg.curate.pack import pack
from dashseg.data import Dataset, open_dataset
from dashseg.data.sources import open_whole
from dashseg.scenes import synthesise

ROUNDS = 7
READS = 48  # a round


def seconds(frames: Dataset, order: list[int]) -> float:
    start = time.perf_counter()
    for index in order:
        frames[index]
    return (time.perf_counter() - start) / len(order)


def main() -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = sys.argv[1] if len(sys.argv) > 1 else str(folder / "scenes")
        if len(sys.argv) == 1:
            synthesise(folder / "scenes", 24, seed=0)
        of_files, splits = open_whole(DataConfig(root=root))
        pack(of_files, folder / "native", splits)
        pack(of_files, folder / "half", splits, size=(437, 582))
        ways = {
            "files": of_files,
            "native": open_dataset(DataConfig(root=str(folder / "native"))),
            "437×582": open_dataset(DataConfig(root=str(folder / "half"))),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        rng = np.random.default_rng(0)
        for _ in range(1 + ROUNDS):  # in turn, so that all see the same machine; the first warms up
            order = rng.integers(0, len(of_files), READS).tolist()
            for way, frames in ways.items():
                times[way].append(seconds(frames, order))
    files = times["files"][1:]
    for way in ("native", "437×582"):
        ratios = [file / packed for file, packed in zip(files, times[way][1:], strict=True)]
        print(
            f"decoding / pack at {way}: median {statistics.median(ratios):.0f}"
            f" (min {min(ratios):.0f}, max {max(ratios):.0f}) over {ROUNDS} rounds of {READS} reads"
        )
    for way, values in times.items():
        print(f"{way}: median {1000 * statistics.median(values[1:]):.2f} ms a frame and its label")


if __name__ == "__main__":
    main()
