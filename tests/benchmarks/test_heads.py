"""benchmarks/heads.py puts decoders of segmentation_models_pytorch (smp) behind our encoder."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from dashseg.config import load_recipe
from dashseg.models import build_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LITE = ["model.encoder.name=efficientnet_lite0", "model.aspp.channels=8"]


@pytest.fixture(scope="module")
def heads() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("heads")


@pytest.fixture
def smp(heads: Any, timm: Any) -> Any:
    if importlib.util.find_spec(heads.SMP) is None:
        pytest.skip("segmentation_models_pytorch is not installed; PYTHONPATH may name its folder")
    return importlib.import_module(heads.SMP)


def build(*changes: str) -> Any:
    return build_model(load_recipe("camvid11", [*LITE, *changes]).model).eval()


def test_unequal_encoders_are_noticed(heads: Any) -> None:
    torch.manual_seed(0)
    first = build("model.encoder.output_stride=16")
    torch.manual_seed(0)
    second = build("model.encoder.output_stride=32")
    heads.check_encoders({"first": first, "second": second})
    with torch.no_grad():
        second.encoder.conv_stem.weight[0, 0, 0, 0] += 1e-6
    with pytest.raises(AssertionError):
        heads.check_encoders({"first": first, "second": second})


def test_maps_that_smp_does_not_expect_are_noticed(heads: Any, smp: Any) -> None:
    with heads.network_of("unet"):
        network = build("model.encoder.output_stride=32")
    heads.check_shapes("unet", network)

    def enlarge(_: Any, given: Any) -> Any:  # smp's decoder resizes, and would not complain
        *fine, coarse, features = given[0]
        return ([*fine, functional.interpolate(coarse, scale_factor=2), features],)

    network.decoder.register_forward_pre_hook(enlarge)
    with pytest.raises(AssertionError, match="smp's decoder gets"):
        heads.check_shapes("unet", network)


def test_a_network_is_replaced_for_a_while_only(heads: Any, smp: Any) -> None:
    with heads.network_of("deeplabv3plus"):
        assert isinstance(build("model.encoder.output_stride=16"), heads.SmpNetwork)
    assert not isinstance(build("model.encoder.output_stride=16"), heads.SmpNetwork)


@torch.no_grad()
def test_with_equal_weights_our_encoder_and_smps_head_are_smps_unet(heads: Any, smp: Any) -> None:
    with heads.network_of("unet"):
        network = build("model.encoder.output_stride=32")
    own = heads.smp_model(heads.HEADS["unet"], 5, 32).eval()
    own.decoder.load_state_dict(network.decoder.decoder.state_dict())
    own.segmentation_head.load_state_dict(network.decoder.segmentation_head.state_dict())
    # The same layers in the same order, under other names.
    ours, theirs = network.encoder.state_dict().values(), own.encoder.state_dict()
    own.encoder.load_state_dict(dict(zip(theirs, ours, strict=True)))
    image = torch.randn(1, 3, 72, 100)
    torch.testing.assert_close(network(image), own(image), rtol=1e-4, atol=1e-4)
