"""A trained model -> an OpenVINO model (.xml with its .bin)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashseg.inference.description import KEY, Description
from dashseg.inference.onnx_graph import onnx_graph
from dashseg.inference.openvino_runtime import openvino_core
from dashseg.inference.quantisation import Compute, in_eight_bits
from dashseg.inference.runtime import Batch, deploy_package, explained

if TYPE_CHECKING:
    from dashseg.inference.segmenter import Segmenter


def openvino_graph(onnx_file: bytes) -> Any:
    """The openvino.Model of an ONNX file, with its constants computed.

    The reader leaves the weights of depthwise convolutions to be reshaped when the model runs. NNCF
    then takes their columns for channels, and OpenVINO computes those layers in float.

    Raises:
        InputError: no package, or OpenVINO cannot read it.
    """
    passes = deploy_package("openvino.passes")
    with explained("openvino"):
        graph = openvino_core().read_model(onnx_file)
        manager = passes.Manager()
        manager.register_pass(passes.ConstantFolding())
        manager.run_passes(graph)
    return graph


def write_openvino(
    model: Segmenter,
    description: Description,
    size: tuple[int, int] | None,
    frames: Sequence[Batch],
    path: Path,
) -> dict[str, Any]:
    """Write a trained model to `path`, as `runtimes.Format.write` says."""
    openvino = deploy_package("openvino")
    onnx_file = onnx_graph(model, description.precision, size)
    graph = openvino_graph(onnx_file)
    report: dict[str, Any] = {}
    if description.precision == "int8":
        named = deploy_package("onnx").load_model_from_string(onnx_file)
        graph, report = in_eight_bits(graph, named, frames, _ready)
    graph.set_rt_info(description.to_json(), KEY)
    try:
        half = description.precision == "fp16"
        openvino.save_model(graph, path, compress_to_fp16=half)
    except RuntimeError as error:  # it says "iostream error" and no more
        full = shutil.disk_usage(path.parent).free < len(onnx_file)
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number)) from error
    return report


def _ready(graph: Any) -> Compute:
    compiled = openvino_core().compile_model(graph, "CPU")
    return lambda frames: compiled([frames])[0]
