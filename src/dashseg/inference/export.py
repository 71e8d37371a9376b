"""A trained model -> an export folder: one model file that carries all it needs, and export.json.

The file takes uint8 RGB frames (B, h, w, 3) at working size, "image", and gives float32 logits
(B, C, h', w'), "logits", at the stride of the network's decoder; the normalisation is inside, and
no enlargement. ONNX and OpenVINO files go through one ONNX graph; "torch" is a model directory,
since PyTorch's own program files (.pt2) are pickles.
"""

from __future__ import annotations

import copy
import errno
import io
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

import dashseg
from dashseg.config import SMALLEST_SIDE, InputConfig
from dashseg.errors import InputError
from dashseg.files import replace_folder, write_json
from dashseg.inference.calibration import Frames
from dashseg.inference.description import KEY, Description
from dashseg.inference.loading import ONNX, OPENVINO, load
from dashseg.inference.model_directory import save_model
from dashseg.inference.openvino_runtime import openvino_core
from dashseg.inference.quantisation import (
    Labeller,
    choose_layers_to_keep,
    delicate_layers,
    quantise,
)
from dashseg.inference.runtime import Batch, deploy_package
from dashseg.inference.segmenter import Segmenter
from dashseg.inference.upsampling import label_at
from dashseg.input_size import to_working_size
from dashseg.labels import Image, Label

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("onnx", "openvino", "torch")
PRECISIONS = ("fp32", "fp16", "int8")
# The newest that every exporter, ONNX Runtime and NNCF agree on for these layers.
_OPSET = 17
_TRACED = (64, 96)  # H, W of the example where the size is free: any will do


@dataclass(frozen=True)
class ExportPlan:
    """What to write.

    Args:
        size: the only (H, W) that the file is to take; "dynamic": any; None: any where that works,
            else the model's own working size.
    """

    format: str = "onnx"  # of FORMATS
    precision: str = "fp32"  # of PRECISIONS
    size: tuple[int, int] | Literal["dynamic"] | None = None


def size_rule(
    plan: ExportPlan, input: InputConfig, calibrated: bool
) -> tuple[InputConfig, tuple[int, int] | None]:
    """How frames are brought to the size that the file takes, and that size where it is fixed.

    A fixed size fills itself with the frame ("squash"), whatever the frame's aspect ratio.

    Args:
        input: the model's own size rule, which a file of dynamic size keeps.
        calibrated: whether there are frames to calibrate INT8 on.

    Raises:
        InputError: a precision that the format cannot have, or a size that it cannot take.
    """
    for name, value, known in (
        ("format", plan.format, FORMATS),
        ("precision", plan.precision, PRECISIONS),
    ):
        if value not in known:
            raise InputError(f"--{name} {value}: choose of {', '.join(known)}")
    if plan.precision == "int8" and plan.format == "torch":
        raise InputError("--format torch has no INT8: choose fp32 or fp16, or onnx or openvino")
    if plan.precision == "int8" and not calibrated:
        raise InputError(
            "INT8 is calibrated on frames of the kind it will see: name them with --calibrate DIR"
        )
    size = plan.size
    if plan.format == "openvino" and plan.precision == "int8":
        # Measured with 2026.4.1, labels against PyTorch's: where height and width are free they
        # agree on 44 % of pixels on a processor with AVX2 and on 86 % on one with AMX, where they
        # are fixed on 99.6 and 99.8 %. The batch may be free.
        if size == "dynamic":
            raise InputError(
                "OpenVINO computes INT8 networks of dynamic size wrongly on CPUs: name a size"
                " with --size HxW"
            )
        size = size or input.size
        if size is None:
            raise InputError(
                "an INT8 OpenVINO model takes frames of one size: name it with --size HxW"
            )
    if size is None or size == "dynamic":
        return input, None
    if min(size) < SMALLEST_SIDE:
        raise InputError(
            f"--size {size[0]}x{size[1]} is too small: networks take"
            f" {SMALLEST_SIDE}x{SMALLEST_SIDE} and up"
        )
    return input.model_copy(update={"size": size, "resize": "squash"}), size


def export_model(
    model: Segmenter,
    out: Path,
    plan: ExportPlan,
    accept: Callable[[Segmenter], dict[str, Any]],
    calibration: Frames | None = None,
) -> dict[str, Any]:
    """Write an export folder, whole or not at all.

    Args:
        model: a PyTorch model.
        out: gets model.onnx, or model.xml and model.bin, or the files of a model directory; and
            export.json.
        accept: is given the exported model, loaded; its figures go into export.json. What it
            raises stops the export, and nothing is left.
        calibration: frames of any size, for INT8; read more than once.

    Returns:
        What export.json holds.

    Raises:
        InputError: `out` is taken or cannot be written; a package is missing; an exported model
            instead of a trained one; a layer that ONNX does not have; a plan that cannot be had.
    """
    network, config = model.network, model.config
    rule, fixed = size_rule(plan, config.input, calibration is not None)
    if out.exists():
        raise InputError(f"{out} exists: choose another --out")
    description = Description(model.classes, rule, plan.precision)
    frames = [] if calibration is None else _Fitted(calibration, rule)
    with replace_folder(out) as folder:
        if plan.format == "torch":
            state = network.state_dict()
            save_model(
                folder,
                _halved(state) if plan.precision == "fp16" else state,
                config.model_copy(update={"input": rule}),
                model.classes,
            )
            report: dict[str, Any] = {}
            exported = load(folder, device="cpu")
        else:
            graph = _onnx_graph(model, plan.precision, fixed)
            if plan.format == "onnx":
                file, report = _write_onnx(graph, folder, description, frames)
            else:
                file, report = _write_openvino(graph, folder, description, frames)
            exported = load(file, device="cpu")
        values = {
            "schema": 1,
            "dashseg": dashseg.__version__,
            "model": model.name,
            "format": plan.format,
            "precision": plan.precision,
            "size": list(fixed) if fixed else "dynamic",
            "calibration_frames": len(frames) if plan.precision == "int8" else None,
            "bytes": sum(path.stat().st_size for path in folder.iterdir()),
            **report,
            **accept(exported),
        }
        write_json(folder / "export.json", values)
    return values


@dataclass(frozen=True)
class _Fitted(Sequence[Image]):
    """Calibration frames as the file takes them: uint8 (1, h, w, 3), made when asked for."""

    images: Frames
    rule: InputConfig

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image:  # type: ignore[override]  # no slices
        return to_working_size(self.images[index], self.rule)[None]


def _onnx_graph(model: Segmenter, precision: str, fixed: tuple[int, int] | None) -> bytes:
    """The network with its normalisation as an ONNX file, float32 or float16.

    By PyTorch's older exporter: the newer one takes 25 times as long for these networks and needs
    another package; what both write gives the same logits at the same speed.
    """
    import torch
    from torch import nn

    from dashseg.models.input import Normalise, to_batch

    deploy_package("onnx")
    half = precision == "fp16"

    class Deployed(nn.Module):
        """uint8 (B, h, w, 3) -> float32 (B, C, h', w')."""

        def __init__(self) -> None:
            super().__init__()
            self.normalise = Normalise(model.config.input)
            network = copy.deepcopy(model.network).cpu()
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            self.network = network.half() if half else network

        def forward(self, image: Tensor) -> Tensor:
            values = self.normalise(to_batch(image))  # in float32: 255 steps need more than half
            logits = self.network.coarse_logits(values.half() if half else values)
            return logits.float() if half else logits  # NNCF takes no cast from float32 to itself

    example = torch.zeros(2, *(fixed or _TRACED), 3, dtype=torch.uint8)
    free = {0: "batch"} if fixed else {0: "batch", 1: "height", 2: "width"}
    given = {0: "batch"} if fixed else {0: "batch", 2: "rows", 3: "columns"}
    file = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older exporter
        try:
            torch.onnx.export(
                Deployed().eval(),
                (example,),
                file,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=_OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": free, "logits": given},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{model.name} cannot be exported with ONNX's opset {_OPSET}: {reason}."
                " Replace that layer, or use --format torch"
            ) from error
    return file.getvalue()


def _write_onnx(
    graph: bytes, folder: Path, description: Description, frames: Sequence[Image]
) -> tuple[Path, dict[str, Any]]:
    onnx = deploy_package("onnx")
    model = onnx.load_model_from_string(graph)
    report: dict[str, Any] = {}
    if description.precision == "int8":
        model, report = _in_eight_bits(model, model, frames, _ready_onnx, "image")
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    file = folder / ONNX
    file.write_bytes(model.SerializeToString())
    return file, report


def _write_openvino(
    graph: bytes, folder: Path, description: Description, frames: Sequence[Image]
) -> tuple[Path, dict[str, Any]]:
    openvino = deploy_package("openvino")
    model = openvino_core().read_model(graph)
    report: dict[str, Any] = {}
    if description.precision == "int8":
        named = deploy_package("onnx").load_model_from_string(graph)
        model, report = _in_eight_bits(model, named, frames, _ready_openvino)
    model.set_rt_info(description.to_json(), KEY)
    file = folder / OPENVINO
    try:
        openvino.save_model(model, file, compress_to_fp16=description.precision == "fp16")
    except RuntimeError as error:  # it says "iostream error" and no more
        full = shutil.disk_usage(folder).free < len(graph)
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number)) from error
    return file, report


def _in_eight_bits(
    model: Any,
    named: Any,
    frames: Sequence[Image],
    ready: Callable[[Any], Labeller],
    input_name: str | None = None,
) -> tuple[Any, dict[str, Any]]:
    """The quantised model, and what export.json says of it. `named`: its graph in ONNX."""
    layers = delicate_layers(named)
    kept, shares = choose_layers_to_keep(model, frames, layers, ready, input_name)
    quantised = quantise(model, frames, [layers[what] for what in kept], input_name)
    return quantised, {"kept_in_higher_precision": kept, "labels_changed_in_int8": shares}


def _ready_onnx(model: Any) -> Labeller:
    session = deploy_package("onnxruntime").InferenceSession(model.SerializeToString())
    return lambda frames: _label(frames, session.run(None, {"image": frames})[0])


def _ready_openvino(model: Any) -> Labeller:
    compiled = openvino_core().compile_model(model, "CPU")
    return lambda frames: _label(frames, compiled([frames])[0])


def _label(frames: Batch, logits: NDArray[np.float32]) -> Label:
    """uint8 (h, w): the label of the only frame (1, h, w, 3), at its size."""
    return label_at(frames.shape[1:3], logits[0])


def _halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
