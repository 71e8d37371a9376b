"""A float32 graph (ONNX or OpenVINO) -> the same graph in INT8, by NNCF."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from dashseg.inference.runtime import deploy_package
from dashseg.labels import Image


def quantise(model: Any, frames: Sequence[Image], input_name: str | None = None) -> Any:
    """Quantise weights and activations to 8 bits after training.

    Args:
        model: an onnx.ModelProto, which gets QuantizeLinear and DequantizeLinear nodes, or an
            openvino.Model.
        frames: uint8 (1, h, w, 3) each, as the graph takes them; all of them set the ranges.
        input_name: of the graph's input, for ONNX.

    Raises:
        InputError: NNCF is not installed.
    """
    # NNCF reports its use to Google Analytics unless this is set before it is imported.
    os.environ.setdefault("NNCF_CI", "1")
    nncf = deploy_package("nncf")
    nncf.set_log_level(logging.ERROR)
    dataset = nncf.Dataset(
        range(len(frames)),
        lambda index: {input_name: frames[index]} if input_name else frames[index],
    )
    shown = sys.stderr if sys.stderr.isatty() else io.StringIO()
    with contextlib.redirect_stdout(shown):  # where it draws its progress bars
        return nncf.quantize(
            model,
            dataset,
            subset_size=len(frames),
            # Symmetric weights, asymmetric activations: the normalised frame is below zero too.
            preset=nncf.QuantizationPreset.MIXED,
        )
