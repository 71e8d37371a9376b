"""timm's encoders in the whole network: every kind of them, at odd sizes, trained and exported."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dashseg.config import AsppConfig, DecoderConfig, EncoderConfig, InputConfig, ModelConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter, load, save_model
from dashseg.inference.calibration import Frames
from dashseg.inference.export import ExportPlan, export_model
from dashseg.labels import COMMA10K
from dashseg.models import DeepLabV3, build_model
from dashseg.models.encoders import build_encoder

pytestmark = pytest.mark.usefixtures("timm")

DINOV2 = "vit_small_patch14_dinov2"
# Name, its output strides, strides of its skips at the largest.
TESTED: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = [
    ("mobilenetv4_conv_small", (8, 16, 32), (2, 4, 8, 16)),
    ("mobilenetv4_conv_medium", (8, 16, 32), (2, 4, 8, 16)),
    ("hgnetv2_b0", (32,), (4, 8, 16)),
    ("hgnetv2_b1", (32,), (4, 8, 16)),
    ("convnext_atto", (8, 16, 32), (4, 8, 16)),
    ("efficientnet_b0", (8, 16, 32), (2, 4, 8, 16)),
    ("efficientnet_b2", (8, 16, 32), (2, 4, 8, 16)),
    ("regnety_004", (8, 16, 32), (2, 4, 8, 16)),
    ("resnet18", (8, 16, 32), (2, 4, 8, 16)),
    ("pvt_v2_b0", (32,), (4, 8, 16)),
    (DINOV2, (16,), (2, 4, 8)),
]
SKIPS = {name: skips for name, _, skips in TESTED}
# One of each family: the others are built by the same code.
FAMILIES = [
    each for each in TESTED
    if each[0] not in ("mobilenetv4_conv_medium", "hgnetv2_b1", "efficientnet_b2")
]  # fmt: skip
WHOLE_MULTIPLES = {"convnext_atto": 32, DINOV2: 14}  # that images are resized to
EVERY = [(name, strides[-1]) for name, strides, _ in TESTED] + [
    (name, 8)  # of each family that can be dilated
    for name in ("mobilenetv4_conv_small", "convnext_atto", "efficientnet_b0", "regnety_004")
]
# Registers; rotary positions; both; patches of 32 pixels; windows, whose maps are channels last.
FURTHER = [
    ("vit_small_patch14_reg4_dinov2", 16), ("vit_small_patch16_dinov3", 16),
    ("eva02_tiny_patch14_224", 16), ("swin_tiny_patch4_window7_224", 32),
]  # fmt: skip


def config(name: str, stride: int, decoder: str = "gradual") -> ModelConfig:
    return ModelConfig(
        input=InputConfig(size=(64, 96)),
        encoder=EncoderConfig(name=f"timm/{name}", output_stride=stride),  # type: ignore[arg-type]
        aspp=AsppConfig(channels=16),
        decoder=DecoderConfig(name=decoder),  # type: ignore[arg-type]
    )


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., tuple[DeepLabV3, Path]]:
    """saved(name, stride) -> a network in eval mode, and its model directory."""

    def save(name: str, stride: int) -> tuple[DeepLabV3, Path]:
        torch.manual_seed(0)
        network = build_model(config(name, stride)).eval()
        folder = tmp_path / name
        save_model(folder, network.state_dict(), config(name, stride), COMMA10K)
        return network, folder

    return save


@pytest.mark.parametrize(("name", "stride"), EVERY + FURTHER)
def test_features_and_skips_have_the_sizes_promised_and_all_weights_learn(
    name: str, stride: int
) -> None:
    torch.manual_seed(0)
    network = build_model(config(name, stride))
    encoder: Any = network.encoder
    height, width = 33, 65  # one more than multiples of 32
    image = torch.randn(2, 3, height, width)
    features, skips = encoder(image)
    step = WHOLE_MULTIPLES.get(name) or int(getattr(encoder, "patch", 32 if "swin" in name else 1))
    whole = -(-height // step) * step, -(-width // step) * step
    own = getattr(encoder, "patch", stride)  # of a plain ViT, 14 counts as 16
    assert features.shape == (2, encoder.out_channels, *(-(-side // own) for side in whole))
    assert encoder.skip_channels == {at: skip.shape[1] for at, skip in skips.items()}
    assert [*skips] == [at for at in SKIPS.get(name, [*skips]) if at < stride]
    for at, skip in skips.items():
        assert skip.shape[2:] == tuple(-(-side // at) for side in whole)
    logits = network(image)
    assert logits.shape == (2, 5, height, width)
    logits.square().mean().backward()
    assert not [key for key, p in network.named_parameters() if p.grad is None]


@pytest.mark.parametrize(("name", "strides", "skips"), FAMILIES)
def test_skips_are_those_below_the_output_stride_and_other_strides_are_refused(
    name: str, strides: tuple[int, ...], skips: tuple[int, ...]
) -> None:
    for stride in (8, 16, 32):
        wanted = EncoderConfig(name=f"timm/{name}", output_stride=stride)
        with torch.device("meta"):  # shapes say it all
            if stride in strides:
                encoder = build_encoder(wanted, (2, 4, 8, 16))
                assert list(encoder.skip_channels) == [s for s in skips if s < stride]
                continue
            with pytest.raises(
                InputError, match=f"set model.encoder.output_stride to {strides[-1]}"
            ):
                build_encoder(wanted)


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "maxvit_tiny_tf_224", "levit_128"])
def test_an_encoder_that_cannot_take_any_size_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="size"):
        build_encoder(EncoderConfig(name=f"timm/{name}", output_stride=32))


@torch.no_grad()
def test_a_plain_vit_sees_as_timms_own_does_at_the_size_it_was_made_for(timm: Any) -> None:
    encoder: Any = build_encoder(EncoderConfig(name="timm/vit_tiny_patch16_224", output_stride=16))
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    state = theirs.state_dict()
    positions = state.pop("pos_embed")
    state["cls_token"] = state["cls_token"] + positions[:, :1]  # where ours keeps it
    grid = positions[:, 1:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    state["patch_embed.position"] = grid
    for part in ("weight", "bias"):
        state[f"patch_embed.patches.proj.{part}"] = state.pop(f"patch_embed.proj.{part}")
    encoder.network.load_state_dict(state)
    image = torch.randn(1, 3, 224, 224)
    tokens = theirs.forward_features(image)[:, 1:]  # without the class token
    features, _ = encoder.eval()(image)
    torch.testing.assert_close(features.flatten(2).transpose(1, 2), tokens)


@pytest.mark.parametrize(
    "name", ["mobilenetv4_conv_small", "vit_tiny_patch16_224", "vit_small_patch16_dinov3"]
)
@torch.no_grad()
def test_a_model_directory_gives_the_same_network(
    saved: Callable[..., tuple[DeepLabV3, Path]], name: str
) -> None:
    network, folder = saved(name, 16)
    loaded = load(folder, device="cpu")
    image = torch.randn(1, 3, 33, 65)
    torch.testing.assert_close(loaded.network(image), network(image))
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        torch.testing.assert_close(other(image), network(image))


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
def test_buffers_that_no_file_holds_are_computed_on_load(
    saved: Callable[..., tuple[DeepLabV3, Path]], name: str
) -> None:
    network, folder = saved(name, 32)
    found = dict(load(folder, device="cpu").network.named_buffers())
    expected = dict(network.named_buffers())
    assert expected.keys() - network.state_dict().keys()  # there are some
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


def frame(seed: int, size: tuple[int, int] = (101, 147)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def logits(segmenter: Segmenter, size: tuple[int, int]) -> Tensor:
    return torch.as_tensor(segmenter.runtime(frame(0, size)[None]))


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("mobilenetv4_conv_small", "onnx"),
        ("convnext_atto", "openvino"),
        ("hgnetv2_b0", "openvino"),
        (DINOV2, "onnx"),
    ],
)
def test_an_exported_file_of_dynamic_size_gives_the_same_logits(
    saved: Callable[..., tuple[DeepLabV3, Path]], tmp_path: Path, name: str, format: str
) -> None:
    pytest.importorskip("onnx")
    segmenter = load(saved(name, 16 if name == DINOV2 else 32)[1], device="cpu")
    export_model(segmenter, tmp_path / "out", ExportPlan(format), lambda _: {})
    exported = load(tmp_path / "out", device="cpu")
    for size in ((101, 147), (64, 96)):
        expected = logits(segmenter, size)
        scale = expected.abs().max().item()
        torch.testing.assert_close(logits(exported, size), expected, rtol=0, atol=1e-4 * scale)


def test_int8_is_near_the_network(
    saved: Callable[..., tuple[DeepLabV3, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setattr("dashseg.inference.quantisation.delicate_layers", lambda _: {})
    segmenter = load(saved("mobilenetv4_conv_small", 32)[1], device="cpu")
    plan = ExportPlan("openvino", "int8", (64, 96))
    frames = Frames(lambda seed: frame(seed, (64, 96)), 8)
    export_model(segmenter, tmp_path / "out", plan, lambda _: {}, frames)
    expected, found = (
        logits(each, (64, 96)) for each in (segmenter, load(tmp_path / "out", device="cpu"))
    )
    assert (found - expected).square().mean().sqrt() < 0.35 * expected.std()


def test_layers_to_freeze_are_those_of_the_published_strides() -> None:
    def built(name: str) -> Any:
        with torch.device("meta"):
            return build_encoder(EncoderConfig(name=f"timm/{name}", output_stride=16))

    for name, per_stride in {
        "mobilenetv4_conv_small": {4: "blocks.0", 16: "blocks.2"},
        "resnet18": {4: "layer1", 16: "layer3"},
        "convnext_atto": {4: "stages_0", 32: "stages_3"},
    }.items():
        encoder = built(name)
        for stride, last in per_stride.items():
            assert encoder.layers_to(stride)[-1] is encoder.network.get_submodule(last)
    vit = built(DINOV2)
    assert vit.layers_to(16) == [vit.network]
    with pytest.raises(InputError, match=r"set optimizer\.frozen_stride to 16"):
        vit.layers_to(8)
