"""The machine's own rates, and frames/s of the network, of predict and of evaluate."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from train_throughput import matrix_rate

import dashseg
from dashseg import open_dataset
from dashseg.evaluation import evaluate as measure
from dashseg.inference import load, predict_files
from dashseg.inference.pipeline import Pace
from dashseg.inference.torch_runtime import TorchRuntime
from dashseg.models import build_model
from dashseg.peak_memory import peak_bytes
from gpu_parts.bench import COMMA10K, Bench

MODELS = ("real-time", "small", "comma10k-half")
HALVES: dict[str, torch.dtype | None] = {
    "float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16,
}  # fmt: skip


def machine(bench: Bench) -> None:
    """What it is, and what a large matrix product and a large copy reach."""
    bench.figure("versions", {
        "dashseg": dashseg.__version__, "torch": torch.__version__, "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "python": platform.python_version(),
    })  # fmt: skip
    bench.figure("cores", os.cpu_count())
    if bench.on_gpu:
        gpu = torch.cuda.get_device_properties(0)
        bench.figure("gpus", torch.cuda.device_count())
        bench.figure("gpu", {"name": gpu.name, "memory_gb": gpu.total_memory / 1e9,
                             "multiprocessors": gpu.multi_processor_count,
                             "capability": f"{gpu.major}.{gpu.minor}"})  # fmt: skip
    large = 64 if bench.smoke else 8192 if bench.on_gpu else 2048
    names = {"float32": "32-true", "bfloat16": "bf16-mixed"}
    if bench.on_gpu:
        names["float16"] = "16-mixed"
    for name, precision in names.items():
        with bench.attempt(f"matrix product, {name}"):
            bench.figure(f"matrix product, {name}, TFLOP/s", matrix_rate(precision, large) / 1e12)
    if bench.on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = True
        bench.figure("matrix product, TF32, TFLOP/s", matrix_rate("32-true", large) / 1e12)
    count = 10**5 if bench.smoke else 2 * 10**9
    block = torch.empty(count, dtype=torch.uint8, device=bench.device).random_(0, 255)
    other = torch.empty_like(block)
    seconds = bench.seconds_of(lambda: other.copy_(block))
    bench.figure("copy within memory, GB/s read and written", 2 * count / seconds / 1e9)
    host = torch.empty(count // 4, dtype=torch.uint8, pin_memory=bench.on_gpu)
    place = block[: count // 4]
    seconds = bench.seconds_of(lambda: place.copy_(host, non_blocking=True))
    bench.figure("copy to the device, GB/s", host.numel() / seconds / 1e9)
    bench.check("machine", bool(torch.equal(block, block.clone())), bench.device.type)


def runtime_of(bench: Bench, name: str) -> tuple[TorchRuntime, tuple[int, int]]:
    """A recipe's network with random weights; `small` as it comes."""
    if name == "small":
        segmenter = load(name, device=bench.device.type)
        network, config = segmenter.network, segmenter.config
    else:
        config = bench.recipe(name).model
        network = build_model(config).eval()
    assert config.input.size is not None
    size = (64, 96) if bench.smoke else config.input.size
    return TorchRuntime(network, config, bench.device.type), size


def network(bench: Bench) -> None:
    """Frames/s by batch size: of the network alone, and with the copy to the device."""
    batches = (1, 2) if bench.smoke else (1, 4, 8, 16, 32, 64)
    halves = dict([*HALVES.items()][:: 1 if bench.on_gpu else 2])  # float16 is slow on CPUs
    for name in MODELS:
        rates: dict[str, dict[str, float]] = {}
        with bench.attempt(name):
            runtime, size = runtime_of(bench, name)
            bench.figure(f"{name}, input", size)
            for precision, half in halves.items():
                for count in batches:
                    if bench.left() < 5:
                        bench.note(f"no time for {name} in {precision}, batch {count} and more")
                        break
                    with bench.attempt(f"{name}, {precision}, batch {count}"):
                        rates |= by_batch(bench, runtime, size, precision, half, count, rates)
            bench.figure(f"{name}, frames/s", rates)
            bench.check(name, bool(rates), "measured")


def by_batch(
    bench: Bench, runtime: TorchRuntime, size: tuple[int, int], precision: str,
    half: torch.dtype | None, count: int, rates: dict[str, dict[str, float]],
) -> dict[str, dict[str, float]]:  # fmt: skip
    runtime.half = half
    frames = np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)
    image = torch.randn(count, 3, *size, device=bench.device)
    image = image.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def alone() -> None:
        with torch.autocast(bench.device.type, half, enabled=half is not None):
            runtime.network.coarse_logits(image)

    least = 0.0 if bench.smoke else 0.4
    for what, call in (("alone", alone), ("with its copy", lambda: runtime(frames))):
        rates.setdefault(f"{precision}, {what}", {})[str(count)] = count / bench.seconds_of(
            call, least
        )
    return rates


def predict(bench: Bench) -> None:
    """Frames/s of predict from PNG files to masks and overlays, and what bounds it."""
    source = bench.scenes() / "imgs"
    many = bench.work / "many"
    copies = 1 if bench.smoke else 8
    if not many.is_dir():
        many.mkdir()
        for path in sorted(source.iterdir()):
            for copy in range(copies):
                os.link(path, many / f"{copy}_{path.name}")
    count = len(list(many.iterdir()))
    for half in (True, False) if bench.on_gpu else (False,):
        segmenter = load("small", device=bench.device.type, many=True, half=half)
        for batch in (None,) if bench.smoke else (None, 32):
            name = f"{'float16 if labels agree' if half else 'float32'}, batch {batch or 'auto'}"
            with bench.attempt(name):
                out = bench.work / f"predicted-{half}-{batch}"

                def run(segmenter: Any = segmenter, out: Any = out, batch: Any = batch) -> None:
                    predict_files(segmenter, [str(many)], out, pace=Pace(batch))

                bench.figure(name, timed(bench, run, count))
                masks = len(list((out / "masks").iterdir()))
                bench.check(name, masks == count, f"{masks} masks of {count} frames")


def evaluate(bench: Bench) -> None:
    """Frames/s of evaluate, and the same scores as on the CPU."""
    dataset = open_dataset(str(bench.scenes()), split="all")
    segmenter = load("small", device=bench.device.type, many=True)
    measure(segmenter, dataset, bootstrap=0)  # the first batch sets up much
    found: list[Any] = []
    with bench.attempt("frames/s"):
        figures = timed(bench, lambda: found.append(measure(segmenter, dataset)), len(dataset))
        figures["network's frames/s"] = found[0].throughput["model_images_per_s"]
        bench.figure("evaluate", figures)
        bench.check("evaluate", found[0].miou is not None, f"mIoU {found[0].miou}")
    few = open_dataset(f"synthetic:{4 if bench.smoke else 12}:3", split="all")
    with bench.attempt("as on the CPU"):
        ours = measure(segmenter, few, bootstrap=0)
        theirs = measure(load("small", device="cpu", many=True), few, bootstrap=0)
        assert ours.miou is not None and theirs.miou is not None
        error = abs(ours.miou - theirs.miou)
        bench.check("as on the CPU, mIoU", error <= 1e-3, f"{error:.1e} apart, at most 1e-03")
        one, other = (float(found.ce["native"] or 0) for found in (ours, theirs))
        error = abs(one - other) / other
        bench.check("as on the CPU, CE", error <= 1e-2, f"{error:.1e}, at most 1e-02")


def timed(bench: Bench, work: Callable[[], object], count: int) -> dict[str, float | None]:
    """What a verb takes for `count` frames."""
    if bench.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start, spent = bench.clock(), time.process_time()
    work()
    taken, spent = bench.clock() - start, time.process_time() - spent
    return {
        "frames": count,
        "frames_per_s": count / taken,
        "cores_busy": spent / taken,
        "ms_of_a_core_per_frame": 1e3 * spent / count,
        "pixels_per_frame": float(np.prod(bench.size(COMMA10K))),
        "gpu_peak_gb": torch.cuda.max_memory_allocated() / 1e9 if bench.on_gpu else None,
        "rss_peak_gb": peak_bytes() / 1e9,
    }
