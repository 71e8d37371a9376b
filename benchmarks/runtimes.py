"""One frame at a model's working size through every runtime, in turn, as ratios; and their mIoU.

python benchmarks/runtimes.py runs/demo SCENES [--frames 30] [--rounds 20]

Exports are written to a temporary folder. SCENES is labelled data: its training side calibrates
INT8, its validation side is scored.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.evaluation.comparison import Comparison, compare
from dashseg.images import resize_image
from dashseg.inference import Segmenter, load
from dashseg.inference.calibration import calibration_frames, spread
from dashseg.inference.export import ExportPlan, export_model
from dashseg.input_size import working_size

PLANS = [
    ExportPlan(format, precision)
    for format, precision in (
        ("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "fp16"),
        ("onnx", "int8"), ("openvino", "int8"),
    )
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("scenes")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calibration", type=int, default=100)
    options = parser.parse_args()
    trained = load(options.model, device="cpu")
    config = DataConfig(root=options.scenes)
    shown = spread(open_dataset(config, "val"), options.frames)
    frames = calibration_frames(config, trained.classes, options.calibration)
    segmenters: dict[str, Segmenter] = {"torch fp32": trained}
    compared: dict[str, Comparison] = {}
    with tempfile.TemporaryDirectory() as folder:
        for plan in PLANS:
            name = f"{plan.format} {plan.precision}"

            def accept(exported: Segmenter, name: str = name) -> dict[str, Any]:
                compared[name] = compare(trained, exported, shown)
                return compared[name].to_dict()

            out = Path(folder) / name.replace(" ", "-")
            export_model(trained, out, plan, accept, frames)
            segmenters[name] = load(out, device="cpu")
        report(segmenters, compared, shown[0].image, options.rounds)


def report(
    segmenters: dict[str, Segmenter],
    compared: dict[str, Comparison],
    frame: np.ndarray[Any, np.dtype[np.uint8]],
    rounds: int,
) -> None:
    size = working_size(frame.shape[:2], segmenters["torch fp32"].input)
    batch = resize_image(frame, size)[None]
    times: dict[str, list[float]] = {name: [] for name in segmenters}
    for turn in range(rounds + 3):  # the first three warm up; in turn, so that all see one machine
        for name, segmenter in segmenters.items():
            started = time.perf_counter()
            segmenter.runtime(batch)
            if turn >= 3:
                times[name].append(time.perf_counter() - started)
    base = times["torch fp32"]
    print(f"{size[0]}×{size[1]}, {torch.get_num_threads()} PyTorch threads, {rounds} rounds")
    for name, seconds in times.items():
        ratio = statistics.median(b / s for b, s in zip(base, seconds, strict=True))
        line = f"{name:14} median {1000 * statistics.median(seconds):6.1f} ms"
        line += f" ({1000 * min(seconds):.1f}-{1000 * max(seconds):.1f}), {ratio:4.2f}x torch"
        with contextlib.suppress(KeyError):
            c = compared[name]
            line += f", labels agree {c.label_agreement:.4%}, mIoU {c.miou_candidate:.4f}"
            line += f" of {c.miou_reference:.4f}"
        print(line)


if __name__ == "__main__":
    main()
