"""Dilated convolutions in OpenVINO two ways.

    python benchmarks/dilated.py
    python benchmarks/dilated.py --smoke

Runs ASPP's dilated 3×3 convolution (512 -> 256 channels, 56×72, rates 12, 24, 36) as it is, and by
moving space to batch, an undilated convolution and back, in turn. Prints their times and how much
the results differ.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import openvino
from common import arguments
from openvino import opset13 as ops

from dashseg.inference.openvino_runtime import openvino_core


def main() -> None:
    parser = arguments(__doc__)
    options = parser.parse_args()
    for precision in ("bf16", "int8"):
        for rate in (12,) if options.smoke else (12, 24, 36):
            dilated(rate, precision, rounds=1 if options.smoke else 7)


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
