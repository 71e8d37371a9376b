"""The machine, and how fast it multiplies matrices: the upper limit for a network."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from dashseg.inference.openvino_runtime import openvino_core
from dashseg.inference.runtime import deploy_package, thread_limit

_PACKAGES = ("torch", "onnxruntime", "openvino", "nncf")
_UNITS = ("avx2", "avx512f", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "i8mm", "bf16")
_CHANNELS, _SIDE, _LAYERS = 512, 64, 4  # 8.6 GFLOP; its weights and one map stay in the cache
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}


def describe_machine() -> dict[str, Any]:
    """Processor, cores and threads, memory, versions."""
    info = _cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "units": [unit for unit in _UNITS if unit in flags],
        "threads": thread_limit() or os.cpu_count(),
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def matrix_rates(seconds: float) -> dict[str, float]:
    """GFLOP/s of products of large matrices by precision, best of what fits in `seconds` each.

    As 1×1 convolutions of OpenVINO, which come nearest to the processor's limit. A precision that
    the processor has no units for is left out.
    """
    openvino = deploy_package("openvino")
    core = openvino_core()
    there = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    rates = {}
    for precision, capability in _CAPABILITIES.items():
        if capability not in there:
            continue
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
        }
        if (threads := thread_limit()) is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        compiled = core.compile_model(_products(openvino, precision == "int8"), "CPU", settings)
        rates[precision] = _best_rate(compiled.create_infer_request(), seconds)
    return rates


def _products(openvino: Any, int8: bool) -> Any:
    """A chain of 1×1 convolutions: float32 (1, 512, 64, 64) -> its mean."""
    from openvino import opset13 as ops

    def in_eight_bits(values: Any, low: float, high: float, levels: int) -> Any:
        bounds = [np.float32(bound) for bound in (low, high, low, high)]
        return ops.fake_quantize(values, *bounds, levels) if int8 else values

    draw = np.random.default_rng(0).normal(size=(_CHANNELS, _CHANNELS, 1, 1)).astype(np.float32)
    weights = in_eight_bits(ops.constant(draw), -3, 3, 255)
    given = ops.parameter([1, _CHANNELS, _SIDE, _SIDE], np.float32)
    values = in_eight_bits(given, 0, 1, 256)
    for _ in range(_LAYERS):
        values = ops.relu(ops.convolution(values, weights, [1, 1], [0, 0], [0, 0], [1, 1]))
        values = in_eight_bits(values, 0, 1, 256)
    return openvino.Model([ops.result(ops.reduce_mean(values, [1, 2, 3]))], [given])


def _best_rate(request: Any, seconds: float) -> float:
    frame = np.random.default_rng(0).random((1, _CHANNELS, _SIDE, _SIDE), np.float32)
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        request.infer([frame], share_inputs=True)
        best = min(best, time.perf_counter() - start)
    return 2 * _LAYERS * _CHANNELS**2 * _SIDE**2 / best / 1e9


def _cpu_info() -> dict[str, str]:
    """/proc/cpuinfo of the first core; empty if the file does not exist."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.is_file() else []
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory_gb() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
