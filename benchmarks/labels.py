"""Labels at a frame's size from a network's logits: which pixels differ, time and memory.

    python benchmarks/labels.py [--model small] [--frames FOLDER ...] [--size HxW ...] [--smoke]

dashseg's way (one class at a time, resized by OpenCV) against all logits at full size and then
their argmax, in PyTorch. Without --frames the frames are drawn. Prints how many pixels differ, the
times of both ways, measured in turn, and the memory of each beyond the logits', in a process of its
own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from common import arguments
from numpy.typing import NDArray
from torch.nn import functional as F

import dashseg
from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.images import is_image_file, read_image
from dashseg.inference.upsampling import label_at
from dashseg.labels import Image, Label
from dashseg.peak_memory import peak_bytes

Logits = NDArray[np.float32]
Way = Callable[[tuple[int, int], Logits], Label]


def full(size: tuple[int, int], logits: Logits) -> Label:
    enlarged = F.interpolate(torch.from_numpy(logits)[None], size=size, mode="bilinear")[0]
    return enlarged.argmax(0).to(torch.uint8).numpy()


WAYS: dict[str, Way] = {"dashseg": label_at, "all logits": full}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument(
        "--frames", type=Path, nargs="*", help="folders; 12 images of each are used"
    )
    parser.add_argument("--size", nargs="*", default=["437x582", "874x1164", "1208x1928"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(memory_of(WAYS[options.memory_of]))
        return
    texts = options.size[:1] if options.smoke else options.size
    sizes = [tuple(map(int, text.split("x"))) for text in texts]
    segment = dashseg.load(options.model, device="cpu")
    for source, images in sources(options.frames, 1 if options.smoke else 12):
        logits = [np.asarray(segment(image).logits) for image in images]
        for size in sizes:
            compare(source, logits, size, 1 if options.smoke else options.rounds)
    for name in WAYS:
        command = [sys.executable, __file__, "--memory-of", name]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"{name:10} 5 classes 110x146 -> 874x1164: {float(run.stdout) / 1e6:.1f} MB")


def sources(folders: list[Path] | None, count: int) -> Iterator[tuple[str, list[Image]]]:
    """The name and some frames of each folder, or drawn ones."""
    if not folders:
        dataset = open_dataset(DataConfig(root=f"synthetic:{count}"))
        yield "drawn scenes", [dataset[index].image for index in range(len(dataset))]
        return
    for folder in folders:
        files = sorted(filter(is_image_file, folder.iterdir()))[:count]
        yield str(folder), [read_image(file) for file in files]


def compare(source: str, frames: list[Logits], size: tuple[int, ...], rounds: int) -> None:
    """Print the share of pixels that differ, and the times of both ways."""
    height, width = size
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    different = 0
    for logits in frames:
        best = dict.fromkeys(WAYS, float("inf"))
        labels = {}
        for _ in range(rounds):
            for name, way in WAYS.items():
                start = time.perf_counter()
                labels[name] = way((height, width), logits)
                best[name] = min(best[name], time.perf_counter() - start)
        different += int((labels["dashseg"] != labels["all logits"]).sum())
        for name, seconds in best.items():
            times[name].append(1e3 * seconds)
    own, other = times.values()
    ratio = statistics.median(slow / fast for fast, slow in zip(own, other, strict=True))
    print(
        f"{source}, {len(frames)} frames, {height}x{width}: {different} of"
        f" {len(frames) * height * width} pixels differ; dashseg {statistics.median(own):.1f} ms,"
        f" all logits {statistics.median(other):.1f} ms ({ratio:.1f} times)"
    )


def memory_of(way: Way) -> int:
    """Bytes that a way holds at most beyond the logits, which have regions some 64 pixels wide."""
    coarse = torch.randn(1, 5, 8, 10, generator=torch.Generator().manual_seed(0))
    logits = F.interpolate(4 * coarse, size=(110, 146), mode="bicubic")[0].numpy().copy()
    way((60, 80), logits[:, :40, :50].copy())
    before = peak_bytes()
    way((874, 1164), logits)
    return peak_bytes() - before


if __name__ == "__main__":
    main()
