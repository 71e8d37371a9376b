"""An ONNX file in ONNX Runtime: opened, and written from a trained model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dashseg.config import InputConfig
from dashseg.errors import InputError
from dashseg.inference.description import KEY, Description, Foreign
from dashseg.inference.onnx_concat import quantise_concatenations
from dashseg.inference.onnx_graph import onnx_graph
from dashseg.inference.quantisation import Compute, in_eight_bits
from dashseg.inference.runtime import (
    Batch,
    Port,
    cores,
    deploy_package,
    explained,
    exported_size,
    thread_limit,
)

if TYPE_CHECKING:
    from dashseg.inference.segmenter import Segmenter

_CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class OnnxRuntime:
    """A session whose input is uint8 (B, h, w, 3).

    Args:
        precision: of its file: "fp32", "fp16" or "int8".
    """

    session: Any
    size: tuple[int, int] | None
    precision: str
    parallel: int = 1
    name: str = "onnxruntime"

    def __call__(self, frames: Batch) -> NDArray[np.float32]:
        with explained("ONNX Runtime"):
            return self.session.run(None, {self.session.get_inputs()[0].name: frames})[0]


@dataclass(frozen=True)
class ForeignOnnx:
    """A session for a file that dashseg did not export.

    Args:
        batch_size: the only number of frames that it takes at once; None: any.
        planar: takes (B, 3, h, w) instead of (B, h, w, 3).
        normalise: how its input is normalised; None: it takes uint8.
        reverse: it takes BGR.
    """

    session: Any
    size: tuple[int, int] | None
    batch_size: int | None
    planar: bool
    normalise: InputConfig | None
    reverse: bool = False
    parallel: int = 1
    precision: str = "unknown"
    name: str = "onnxruntime"

    def __call__(self, frames: Batch) -> NDArray[np.float32]:
        size = self.batch_size or len(frames)
        missing = -len(frames) % size  # the last frame again, to fill up a batch of fixed size
        padded = np.concatenate([frames, frames[-1:].repeat(missing, 0)]) if missing else frames
        parts = [self._run(padded[start : start + size]) for start in range(0, len(padded), size)]
        return np.concatenate(parts)[: len(frames)] if len(padded) != size or missing else parts[0]

    def _run(self, frames: Batch) -> NDArray[np.float32]:
        values: NDArray[Any] = frames[..., ::-1] if self.reverse else frames
        if self.normalise is not None:
            mean, std = (np.float32(255) * np.array(part, np.float32) for part in
                         (self.normalise.mean, self.normalise.std))  # fmt: skip
            values = (values - mean) / std
        if self.planar:
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        with explained("ONNX Runtime"):
            logits = self.session.run(None, {self.session.get_inputs()[0].name: values})[0]
            return np.asarray(logits, np.float32)


def open_onnx(
    path: Path, device: str = "auto", foreign: Foreign | None = None, many: bool = False
) -> tuple[OnnxRuntime | ForeignOnnx, Description]:
    """Load an ONNX file.

    Args:
        device: "auto" and "cpu"; "cuda" with the onnxruntime that has it.
        foreign: what the user says of a file that dashseg did not export.
        many: compute each frame on one core, and as many frames at once as there are cores.

    Raises:
        InputError: no package, no such device, damaged, or not ours and no classes given.
    """
    available = deploy_package("onnxruntime").get_available_providers()
    providers = _providers(available, device)
    parallel = cores() if many and providers == [_CPU] else 1
    session = start_session(path, providers, 1 if parallel > 1 else None)
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        return _foreign(session, path, foreign, parallel)
    if foreign is not None:
        raise InputError(f"{path} carries its own classes: leave --classes out")
    description = Description.from_json(text, str(path))
    inputs, outputs = _ports(session.get_inputs()), _ports(session.get_outputs())
    size = exported_size(path, inputs, outputs, description)
    return OnnxRuntime(session, size, description.precision, parallel), description


def start_session(
    path: Path,
    providers: Sequence[Any] = (_CPU,),
    threads: int | None = None,
    profile: Path | None = None,
) -> Any:
    """An onnxruntime.InferenceSession of any ONNX file.

    Args:
        threads: None: as many as the user allows, else as many as there are cores.
        profile: how the path of the profile begins that `end_profiling` writes; None: no profile.

    Raises:
        InputError: no package, or damaged.
    """
    runtime = deploy_package("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors; its warnings are about its own optimiser
    options.intra_op_num_threads = threads or thread_limit() or 0  # 0: as many as there are cores
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    try:
        return runtime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # its exceptions have no common base
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as an ONNX model: {reason}") from error


def write_onnx(
    model: Segmenter,
    description: Description,
    size: tuple[int, int] | None,
    frames: Sequence[Batch],
    path: Path,
) -> dict[str, Any]:
    """Write a trained model to `path`, as `runtimes.Format.write` says."""
    onnx = deploy_package("onnx")
    graph = onnx.load_model_from_string(onnx_graph(model, description.precision, size))
    report: dict[str, Any] = {}
    if description.precision == "int8":
        graph, report = in_eight_bits(graph, graph, frames, _ready, "image")
        quantise_concatenations(graph)
    onnx.helper.set_model_props(graph, {KEY: description.to_json()})
    path.write_bytes(graph.SerializeToString())
    return report


def _ready(graph: Any) -> Compute:
    session = deploy_package("onnxruntime").InferenceSession(graph.SerializeToString())
    return lambda frames: session.run(None, {"image": frames})[0]


def _ports(ports: Iterable[Any]) -> list[Port]:
    kinds = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
    return [
        (
            kinds.get(port.type, port.type),
            [side if isinstance(side, int) else None for side in port.shape],
        )
        for port in ports
    ]


def _providers(available: list[str], device: str) -> list[Any]:
    gpu = re.fullmatch(r"auto|cuda(?::(\d{1,4}))?", device)
    if gpu and "CUDAExecutionProvider" in available:
        return [("CUDAExecutionProvider", {"device_id": gpu[1] or "0"}), _CPU]
    if device in ("auto", "cpu"):
        return [_CPU]
    raise InputError(
        f"device '{device}' is not available to ONNX Runtime here, which has"
        f" {', '.join(name.removesuffix('ExecutionProvider') for name in available)}"
    )


def _foreign(
    session: Any, path: Path, foreign: Foreign | None, parallel: int
) -> tuple[ForeignOnnx, Description]:
    """Open a file that has no metadata of dashseg."""
    if foreign is None:
        raise InputError(
            f"{path}: not an export of dashseg: it has no '{KEY}' metadata with its classes,"
            " palette, normalisation and size rule. Name the classes with --classes palette.yaml;"
            " frames then go in at the size it takes (or their own), as uint8 RGB where it takes"
            " uint8, else normalised with ImageNet's mean and deviation; its key `input` says it"
            " otherwise"
        )
    inputs = session.get_inputs()
    shape = inputs[0].shape
    kinds = ("tensor(uint8)", "tensor(float)")
    axes = [axis for axis in (1, 3) if len(shape) == 4 and shape[axis] == 3]
    if len(inputs) != 1 or inputs[0].type not in kinds or not axes:
        found = ", ".join(f"{entry.type} {entry.shape}" for entry in inputs)
        raise InputError(
            f"{path}: takes {found}; dashseg can run a network that takes one batch of RGB frames,"
            " (B, 3, h, w) or (B, h, w, 3), uint8 or float"
        )
    planar = axes[0] == 1
    size = _size(session, 2 if planar else 1)
    takes_bytes = inputs[0].type == "tensor(uint8)"
    rule = _rule(path, size, foreign.input, takes_bytes)
    normalise = None if takes_bytes else rule
    batch_size = shape[0] if isinstance(shape[0], int) else None
    runtime = ForeignOnnx(
        session, size, batch_size, planar, normalise, rule.channels == "bgr", parallel
    )
    return runtime, Description(foreign.classes, rule, runtime.precision)


def _rule(
    path: Path, size: tuple[int, int] | None, given: InputConfig | None, takes_bytes: bool
) -> InputConfig:
    """How a foreign network takes frames: as the user says, where that fits the file.

    Args:
        size: the only (h, w) that it takes; None: any.
        takes_bytes: it takes uint8, and normalises by itself.

    Raises:
        InputError: the user says what the file cannot do.
    """
    said = set() if given is None else given.model_fields_set
    rule = given or InputConfig()
    if takes_bytes and said & {"mean", "std"}:
        raise InputError(f"{path}: takes uint8 and normalises by itself: leave mean and std out")
    if size is None:
        return rule if "size" in said else rule.model_copy(update={"size": None})
    if ("size" in said and rule.size != size) or ("resize" in said and rule.resize == "fit"):
        raise InputError(
            f"{path}: takes frames of {size[0]}x{size[1]} only: input.size is {list(size)} and"
            " input.resize is squash, or leave both out"
        )
    return rule.model_copy(update={"size": size, "resize": "squash"})


def _size(session: Any, axis: int) -> tuple[int, int] | None:
    """The (h, w) of the input from `axis` on; None where it is free."""
    height, width = session.get_inputs()[0].shape[axis : axis + 2]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
