"""An OpenVINO model (.xml with its .bin) on the CPU: opened, checked and compiled."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dashseg.config import SMALLEST_SIDE
from dashseg.errors import InputError, command
from dashseg.files import read_json, sha256
from dashseg.inference.description import KEY, Description, Foreign
from dashseg.inference.runtime import (
    Batch,
    Port,
    deploy_package,
    explained,
    exported_size,
    thread_limit,
)
from dashseg.run_directory import EXPORT

_PATIENCE = 60.0  # seconds for a file to be compiled and run once, which takes about one


@dataclass(frozen=True)
class OpenvinoRuntime:
    """A compiled model whose input is uint8 (B, h, w, 3).

    Args:
        compiled: an openvino.CompiledModel; of batch size 1 if `size` is fixed.
        precision: of its file: "fp32", "fp16" or "int8".
        computes_in: the precision of layers that are not quantised: "fp32", "bf16" or "fp16".
    """

    compiled: Any
    size: tuple[int, int] | None
    precision: str
    computes_in: str
    parallel: int = 1
    name: str = "openvino"
    _idle: list[Any] = field(default_factory=list)  # infer requests: one for each thread at work

    def __call__(self, frames: Batch) -> NDArray[np.float32]:
        if self.size is None or len(frames) == 1:
            return self._run(frames)
        return np.concatenate([self._run(frames[at : at + 1]) for at in range(len(frames))])

    def _run(self, frames: Batch) -> NDArray[np.float32]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self.compiled.create_infer_request()
        with explained("OpenVINO"):
            logits = request.infer([frames], share_inputs=True)[0]  # a copy: outputs aren't shared
        self._idle.append(request)
        return logits


def openvino_core() -> Any:
    """The one openvino.Core of this process, which lasts as long as the process.

    Each Core that computes on the CPU installs a stack for signal handlers in its thread, and frees
    it when the Core is deleted. If the older of two Cores is deleted first, the thread keeps a
    freed stack: the next signal that Python handles, such as Ctrl-C, ends the process without a
    message (OpenVINO 2026.4).

    Raises:
        InputError: OpenVINO is not installed.
    """
    return _core_of(deploy_package("openvino"))


@cache
def _core_of(openvino: ModuleType) -> Any:
    return openvino.Core()


def open_openvino(
    path: Path, device: str = "auto", foreign: Foreign | None = None, many: bool = False
) -> tuple[OpenvinoRuntime, Description]:
    """Load an OpenVINO model that dashseg exported.

    Args:
        device: "auto" or "cpu".
        many: compute several frames at once, each on as few cores as is fastest for all.

    Raises:
        InputError: no package, another device, damaged, or not an export of dashseg.
    """
    if device not in ("auto", "cpu"):
        raise InputError(f"device '{device}': OpenVINO models run on the CPU here (--device cpu)")
    model, description = _read(path)
    size = exported_size(path, _ports(model.inputs), _ports(model.outputs), description)
    compiled = _compile(model, description.precision, "THROUGHPUT" if many else "LATENCY")
    kind = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    computes_in = {"f32": "fp32", "f16": "fp16"}.get(kind, kind)
    parallel = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") if many else 1
    runtime = OpenvinoRuntime(compiled, size, description.precision, computes_in, parallel)
    return runtime, description


def open_queue(path: Path) -> Callable[[Batch, float], float]:
    """Load an exported model with as many requests as keep this processor busy.

    Returns:
        A function of a frame (1, h, w, 3) and seconds: it keeps the queue full for that long and
        returns frames/s.

    Raises:
        InputError: as `open_openvino`.
    """
    model, description = _read(path)
    compiled = _compile(model, description.precision, "THROUGHPUT")
    queue = deploy_package("openvino").AsyncInferQueue(compiled)

    def throughput(frame: Batch, seconds: float) -> float:
        for _ in range(2 * len(queue)):  # warm-up
            queue.start_async([frame])
        queue.wait_all()
        done = 0
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            queue.start_async([frame])
            done += 1
        queue.wait_all()
        return done / (time.perf_counter() - start)

    return throughput


def run_once(path: Path) -> None:
    """Compile a file and run it on small frames. The file may be damaged or hostile."""
    compiled = openvino_core().compile_model(path, "CPU")
    sides = compiled.input().partial_shape
    shape = [SMALLEST_SIDE if side.is_dynamic else side.get_length() for side in sides]
    compiled([np.zeros(shape, np.uint8)])


def _try_in_a_process(path: Path) -> None:
    """Raise InputError if running a file kills or blocks a process, as numbers out of range can."""
    code = (
        "import sys; sys.path[:] = sys.argv[2:]; from pathlib import Path;"
        f" from {__name__} import run_once; run_once(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(path.absolute()), *sys.path]
    try:
        status = subprocess.run(command, capture_output=True, timeout=_PATIENCE).returncode
    except subprocess.TimeoutExpired:
        status = -1
    if status not in (0, 1):  # 1: an error in Python, which is raised and explained here too
        raise InputError(
            f"{path}: damaged or changed after its export: OpenVINO crashes or never ends when it"
            " runs it. Export it again"
        )


def _is_as_exported(path: Path) -> bool:
    """Whether the files are those that export.json beside them says; it costs 1 ms for 2 MB."""
    try:
        noted = read_json(path.with_name(EXPORT))["sha256"]
        return all(noted[file.name] == sha256(file) for file in (path, path.with_suffix(".bin")))
    except (InputError, KeyError, TypeError):
        return False


def _ports(ports: Iterable[Any]) -> list[Port]:
    kinds = {"u8": "uint8", "f32": "float32"}
    return [
        (
            kinds.get(kind := port.get_element_type().get_type_name(), kind),
            [side.get_length() if side.is_static else None for side in port.get_partial_shape()]
            if port.get_partial_shape().rank.is_static
            else (),
        )
        for port in ports
    ]


def compile_to_profile(path: Path) -> Any:
    """The openvino.CompiledModel of an exported file as it runs one frame, with times by layer.

    Raises:
        InputError: as `open_openvino`.
    """
    model, description = _read(path)
    return _compile(model, description.precision, "LATENCY", {"PERF_COUNT": True})


def _read(path: Path) -> tuple[Any, Description]:
    """The openvino.Model of an exported file."""
    core = openvino_core()
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(f"{path}: its weights {weights.name} are not beside it")
    if not _is_as_exported(path):
        _try_in_a_process(path)
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise InputError(
            f"{path}: cannot be read as an OpenVINO model: it is damaged or of another kind"
        ) from error
    if not model.has_rt_info(KEY):
        raise InputError(
            f"{path}: not an export of dashseg: it has no '{KEY}' runtime info with its classes,"
            f" palette, normalisation and size rule. Export it with: {command('export MODEL')}"
            " --format openvino"
        )
    description = Description.from_json(str(model.get_rt_info(KEY).value), str(path))
    return model, description


def _compile(
    model: Any,
    precision: str,
    hint: Literal["LATENCY", "THROUGHPUT"],
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """The openvino.CompiledModel, for one frame at a time or for many, of a file that was checked.

    A model of fixed height and width is compiled for a batch of 1: it takes 4 % less time than with
    a free batch size, for which OpenVINO reorders the image's memory.
    """
    shape: Any = model.inputs[0].get_partial_shape()
    if shape[0].is_dynamic and not any(shape[axis].is_dynamic for axis in (1, 2, 3)):
        shape[0] = 1
        model.reshape(shape)
    settings = _settings(precision, hint) | dict(more)
    return openvino_core().compile_model(model, "CPU", settings)


def _settings(precision: str, hint: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": hint}
    if precision == "fp32":
        # Otherwise it computes in bfloat16 if the processor can: faster, but with other labels.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    threads = thread_limit()
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings
