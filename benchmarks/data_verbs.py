"""`data check`, `data stats` and `data pack` against a loop that only decodes the same files.

python benchmarks/data_verbs.py [--data DIR] [--workers N] [--rounds N] [--frames N]

The loop decodes every image and mask with OpenCV in the same worker processes; each way includes
starting them. Frames are drawn scenes unless --data names a folder. --frames N: also the peak
memory of the process and its workers over 100 and over N frames (links to the scenes); --rounds 0:
that alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from dashseg.config import DataConfig
from dashseg.data import FileDataset
from dashseg.data.audit import check
from dashseg.data.dataset import Frame
from dashseg.data.pack import pack
from dashseg.data.sources import open_whole
from dashseg.data.statistics import collect
from dashseg.data.synthetic import synthesise
from dashseg.parallel import in_processes

GOAL = 1.25


def decode(frame: Frame) -> int:
    total = 0
    for path in (frame.image, frame.mask):
        total += cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED).size
    return total


def seconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def compare(root: Path, workers: int, rounds: int, scratch: Path) -> None:
    frames, splits = open_whole(DataConfig(root=str(root)))
    assert isinstance(frames, FileDataset)
    number = iter(range(1000))
    ways: dict[str, Callable[[], object]] = {
        "decoding alone": lambda: list(in_processes(decode, frames.frames, workers)),
        "check": lambda: check(str(root), workers=workers),
        "stats": lambda: collect(frames, workers, use_cache=False),
        "pack": lambda: pack(frames, scratch / f"{next(number)}", splits, workers=workers),
        "pack at 437×582": lambda: pack(
            frames, scratch / f"{next(number)}", splits, size=(437, 582), workers=workers
        ),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):  # in turn, so that all see the same machine
        for way, run in ways.items():
            times[way].append(seconds(run))
    print(f"{len(frames)} frames, {workers} workers, {rounds} rounds; goal {GOAL} or less")
    for way in list(ways)[1:]:
        alone = times["decoding alone"]
        ratios = [mine / bare for mine, bare in zip(times[way], alone, strict=True)]
        print(
            f"{way} / decoding alone: median {statistics.median(ratios):.2f}"
            f" (min {min(ratios):.2f}, max {max(ratios):.2f})"
        )
    for way, values in times.items():
        print(f"{way}: median {1000 * statistics.median(values) / len(frames):.1f} ms a frame")


def peak_mb(verb: list[str], workers: int) -> float:
    """Largest sum of resident memory of a command and its workers, looked at every 50 ms."""
    command = [sys.executable, "-m", "dashseg", "data", *verb, "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident, [process.pid, *children(process.pid)])))
        time.sleep(0.05)
    return peak / 1e6


def children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def resident(pid: int) -> int:
    """Private memory: what is mapped from files, such as a pack's arrays, is the page cache's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    except (OSError, StopIteration):
        return 0


def memory(root: Path, counts: tuple[int, int], workers: int, scratch: Path) -> None:
    images = sorted((root / "imgs").iterdir())
    for count in counts:
        many = scratch / f"many-{count}"
        for folder in ("imgs", "masks"):
            (many / folder).mkdir(parents=True)
            for index in range(count):
                source = root / folder / images[index % len(images)].name
                name = f"{index:05}_{index:016x}_2018-05-05--05-05-05_5_5.png"
                os.link(source, many / folder / name)
        for verb in (["check", str(many)], ["stats", str(many), "--no-cache"],
                     ["pack", str(many), str(many) + "-pack", "--size", "109x145"]):  # fmt: skip
            print(f"{verb[0]}, {count} frames: {peak_mb(verb, workers):.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        root = options.data or scratch / "scenes"
        if options.data is None:
            synthesise(root, 60, seed=0)
        if options.rounds:
            compare(root, options.workers, options.rounds, scratch)
        if options.frames:
            memory(root, (100, options.frames), options.workers, scratch)


if __name__ == "__main__":
    main()
