"""An OpenVINO model (.xml with its .bin) on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.inference.description import KEY, Description
from dashseg.inference.runtime import Batch, deploy_package, thread_limit


@dataclass(frozen=True)
class OpenvinoRuntime:
    """An infer request whose input is uint8 (B, h, w, 3).

    Args:
        precision: of its file: "fp32", "fp16" or "int8".
        computes_in: what it really computes in where no layer is quantised: "fp32", "bf16", "fp16".
    """

    request: Any
    size: tuple[int, int] | None
    precision: str
    computes_in: str
    name: str = "openvino"

    def __call__(self, frames: Batch) -> NDArray[np.float32]:
        return self.request.infer([frames], share_inputs=True)[0]  # a copy: outputs are not shared


@dataclass(frozen=True)
class Compiled:
    """A network made ready for this processor."""

    model: Any  # openvino.CompiledModel
    size: tuple[int, int] | None
    description: Description


def openvino_core() -> Any:
    """The one openvino.Core of this process, which lasts as long as the process.

    Each Core that computes on the CPU gives the thread that it starts in a stack for signal
    handlers, and takes it away when it goes. Of two Cores, where the older one goes first, the
    thread is left with a stack that is gone: the next signal that Python handles, such as Ctrl-C,
    ends the process without a word (OpenVINO 2026.4).

    Raises:
        InputError: OpenVINO is not installed.
    """
    return _core_of(deploy_package("openvino"))


@cache
def _core_of(openvino: ModuleType) -> Any:
    return openvino.Core()


def open_openvino(path: Path, device: str = "auto") -> tuple[OpenvinoRuntime, Description]:
    """Load an OpenVINO model that dashseg exported.

    Args:
        device: "auto" or "cpu".

    Raises:
        InputError: no package, another device, damaged, or not an export of dashseg.
    """
    if device not in ("auto", "cpu"):
        raise InputError(f"device '{device}': OpenVINO models run on the CPU here (--device cpu)")
    compiled = compile_openvino(path, "LATENCY")
    kind = compiled.model.get_property("INFERENCE_PRECISION_HINT").to_string()
    computes_in = {"f32": "fp32", "f16": "fp16"}.get(kind, kind)
    description = compiled.description
    runtime = OpenvinoRuntime(
        compiled.model.create_infer_request(), compiled.size, description.precision, computes_in
    )
    return runtime, description


def compile_openvino(path: Path, hint: Literal["LATENCY", "THROUGHPUT"]) -> Compiled:
    """Read and compile an exported model for one frame at a time, or for many at once.

    Raises:
        InputError: as `open_openvino`.
    """
    core = openvino_core()
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(f"{path}: its weights {weights.name} do not lie beside it")
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise InputError(
            f"{path}: cannot be read as an OpenVINO model: it is damaged or of another kind"
        ) from error
    if not model.has_rt_info(KEY):
        raise InputError(
            f"{path}: not an export of dashseg: it has no '{KEY}' runtime info with its classes,"
            " palette, normalisation and size rule. Export it with: dashseg export MODEL"
            " --format openvino"
        )
    description = Description.from_json(str(model.get_rt_info(KEY).value), str(path))
    shape = model.input().get_partial_shape()
    height, width = shape[1], shape[2]
    size = (height.get_length(), width.get_length()) if height.is_static else None
    compiled = core.compile_model(model, "CPU", _settings(description.precision, hint))
    return Compiled(compiled, size, description)


def _settings(precision: str, hint: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": hint}
    if precision == "fp32":
        # Else it computes in bfloat16 where the processor can: faster, and other labels.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    threads = thread_limit()
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings
