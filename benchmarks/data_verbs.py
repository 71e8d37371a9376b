"""`data check`, `data stats` and `data pack` against a loop that only decodes the same files.

    python benchmarks/data_verbs.py [--data DIR] [--workers N] [--rounds 5] [--frames N] [--smoke]

The loop decodes every image and mask with OpenCV in the same worker processes; each way includes
starting them (--workers 1 starts none), which is why there are many frames: 480 copies of drawn
scenes, a pixel of each changed, unless --data names a folder. Prints the ratio of each verb's time
to the loop's, on the clock and of the processors. --frames N also prints the peak memory of the
process and its workers over 100 and over N such copies of smaller scenes; --rounds 0 only that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from common import SMALL, arguments

from dashseg.config import DataConfig
from dashseg.curate.check import check
from dashseg.curate.pack import pack
from dashseg.curate.stats import collect
from dashseg.data import FileDataset
from dashseg.data.dataset import Frame
from dashseg.data.sources import open_whole
from dashseg.parallel import in_processes
from dashseg.scenes import synthesise


def decode(frame: Frame) -> int:
    total = 0
    for path in (frame.image, frame.mask):
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        total += pixels.size
    return total


def seconds(way: Callable[[], object]) -> tuple[float, float]:
    """On the clock, and of the processors, those of worker processes included."""
    start, used = time.perf_counter(), sum(os.times()[:4])
    way()
    return time.perf_counter() - start, sum(os.times()[:4]) - used


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
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):  # in turn, so that all see the same machine
        for way, run in ways.items():
            times[way].append(seconds(run))
    print(f"{len(frames)} frames, {workers} workers, {rounds} rounds")
    alone = np.maximum(times["decoding alone"], 1e-6)  # few frames take no measurable time
    for way in list(ways)[1:]:
        for clock, ratios in zip(
            ("time", "processor time"), (np.array(times[way]) / alone).T, strict=True
        ):
            print(
                f"{way} / decoding alone, {clock}: median {np.median(ratios):.2f}"
                f" (min {ratios.min():.2f}, max {ratios.max():.2f})"
            )
    for way, values in times.items():
        wall, used = 1000 * np.median(values, axis=0) / len(frames)
        print(f"{way}: median {wall:.1f} ms a frame, {used:.1f} ms of the processors")


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


def multiply(scenes: Path, out: Path, count: int) -> None:
    """Write `count` frames that differ from the scenes, and from each other, in single pixels."""
    for folder in ("imgs", "masks"):
        (out / folder).mkdir(parents=True)
        files = sorted((scenes / folder).iterdir())
        pictures = [cv2.imread(str(path)) for path in files]
        for index in range(count):
            copy, picture = divmod(index, len(files))
            pixels = pictures[picture].copy()
            if copy:
                place = divmod(copy, pixels.shape[1])
                pixels[place] = pixels[-1, -1] if folder == "masks" else pixels[place] ^ 1
            name = f"{index:05}_{index:016x}_2018-05-05--05-05-05_5_5.png"
            # The compression that scenes are written with, so that decoding takes as long.
            cv2.imwrite(str(out / folder / name), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def memory(counts: tuple[int, ...], workers: int, scratch: Path) -> None:
    synthesise(scratch / "small", 20, seed=1, workers=workers, size=(218, 291))
    for count in counts:
        many = scratch / f"many-{count}"
        multiply(scratch / "small", many, count)
        for verb in (["check", str(many)], ["stats", str(many), "--no-cache"],
                     ["pack", str(many), str(many) + "-pack", "--size", "109x145"]):  # fmt: skip
            print(f"{verb[0]}, {count} frames: {peak_mb(verb, workers):.0f} MB", flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int)
    options = parser.parse_args()
    scenes, size, copies, rounds = 60, (874, 1164), 480, options.rounds
    workers = options.workers
    counts: tuple[int, ...] = (100, options.frames) if options.frames else ()
    if options.smoke:
        scenes, size, copies, rounds, workers, counts = 2, SMALL, 8, 1, 1, (4,)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        root = options.data or scratch / "many"
        if options.data is None and rounds:
            synthesise(scratch / "scenes", scenes, seed=0, workers=workers, size=size)
            multiply(scratch / "scenes", root, copies)
        if rounds:
            compare(root, workers, rounds, scratch)
        memory(counts, workers, scratch)


if __name__ == "__main__":
    main()
