"""Where an exported OpenVINO model spends its time, by layer; and dilated convolutions two ways.

    python benchmarks/layers.py MODEL.xml [--runs 20]
    python benchmarks/layers.py --smoke

Prints the 15 layers that take longest. The second part runs ASPP's dilated 3×3 convolution
(512 -> 256 channels, 56×72, rates 12, 24, 36) as it is, and by moving space to batch, an undilated
convolution and back, in turn; it prints their times and how much the results differ. --smoke
exports the model that comes with dashseg.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from common import arguments
from openvino import opset13 as ops

from dashseg.inference import load
from dashseg.inference.export import ExportPlan, export_model
from dashseg.inference.openvino_runtime import openvino_core


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    if options.model:
        profile(options.model, options.runs)
    elif options.smoke:
        with tempfile.TemporaryDirectory() as name:
            plan = ExportPlan("openvino", size=(64, 96))
            export_model(load("small", device="cpu"), Path(name) / "small", plan)
            profile(str(Path(name) / "small/model.xml"), runs=1)
    else:
        parser.error("name a model, or use --smoke")
    for precision in ("bf16", "int8"):
        for rate in (12,) if options.smoke else (12, 24, 36):
            dilated(rate, precision, rounds=1 if options.smoke else 7)


def profile(path: str, runs: int) -> None:
    compiled = openvino_core().compile_model(
        path, "CPU", {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True}
    )
    request = compiled.create_infer_request()
    shape = [1 if side.is_dynamic else side.get_length() for side in compiled.input().partial_shape]
    frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for turn in range(3 + runs):
        request.infer([frame])
        if turn >= 3:
            for layer in request.profiling_info:
                if layer.real_time.total_seconds():
                    key = (layer.node_name, layer.node_type, layer.exec_type)
                    times[key].append(1e3 * layer.real_time.total_seconds())
    medians = {key: statistics.median(values) for key, values in times.items()}
    total = sum(medians.values())
    print(f"{total:.1f} ms in layers")
    for (name, kind, how), ms in sorted(medians.items(), key=lambda item: -item[1])[:15]:
        print(f"{ms:7.2f} ms {ms / total:4.0%} {kind:16} {how:24} {name}")


def dilated(rate: int, precision: str, rounds: int) -> None:
    ways = {"dilated": request(rate, precision, False), "moved": request(rate, precision, True)}
    frame = np.random.default_rng(0).random((1, 512, 56, 72), np.float32)
    results = {name: way.infer([frame])[0].copy() for name, way in ways.items()}
    scale = np.abs(results["dilated"]).max()
    difference = np.abs(results["dilated"] - results["moved"]).max() / scale
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(2 + rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way.infer([frame], share_inputs=True)
            times[name].append(1e3 * (time.perf_counter() - start))
    medians = {name: statistics.median(values[2:]) for name, values in times.items()}
    print(
        f"{precision} rate {rate}: dilated {medians['dilated']:.2f} ms, moved"
        f" {medians['moved']:.2f} ms, largest difference {difference:.1e} of the largest value"
    )


def request(rate: int, precision: str, moved: bool) -> Any:
    int8 = precision == "int8"

    def in_eight_bits(values: Any, low: float, high: float, levels: int) -> Any:
        bounds = [np.float32(bound) for bound in (low, high, low, high)]
        return ops.fake_quantize(values, *bounds, levels) if int8 else values

    draw = np.random.default_rng(1).normal(size=(256, 512, 3, 3)).astype(np.float32)
    weights = in_eight_bits(ops.constant(draw), -4, 4, 255)
    given = ops.parameter([1, 512, 56, 72], np.float32)
    values = in_eight_bits(ops.relu(given), 0, 1, 256)
    if moved:
        # By reshaping: OpenVINO makes SpaceToBatch, convolution, BatchToSpace one dilated
        # convolution again.
        tall, wide = -(-56 // rate), -(-72 // rate)
        ends = [0, 0, tall * rate - 56, wide * rate - 72]
        values = ops.pad(values, [0, 0, 0, 0], ends, "constant", np.float32(0))
        values = ops.reshape(values, [512, tall, rate, wide, rate], False)
        values = ops.transpose(values, [2, 4, 0, 1, 3])  # (rate, rate, 512, tall, wide)
        values = ops.reshape(values, [rate * rate, 512, tall, wide], False)
        values = ops.convolution(values, weights, [1, 1], [1, 1], [1, 1], [1, 1])
        values = ops.reshape(values, [rate, rate, 256, tall, wide], False)
        values = ops.transpose(values, [2, 3, 0, 4, 1])
        values = ops.reshape(values, [1, 256, tall * rate, wide * rate], False)
        values = ops.slice(values, [0, 0], [56, 72], [1, 1], [2, 3])
    else:
        around = [rate, rate]
        values = ops.convolution(values, weights, [1, 1], around, around, around)
    # Summed up, so that writing the output costs neither way anything.
    model = openvino.Model([ops.result(ops.reduce_mean(values, [2, 3]))], [given])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16"}
    return openvino_core().compile_model(model, "CPU", settings).create_infer_request()


if __name__ == "__main__":
    main()
