"""The network against two others that were written from the literature, with no module of its own.

`paper` follows "Rethinking atrous convolution" and "Encoder-decoder with atrous separable
convolution"; `original` is the network of the project that this one continues. Both are functions
of a dictionary of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dashseg.config import AsppConfig, DecoderConfig, DecoderLevel, EncoderConfig, ModelConfig
from dashseg.models import DeepLabV3, build_model

Build = Callable[..., DeepLabV3]
State = dict[str, Tensor]
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def norm(x: Tensor, p: State, name: str) -> Tensor:
    def per_channel(field: str) -> Tensor:
        return p[f"{name}.{field}"][:, None, None]

    scale = per_channel("weight") / (per_channel("running_var") + 1e-5).sqrt()
    return (x - per_channel("running_mean")) * scale + per_channel("bias")


def conv(x: Tensor, p: State, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
    weight = p[f"{name}.weight"]
    reach = dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, p.get(f"{name}.bias"), stride, reach, dilation)


def enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, with the edges of the images aligned, by its formula."""
    for dim, target in zip((2, 3), size, strict=True):
        length = x.shape[dim]
        centres = (torch.arange(target, dtype=x.dtype) + 0.5) * length / target - 0.5
        centres = centres.clamp(0, length - 1)
        low = centres.floor().long()
        high = (low + 1).clamp(max=length - 1)
        share = (centres - low).reshape(-1, *[1] * (3 - dim))
        x = x.index_select(dim, low) * (1 - share) + x.index_select(dim, high) * share
    return x


def paper_encoder(
    p: State,
    image: Tensor,
    depths: Sequence[int],
    output_stride: int,
    multi_grid: Sequence[int],
    contract: bool,
) -> tuple[Tensor, dict[int, Tensor]]:
    x = torch.relu(norm(conv(image, p, "conv1", stride=2), p, "bn1"))
    skips = {2: x}
    x = F.max_pool2d(x, 3, 2, 1)
    reached, rate = 4, 1
    for stage, depth in enumerate(depths, start=1):
        stride, rate_before = 1, rate
        if stage > 1 and reached < output_stride:
            stride, reached = 2, reached * 2
        elif stage > 1:
            rate *= 2
        for block in range(depth):
            unit = multi_grid[block % len(multi_grid)] if stage == 4 else 1
            rates = [rate * unit, rate * unit]
            if block == 0 and contract:
                rates[0] = rate_before * unit
            name, y = f"layer{stage}.{block}", x
            s = stride if block == 0 else 1
            if f"{name}.conv3.weight" in p:
                y = torch.relu(norm(conv(y, p, f"{name}.conv1"), p, f"{name}.bn1"))
                y = conv(y, p, f"{name}.conv2", stride=s, dilation=rates[0])
                y = torch.relu(norm(y, p, f"{name}.bn2"))
                y = norm(conv(y, p, f"{name}.conv3"), p, f"{name}.bn3")
            else:
                y = conv(y, p, f"{name}.conv1", stride=s, dilation=rates[0])
                y = torch.relu(norm(y, p, f"{name}.bn1"))
                y = conv(y, p, f"{name}.conv2", dilation=rates[1])
                y = norm(y, p, f"{name}.bn2")
            if f"{name}.downsample.0.weight" in p:
                x = conv(x, p, f"{name}.downsample.0", stride=s)
                x = norm(x, p, f"{name}.downsample.1")
            x = torch.relu(x + y)
        skips.setdefault(reached, x)
    return x, skips


def paper(
    weights: State,
    image: Tensor,
    depths: Sequence[int],
    output_stride: int,
    rates: Sequence[int],
    multi_grid: Sequence[int] = (1,),
    contract: bool = True,
    levels: Sequence[DecoderLevel] = (),
) -> Tensor:
    def part(prefix: str) -> State:
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    x, skips = paper_encoder(part("encoder."), image, depths, output_stride, multi_grid, contract)

    p = part("aspp.")
    branches = [torch.relu(norm(conv(x, p, "branches.0.0"), p, "branches.0.1"))]
    for i, rate in enumerate(rates, start=1):
        y = conv(x, p, f"branches.{i}.0", dilation=rate)
        branches.append(torch.relu(norm(y, p, f"branches.{i}.1")))
    mean = x.mean(dim=(2, 3), keepdim=True)
    mean = torch.relu(norm(conv(mean, p, "branches.4.conv"), p, "branches.4.norm"))
    branches.append(enlarge(mean, x.shape[2:]))
    x = torch.relu(norm(conv(torch.cat(branches, 1), p, "project.0"), p, "project.1"))

    p = part("decoder.")
    for i, level in enumerate(level for level in levels if level.stride < output_stride):
        skip = skips[level.stride]
        x = enlarge(x, skip.shape[2:])
        if level.skip:
            name = f"levels.{i}.project"
            x = torch.cat([x, torch.relu(norm(conv(skip, p, f"{name}.0"), p, f"{name}.1"))], 1)
        for j in range(level.convs):
            name = f"levels.{i}.convs.{j}"
            x = torch.relu(norm(conv(x, p, f"{name}.0"), p, f"{name}.1"))
    return enlarge(conv(x, p, "classifier"), image.shape[2:])


def original(p: State, image: Tensor) -> Tensor:
    """The predecessor: ResNet-18 at output stride 8, every convolution of the head with a bias."""

    def block(x: Tensor, name: str, stride: int, dilation: int) -> Tensor:
        y = F.conv2d(x, p[f"{name}.conv1.weight"], None, stride, dilation, dilation)
        y = F.relu(bn(y, f"{name}.bn1"))
        y = F.conv2d(y, p[f"{name}.conv2.weight"], None, 1, dilation, dilation)
        y = bn(y, f"{name}.bn2")
        if f"{name}.downsample.0.weight" in p:
            x = bn(
                F.conv2d(x, p[f"{name}.downsample.0.weight"], None, stride), f"{name}.downsample.1"
            )
        return F.relu(y + x)

    def bn(x: Tensor, name: str) -> Tensor:
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"])

    def head(x: Tensor, name: str, dilation: int = 0) -> Tensor:
        weight, bias = p[f"{name}.conv.weight"], p[f"{name}.conv.bias"]
        return F.relu(bn(F.conv2d(x, weight, bias, 1, dilation, max(dilation, 1)), f"{name}.bn"))

    x = F.relu(bn(F.conv2d(image, p["conv1.weight"], None, 2, 3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, stride, dilation in ((1, 1, 1), (2, 2, 1), (3, 1, 2), (4, 1, 4)):
        x = block(x, f"layer{stage}.0", stride, dilation)
        x = block(x, f"layer{stage}.1", 1, dilation)
    size = x.shape[2:]
    pooled = head(F.adaptive_avg_pool2d(x, 1), "pool")
    pyramid = (
        head(x, "one"),
        head(x, "three_6", 6),
        head(x, "three_12", 12),
        head(x, "three_18", 18),
        F.interpolate(pooled, size=size, mode="bilinear", align_corners=False),
    )
    x = head(torch.cat(pyramid, 1), "mix")
    x = F.conv2d(x, p["classes.weight"], p["classes.bias"])
    return F.interpolate(x, size=image.shape[2:], mode="bilinear", align_corners=False)


# Where the original's head is in ours: its name -> our convolution, our norm.
HEAD = {
    "one": ("aspp.branches.0.0", "aspp.branches.0.1"),
    "three_6": ("aspp.branches.1.0", "aspp.branches.1.1"),
    "three_12": ("aspp.branches.2.0", "aspp.branches.2.1"),
    "three_18": ("aspp.branches.3.0", "aspp.branches.3.1"),
    "pool": ("aspp.branches.4.conv", "aspp.branches.4.norm"),
    "mix": ("aspp.project.0", "aspp.project.1"),
}
ORIGINAL = ModelConfig(
    encoder=EncoderConfig(name="resnet18", output_stride=8, contract_dilation=False),
    aspp=AsppConfig(rates=(6, 12, 18), channels=256, dropout=0),
)
# By hand: stem, then per stage the first block (with its 1x1 shortcut) and the second, with two
# parameters per channel and norm; then the head's convolutions with their biases, six norms, and
# the classifier.
ORIGINAL_PARAMETERS = (
    (3 * 49 * 64 + 2 * 64)
    + 4 * (64 * 64 * 9 + 2 * 64)
    + (64 * 128 * 9 + 3 * 128 * 128 * 9 + 64 * 128 + 5 * 2 * 128)
    + (128 * 256 * 9 + 3 * 256 * 256 * 9 + 128 * 256 + 5 * 2 * 256)
    + (256 * 512 * 9 + 3 * 512 * 512 * 9 + 256 * 512 + 5 * 2 * 512)
    + 2 * (512 * 256 + 256)
    + 3 * (512 * 256 * 9 + 256)
    + (1280 * 256 + 256)
    + 6 * 2 * 256
    + (256 * 5 + 5)
)


def test_the_originals_network_is_a_configuration_of_this_one(
    unsettle: Callable[..., None],
) -> None:
    torch.manual_seed(0)
    model = build_model(ORIGINAL).double().eval()
    unsettle(model)
    ours = model.state_dict()

    theirs = {k.removeprefix("encoder."): v for k, v in ours.items() if k.startswith("encoder.")}
    theirs |= {"classes.weight": ours["decoder.classifier.weight"]}
    theirs |= {"classes.bias": ours["decoder.classifier.bias"]}
    for name, (our_conv, our_norm) in HEAD.items():
        bias = torch.randn(256, dtype=torch.double)
        theirs[f"{name}.conv.weight"] = ours[f"{our_conv}.weight"]
        theirs[f"{name}.conv.bias"] = bias
        for field in ("weight", "bias", "running_mean", "running_var"):
            theirs[f"{name}.bn.{field}"] = ours[f"{our_norm}.{field}"].clone()
        ours[f"{our_norm}.running_mean"] -= bias  # the norm takes the bias away again
    model.load_state_dict(ours)

    image = torch.randn(2, 3, 65, 97, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(model(image), original(theirs, image), rtol=1e-10, atol=1e-10)


def test_it_has_the_originals_parameters_less_six_biases_that_the_norms_cancel() -> None:
    assert ORIGINAL_PARAMETERS == 15_311_173
    count = sum(p.numel() for p in build_model(ORIGINAL).parameters())
    assert count == ORIGINAL_PARAMETERS - 6 * 256


@pytest.mark.parametrize(
    ("encoder", "stride", "decoder", "rates", "multi_grid", "contract", "width"),
    [
        ("resnet18", 8, "bilinear", (2, 4, 6), (1,), True, 1),
        ("resnet18", 8, "gradual", (12, 24, 36), (1, 2, 4), False, 1),
        ("resnet18", 16, "gradual", (1, 2, 3), (1, 2, 4), True, 1),
        ("resnet18", 32, "bilinear", (1, 2, 3), (2, 1), True, 1),
        ("resnet18", 32, "gradual", (1, 2, 3), (1,), True, 0.5),
        ("resnet50", 8, "gradual", (2, 4, 6), (1, 2, 4), True, 1),
        ("resnet50", 16, "bilinear", (1, 2, 3), (1, 2, 4), False, 0.25),
        ("resnet50", 32, "gradual", (1, 2, 3), (2, 1), True, 1),
    ],
)
@torch.no_grad()
def test_logits_are_the_papers(
    unsettled: Build,
    narrow_levels: tuple[DecoderLevel, ...],
    encoder: str,
    stride: int,
    decoder: str,
    rates: tuple[int, int, int],
    multi_grid: tuple[int, ...],
    contract: bool,
    width: float,
) -> None:
    model = unsettled(
        encoder, stride, decoder,
        multi_grid=multi_grid, contract_dilation=contract, rates=rates, width=width,
    ).double()  # fmt: skip
    image = torch.randn(2, 3, 49, 69, dtype=torch.double)
    expected = paper(
        model.state_dict(),
        image,
        DEPTHS[encoder],
        stride,
        rates,
        multi_grid,
        contract,
        narrow_levels if decoder == "gradual" else (),
    )
    torch.testing.assert_close(model(image), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 96), (65, 97)])
@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("decoder", ["bilinear", "gradual", "mlp"])
@torch.no_grad()
def test_logits_have_the_images_size_whatever_it_is(
    unsettled: Build, size: tuple[int, int], stride: int, decoder: str
) -> None:
    logits = unsettled("resnet18", stride, decoder)(torch.rand(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("size", [(31, 64), (64, 31)])
def test_an_image_below_32_pixels_is_an_error_that_says_so(
    unsettled: Build, size: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} .* 32x32 and up"):
        unsettled("resnet18", 8, "bilinear")(torch.rand(1, 3, *size))


@pytest.mark.parametrize("decoder", ["bilinear", "gradual", "mlp"])
@pytest.mark.parametrize("batch", [1, 2])
def test_training_reaches_every_parameter(unsettled: Build, decoder: str, batch: int) -> None:
    model = unsettled("resnet18", 16, decoder).train()
    model(torch.rand(batch, 3, 65, 97)).square().mean().backward()
    still = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_as_many_classes_as_asked_for() -> None:
    assert build_model(ModelConfig(num_classes=6))(torch.rand(2, 3, 32, 32)).shape[1] == 6


def test_coarse_logits_are_those_that_forward_enlarges() -> None:
    for decoder, stride in (
        (DecoderConfig(name="bilinear"), 8),
        (DecoderConfig(name="gradual"), 2),
        (DecoderConfig(name="mlp", channels=16), 4),
    ):
        model = build_model(ModelConfig(decoder=decoder)).eval()
        image = torch.randn(1, 3, 64, 96)
        with torch.no_grad():
            coarse = model.coarse_logits(image)
            assert coarse.shape == (1, 5, 64 // stride, 96 // stride)
            assert torch.allclose(enlarge(coarse, (64, 96)), model(image), atol=1e-5)
