"""Training in four ways on the same frames, same network, batch 4: what each gets out of a machine.

python benchmarks/train_throughput.py [--frames N] [--steps N] [--sizes 256x256 437x582]

original  both PNGs decoded for each sample, by the training process; float32
loader    the same by PyTorch's DataLoader with one worker per core
files     dashseg, frames read from their files at every epoch (data.placement=files)
pack      dashseg, from a pack: on the GPU where it fits, else mapped into memory

Frames are drawn scenes of comma10k's size, 1164×874. The network is DeepLabV3 on ResNet-18 at
output stride 8. Each way runs in a process of its own, so that its peak memory is its own; the
first steps, which warm up, are left out. FLOP/s are those of the network's forward and backward
pass, as a share of a large matrix product's in the same precision on the same device.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from dashseg.training.module import SegmentationModule
from lightning.pytorch.callbacks import Callback
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.flop_counter import FlopCounterMode

from dashseg.config import DataConfig, Recipe, load_recipe
from dashseg.curate.pack import pack
from dashseg.data import open_dataset
from dashseg.data.sources import open_whole
from dashseg.labels import COMMA10K
from dashseg.models import build_model
from dashseg.scenes import synthesise
from dashseg.training.batches import ShuffledBatches
from dashseg.training.frames import WorkingFrames
from dashseg.training.placement import place
from dashseg.training.run import _precision, _quieten

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
        image = cv2.resize(cv2.imread(str(path)), self.size[::-1])
        mask = cv2.imread(str(path.parent.parent / "masks" / path.name))
        mask = cv2.resize(mask, self.size[::-1], interpolation=cv2.INTER_NEAREST)
        label = np.zeros(self.size, np.int64)
        for number, colour in enumerate(COMMA10K.colours):
            label[(mask == np.array(colour)[::-1]).all(-1)] = number
        return torch.from_numpy(image).permute(2, 0, 1).float() / 255, torch.from_numpy(label)


def recipe(root: Path, size: tuple[int, int], placement: str) -> Recipe:
    return load_recipe(
        None,
        [f"model.input.size=[{size[0]}, {size[1]}]", "model.input.resize=squash",
         f"data.root={root}", f"data.placement={placement}", "model.aspp.dropout=0",
         f"training.batch_size={BATCH}"],
    )  # fmt: skip


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def done() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def train_plainly(root: Path, size: tuple[int, int], steps: int, workers: int) -> list[list[float]]:
    """Seconds waited and seconds in all of each step."""
    network = build_model(recipe(root, size, "files").model).to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loader = DataLoader(
        Decoded(root, size), BATCH, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=DEVICE.type == "cuda",
    )  # fmt: skip
    batches, times = endless(loader), []
    for _ in range(WARM_UP + steps):
        start = done()
        image, label = (tensor.to(DEVICE) for tensor in next(batches))
        waited = done() - start
        loss = F.cross_entropy(network(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append([waited, done() - start])
    return times


class Clock(Callback):
    """Seconds waited for the batch and seconds in all of each step."""

    def __init__(self) -> None:
        self.times: list[list[float]] = []
        self.start = self.ready = 0.0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.start = done()

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.ready = done()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        end = done()
        self.times.append([self.ready - self.start, end - self.start])
        self.start = end


def train_by_dashseg(root: Path, size: tuple[int, int], steps: int, way: str) -> list[list[float]]:
    _quieten()
    chosen = recipe(root, size, "auto" if way == "pack" else "files")
    frames = WorkingFrames(open_dataset(chosen.data, "all"), chosen.model.input)
    placed = place(frames, "training", chosen.data.placement, DEVICE, lambda text: None)
    batches = placed.batches(ShuffledBatches(len(frames), BATCH, seed=0))
    clock = Clock()
    trainer = L.Trainer(
        accelerator=DEVICE.type, devices=1, max_steps=WARM_UP + steps, max_epochs=10**6,
        precision=_precision("auto"), gradient_clip_val=1.0, callbacks=[clock], logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
    )  # fmt: skip
    module = SegmentationModule(chosen, build_model(chosen.model), COMMA10K, None)
    trainer.fit(module, batches)
    return clock.times


def flops_per_image(size: tuple[int, int]) -> int:
    network = build_model(recipe(Path(), size, "files").model).to("meta")
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, *size, device="meta")).sum().backward()
    return counter.get_total_flops() // 2


def matrix_rate(precision: str) -> float:
    """FLOP/s of a matrix product that is large enough to be at full speed."""
    n, dtype = (8192, 2048)[DEVICE.type == "cpu"], torch.float32
    if precision != "32-true":
        dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    a, b = (torch.randn(n, n, device=DEVICE).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        start = done()
        a @ b
        best = max(best, 2 * n**3 / (done() - start))
    return best


def measure(way: str, root: Path, size: tuple[int, int], steps: int) -> dict[str, Any]:
    """One way, in this process."""
    plain = way in ("original", "loader")
    if plain:
        workers = 0 if way == "original" else os.cpu_count() or 1
        times = train_plainly(root, size, steps, workers)[WARM_UP:]
    else:
        times = train_by_dashseg(root, size, steps, way)[WARM_UP:]
    precision = "32-true" if plain else _precision("auto")
    steps_s = sorted(total for _, total in times)
    speed = BATCH * len(times) / sum(steps_s)
    peak = (
        torch.cuda.max_memory_allocated()
        if DEVICE.type == "cuda"
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    return {
        "images_per_s": speed,
        "fastest": BATCH / steps_s[0],
        "slowest": BATCH / steps_s[-1],
        "median": BATCH / statistics.median(steps_s),
        "waiting": sum(waited for waited, _ in times) / sum(steps_s),
        "of_matrix": speed * flops_per_image(size) / matrix_rate(precision),
        "peak_gb": peak / 1e9,
        "precision": precision,
    }


def in_a_process(way: str, root: Path, size: tuple[int, int], steps: int) -> dict[str, Any]:
    arguments = ["--one", way, "--data", str(root), "--steps", str(steps)]
    command = [sys.executable, __file__, *arguments, "--sizes", f"{size[0]}x{size[1]}"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "437x582"])
    parser.add_argument("--scenes", type=Path, help="drawn scenes to use; else new ones")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in options.sizes]
    if options.one:
        print(json.dumps(measure(options.one, options.data, sizes[0], options.steps)))
        return
    with tempfile.TemporaryDirectory() as name:
        root = options.scenes or Path(name) / "scenes"
        if not root.is_dir():
            synthesise(root, options.frames, seed=0)
        whole, splits = open_whole(DataConfig(root=str(root)))
        for size in sizes:
            packed = Path(name) / f"pack-{size[0]}x{size[1]}"
            pack(whole, packed, splits, size=size, resize="squash")
            found = {
                way: in_a_process(way, packed if way == "pack" else root, size, options.steps)
                for way in WAYS
            }
            first = found["original"]["images_per_s"]
            print(f"{size[0]}×{size[1]}, {DEVICE}, {options.steps} steps of {BATCH}")
            print(
                "| way | × original | images/s (slowest–fastest step) | waiting | of matrix | GB |"
            )
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
