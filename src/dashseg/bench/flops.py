"""Floating-point operations of an exported network, from its graph."""

from __future__ import annotations

import math
from pathlib import Path

from dashseg.inference.openvino_runtime import openvino_core


def graph_flop(path: Path, size: tuple[int, int]) -> int:
    """Of the convolutions, for one frame of (h, w); a multiply-add counts as two.

    Args:
        path: an .onnx or OpenVINO .xml file whose input is (B, h, w, 3) or (B, 3, h, w).
    """
    model = openvino_core().read_model(path)
    channels = model.inputs[0].partial_shape[1]
    planar = channels.is_static and channels.get_length() == 3
    model.reshape([1, 3, *size] if planar else [1, *size, 3])
    return sum(
        # Each value of the output takes as many products as a filter has weights.
        2 * math.prod(node.output(0).shape) * math.prod(node.input_value(1).shape[1:])
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Convolution"
    )
