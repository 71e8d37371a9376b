"""Every network passes through what stands between it and a user: compilers and file formats."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from dashseg.models import DeepLabV3

Build = Callable[..., DeepLabV3]

EVERY_NETWORK = [
    (encoder, stride, decoder)
    for encoder in ("resnet18", "resnet34", "resnet50", "efficientnet_lite0")
    for stride in (8, 16, 32)
    for decoder in ("bilinear", "gradual")
] + [("resnet101", 16, "gradual"), ("resnet18", 32, "mlp")]  # ResNet-50's blocks, more of them
SOME_NETWORKS = [
    *(network for network in EVERY_NETWORK if network[0] == "resnet18"),
    ("resnet50", 16, "bilinear"),
    ("efficientnet_lite0", 8, "bilinear"),
    ("efficientnet_lite0", 32, "gradual"),
    ("resnet18", 32, "mlp"),
]
OTHER_SIZES = [(1, 3, 33, 47), (3, 3, 65, 97)]


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Equal up to the rounding of float32 sums in another order."""
    scale = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize(("encoder", "stride", "decoder"), EVERY_NETWORK)
@torch.no_grad()
def test_channels_last_gives_the_same_logits(
    unsettled: Build, encoder: str, stride: int, decoder: str
) -> None:
    model = unsettled(encoder, stride, decoder)
    image = torch.rand(1, 3, 33, 47)
    expected = model(image)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert_same(model(image.contiguous(memory_format=torch.channels_last)), expected)


# Tracing takes seconds, so that from here on a few networks stand for the others: both kinds of
# block, every stride and every decoder are traced at least once.


@torch.no_grad()
def test_it_compiles_as_one_graph(unsettled: Build) -> None:
    model = unsettled("resnet50", 8, "bilinear")
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    image = torch.rand(2, 3, 33, 47)
    assert_same(compiled(image), model(image))
    torch.compiler.reset()


def test_it_trains_compiled_one_image_at_a_time(unsettled: Build) -> None:
    model = unsettled("resnet18", 16, "bilinear").train()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(torch.rand(1, 3, 33, 47)).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("encoder", "stride", "decoder"),
    [
        ("resnet18", 8, "bilinear"),
        ("resnet18", 32, "gradual"),
        ("efficientnet_lite0", 16, "gradual"),
    ],
)
@torch.no_grad()
def test_one_exported_program_takes_any_batch_height_and_width(
    unsettled: Build, encoder: str, stride: int, decoder: str
) -> None:
    model = unsettled(encoder, stride, decoder)
    # 33: to torch.export one feature pixel, as of 32 pixels at stride 32, is another kind of shape.
    free = {0: Dim("batch"), 2: Dim("height", min=33), 3: Dim("width", min=33)}
    program = torch.export.export(
        model, (torch.rand(2, 3, 64, 96),), dynamic_shapes={"image": free}
    ).module()
    for shape in OTHER_SIZES:
        image = torch.rand(shape)
        assert_same(program(image), model(image))


@pytest.mark.parametrize(("encoder", "stride", "decoder"), SOME_NETWORKS)
@torch.no_grad()
def test_one_onnx_file_takes_any_batch_height_and_width(
    unsettled: Build, encoder: str, stride: int, decoder: str
) -> None:
    model = unsettled(encoder, stride, decoder)
    free = {0: "batch", 2: "height", 3: "width"}
    file: Any = io.BytesIO()  # the exporter takes one; its types know only paths
    with warnings.catch_warnings():
        warnings.simplefilter("error", TracerWarning)  # a size frozen into the file
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (torch.rand(2, 3, 64, 96),),
            file,
            dynamo=False,  # the exporter that needs no onnxscript
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": free, "logits": free},
        )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for shape in OTHER_SIZES:
        image = torch.rand(shape)
        (logits,) = session.run(None, {"image": image.numpy()})
        assert_same(torch.from_numpy(logits), model(image))
