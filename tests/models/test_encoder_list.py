from __future__ import annotations

from typing import Any

import pytest

from dashseg.errors import InputError
from dashseg.models.encoder_list import encoder_cost, encoder_names, families

pytestmark = pytest.mark.usefixtures("timm")


def test_all_names_are_ours_and_timms(timm: Any) -> None:
    names = encoder_names()
    assert names[:2] == ["resnet18", "resnet34"]
    assert len(names) == 5 + len(timm.list_models())


def test_a_pattern_finds_names_with_it_and_none_names_the_nearest() -> None:
    assert encoder_names("resnet18") == [
        "resnet18", "timm/legacy_seresnet18", "timm/resnet18", "timm/resnet18d",
        "timm/seresnet18", "timm/skresnet18",
    ]  # fmt: skip
    assert encoder_names("timm/hgnetv2_b?") == encoder_names("hgnetv2_b?")
    with pytest.raises(
        InputError, match=r"no encoder matches 'mobilnetv4_smal' \(nearest: timm/mobilenetv4"
    ):
        encoder_names("mobilnetv4_smal")


def test_families_are_named_before_the_first_underscore_or_number() -> None:
    names = ["resnet18", "resnet34", "timm/convnext_atto", "timm/convnext_base"]
    assert families(names) == {"resnet": names[:2], "timm/convnext": names[2:]}


def test_costs_are_those_that_papers_give() -> None:
    cost = encoder_cost("timm/resnet18", (224, 224))
    assert cost.parameters == 11_689_512 - 513_000  # torchvision's, less the classifier's
    assert cost.multiply_adds == pytest.approx(1.814e9 - 512_000, rel=0.002)  # torchvision's table
    vit = encoder_cost("timm/vit_small_patch16_224", (224, 224))
    assert vit.output_stride == 16
    assert vit.multiply_adds == pytest.approx(4.6e9, rel=0.02)  # Steiner et al., table of ViT-S/16


def test_what_cannot_be_used_says_why() -> None:
    cost = encoder_cost("timm/levit_128", (224, 224))
    assert cost.parameters is None and cost.problem and "size" in cost.problem
