"""Training in four ways on the same frames, same network, batch 4: what each gets out of a machine.

    python benchmarks/train_throughput.py [--frames 24] [--steps 6] [--sizes 256x256 437x582]
    python benchmarks/train_throughput.py --smoke

original  both PNGs decoded for each sample, by the training process; float32
loader    the same by PyTorch's DataLoader with one worker per core
files     dashseg, frames read from their files at every epoch (data.placement=files)
pack      dashseg, from a pack: on the GPU where it fits, else mapped into memory

Frames are drawn scenes of comma10k's size, 1164×874. The network is DeepLabV3 on ResNet-18 at
output stride 8. Each way runs in a process of its own, so that its peak memory is its own; the
first step, which warms up, is left out. Prints a table in Markdown for each size: images/s, the
share of time spent waiting for the next batch, peak memory, and FLOP/s: those of the network's
forward and backward pass, as a share of a large matrix product's in the same precision on the same
device.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from common import SMALL, TINY, arguments
from numpy.typing import NDArray
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.flop_counter import FlopCounterMode

from dashseg.cli.options import parse_size
from dashseg.config import DataConfig, Recipe, load_recipe
from dashseg.curate.pack import pack
from dashseg.data.sources import open_whole
from dashseg.labels import COMMA10K
from dashseg.models import build_model
from dashseg.peak_memory import peak_bytes
from dashseg.run_directory import RunDirectory
from dashseg.scenes import synthesise

WAYS = ("original", "loader", "files", "pack")
BATCH, WARM_UP = 4, 1
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Decoded(TorchDataset[tuple[torch.Tensor, torch.Tensor]]):
    """A sample as the original made it: two PNGs read, resized, and the mask's colours compared."""

    def __init__(self, root: Path, size: tuple[int, int]) -> None:
        self.images = sorted((root / "imgs").glob("*.png"))
        self.size = size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        path = self.images[index]
        image, mask = read_bgr(path), read_bgr(path.parent.parent / "masks" / path.name)
        image = cv2.resize(image, self.size[::-1])
        mask = cv2.resize(mask, self.size[::-1], interpolation=cv2.INTER_NEAREST)
        label = np.zeros(self.size, np.int64)
        for number, colour in enumerate(COMMA10K.colours):
            label[(mask == np.array(colour)[::-1]).all(-1)] = number
        return torch.from_numpy(image).permute(2, 0, 1).float() / 255, torch.from_numpy(label)


def read_bgr(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return pixels


@dataclass(frozen=True)
class Task:
    """What each way trains on.

    Args:
        size: H, W.
        smoke: a tiny network.
    """

    root: Path
    size: tuple[int, int]
    steps: int
    smoke: bool


def recipe(task: Task, placement: str) -> Recipe:
    return load_recipe(
        None,
        [*(TINY if task.smoke else ()), "model.input.resize=squash",
         f"model.input.size=[{task.size[0]}, {task.size[1]}]",
         f"data.root={task.root}", f"data.placement={placement}", "model.aspp.dropout=0",
         f"training.batch_size={BATCH}", "training.gradient_clip=1.0", "training.ema_decay=null",
         "training.checkpoint_minutes=null", "training.loggers=[]"],
    )  # fmt: skip


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def done() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def train_plainly(task: Task, workers: int) -> list[list[float]]:
    """Seconds waited and seconds in all of each step."""
    network = build_model(recipe(task, "files").model).to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loader = DataLoader(
        Decoded(task.root, task.size), BATCH, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=DEVICE.type == "cuda",
    )  # fmt: skip
    batches, times = endless(loader), []
    for _ in range(WARM_UP + task.steps):
        start = done()
        image, label = (tensor.to(DEVICE) for tensor in next(batches))
        waited = done() - start
        loss = F.cross_entropy(network(image), label)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        times.append([waited, done() - start])
    return times


def train_by_dashseg(task: Task, way: str) -> tuple[list[list[float]], str]:
    """Seconds waited and seconds in all of each step, and the precision."""
    # Here, because the other ways start in half the time without it.
    from timed_loop import TimedLoop

    from dashseg.training.plan import make_plan, new_network, open_frames
    from dashseg.training.processes import ALONE

    frames = open_frames(recipe(task, "auto" if way == "pack" else "files"))
    plan = make_plan(frames, new_network(frames.recipe), DEVICE, ALONE, lambda text: None)
    return TimedLoop(plan, RunDirectory(Path("unused"))).train(
        WARM_UP + task.steps, done
    ), plan.precision


def flops_per_image(task: Task) -> int:
    network = build_model(recipe(task, "files").model).to("meta")
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, *task.size, device="meta")).sum().backward()
    return counter.get_total_flops() // 2


def matrix_rate(precision: str, n: int) -> float:
    """FLOP/s of a product of two n×n matrices."""
    dtype = torch.float32
    if precision != "32-true":
        dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    a, b = (torch.randn(n, n, device=DEVICE).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        start = done()
        a @ b
        best = max(best, 2 * n**3 / (done() - start))
    return best


def measure(way: str, task: Task) -> dict[str, Any]:
    """One way, in this process."""
    plain = way in ("original", "loader")
    if plain:
        workers = 0 if way == "original" else os.cpu_count() or 1
        times, precision = train_plainly(task, workers), "32-true"
    else:
        times, precision = train_by_dashseg(task, way)
    times = times[WARM_UP:]
    steps_s = sorted(total for _, total in times)
    speed = BATCH * len(times) / sum(steps_s)
    large = 8192 if DEVICE.type == "cuda" else 2048  # a product that is at full speed
    rate = matrix_rate(precision, 64 if task.smoke else large)
    peak = torch.cuda.max_memory_allocated() if DEVICE.type == "cuda" else peak_bytes()
    return {
        "images_per_s": speed,
        "fastest": BATCH / steps_s[0],
        "slowest": BATCH / steps_s[-1],
        "median": BATCH / statistics.median(steps_s),
        "waiting": sum(waited for waited, _ in times) / sum(steps_s),
        "of_matrix": speed * flops_per_image(task) / rate,
        "peak_gb": peak / 1e9,
        "precision": precision,
    }


def in_a_process(way: str, task: Task) -> dict[str, Any]:
    options = ["--one", way, "--data", str(task.root), "--steps", str(task.steps)]
    options += ["--sizes", f"{task.size[0]}x{task.size[1]}", *["--smoke"] * task.smoke]
    command = [sys.executable, __file__, *options]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sizes", nargs="+", type=parse_size, default=[(256, 256), (437, 582)])
    parser.add_argument("--scenes", type=Path, help="drawn scenes to use; else new ones")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        task = Task(options.data, options.sizes[0], options.steps, options.smoke)
        print(json.dumps(measure(options.one, task)))
        return
    drawn, workers = (874, 1164), None
    ways: tuple[str, ...] = WAYS
    if options.smoke:
        drawn, workers, ways = SMALL, 1, ("original", "pack")
        options.frames, options.steps, options.sizes = 10, 2, [(64, 96)]
    with tempfile.TemporaryDirectory() as name:
        root = options.scenes or Path(name) / "scenes"
        if not root.is_dir():
            synthesise(root, options.frames, seed=0, workers=workers, size=drawn)
        whole, splits = open_whole(DataConfig(root=str(root)))
        for size in options.sizes:
            packed = Path(name) / f"pack-{size[0]}x{size[1]}"
            pack(whole, packed, splits, size=size, resize="squash", workers=workers)
            found = {
                way: in_a_process(
                    way,
                    Task(packed if way == "pack" else root, size, options.steps, options.smoke),
                )
                for way in ways
            }
            print_table(found, size, options.steps)


def print_table(found: dict[str, dict[str, Any]], size: tuple[int, int], steps: int) -> None:
    first = found["original"]["images_per_s"]
    print(f"{size[0]}×{size[1]}, {DEVICE}, {steps} steps of {BATCH}")
    print("| way | × original | images/s (slowest–fastest step) | waiting | of matrix | GB |")
    print("| --- |" + " --- |" * 5)
    for way, r in found.items():
        print(
            f"| {way}, {r['precision']} | {r['images_per_s'] / first:.2f}"
            f" | {r['images_per_s']:.2f} ({r['slowest']:.2f}–{r['fastest']:.2f})"
            f" | {100 * r['waiting']:.1f} % | {100 * r['of_matrix']:.0f} %"
            f" | {r['peak_gb']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
