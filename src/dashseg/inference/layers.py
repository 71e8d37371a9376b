"""An exported file -> the layers that its runtime executes, their precision and their time.

Runtimes fuse layers and change their precision, so these are not the layers of the network. A
layer's name is the one that the runtime gives.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashseg.inference.onnx_runtime import start_session
from dashseg.inference.openvino_runtime import compile_to_profile
from dashseg.inference.runtime import Batch

_WARM_UP = 3  # runs that are not counted
_PRECISIONS = {
    "u8": "int8", "i8": "int8", "uint8": "int8", "int8": "int8",
    "f32": "fp32", "float": "fp32", "f16": "fp16", "float16": "fp16", "bfloat16": "bf16",
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One step of a runtime.

    Attributes:
        name: as the runtime calls it.
        type: the operation, in the runtime's words: "Convolution", "QLinearConv".
        precision: what it computes in, which is that of its first input: "int8" (signed or not),
            "bf16", "fp16", "fp32", or the runtime's word for another type.
        ms: of the fastest run. Of a median, what other programs take would fall on long layers.
    """

    name: str
    type: str
    precision: str
    ms: float


def openvino_layers(path: Path, frame: Batch, runs: int) -> list[Layer]:
    """The layers of an OpenVINO file, in order of execution.

    Raises:
        InputError: as `openvino_runtime.open_openvino`.
    """
    compiled = compile_to_profile(path)
    request = compiled.create_infer_request()
    times: dict[str, list[float]] = {}
    for turn in range(_WARM_UP + runs):
        request.infer([frame])
        if turn >= _WARM_UP:
            for layer in request.profiling_info:
                time = layer.real_time.total_seconds()
                if time:
                    times.setdefault(layer.node_name, []).append(1e3 * time)
    layers = []
    for step in compiled.get_runtime_model().get_ordered_ops():
        name, notes = step.get_friendly_name(), step.get_rt_info()
        if name in times:
            kind = str(notes["runtimePrecision"].value)
            ms = min(times[name])
            layers.append(Layer(name, str(notes["layerType"].value), _precision(kind), ms))
    return layers


def onnx_layers(path: Path, frame: Batch, runs: int) -> list[Layer]:
    """The layers of an ONNX file in ONNX Runtime, in order of execution.

    Raises:
        InputError: as `onnx_runtime.open_onnx`.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = start_session(path, profile=Path(folder) / "profile")
        for _ in range(_WARM_UP + runs):
            session.run(None, {session.get_inputs()[0].name: frame})
        events = json.loads(Path(session.end_profiling()).read_text())
    return _layers_of(events)


def _layers_of(events: Sequence[dict[str, Any]]) -> list[Layer]:
    """The layers in ONNX Runtime's profile."""
    times: dict[str, list[float]] = {}
    first: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(event["dur"] / 1e3)  # it is in microseconds
            first.setdefault(name, event["args"])
    layers = []
    for name, notes in first.items():
        kinds = [kind for entry in notes["input_type_shape"] for kind in entry]
        precision = _precision(kinds[0]) if kinds else "none"
        ms = min(times[name][_WARM_UP:])
        layers.append(Layer(name, notes["op_name"], precision, ms))
    return layers


def _precision(kind: str) -> str:
    return _PRECISIONS.get(kind, kind)
