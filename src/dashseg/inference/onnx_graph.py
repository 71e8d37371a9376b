"""A trained network -> the ONNX graph that ONNX Runtime and OpenVINO files are made from."""

from __future__ import annotations

import copy
import io
import warnings
from typing import TYPE_CHECKING

from dashseg.errors import InputError
from dashseg.inference.runtime import deploy_package

if TYPE_CHECKING:
    from torch import Tensor

    from dashseg.inference.segmenter import Segmenter

# The newest that every exporter, ONNX Runtime and NNCF agree on for these layers.
_OPSET = 17
_TRACED = (64, 96)  # H, W of the example where the size is free: any will do


def onnx_graph(model: Segmenter, precision: str, fixed: tuple[int, int] | None) -> bytes:
    """The network with its normalisation inside, as the bytes of an ONNX file.

    PyTorch's older exporter writes it: the newer one takes 25 times as long for these networks and
    needs another package; both files give the same logits at the same speed.

    Args:
        precision: "fp16" computes in float16, anything else in float32.
        fixed: the only (H, W) that the graph takes; None: any. The batch size is free.

    Raises:
        InputError: ONNX is not installed, or it has no equivalent of a layer.
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
            # In float32: 255 steps need more than half.
            values = self.normalise.in_rows(image) if fixed else self.normalise(to_batch(image))
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
