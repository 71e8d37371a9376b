from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashseg.errors import InputError
from dashseg.timm_library import architecture, import_timm, published_normalisation


@pytest.fixture
def unimported(timm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """timm and torchvision are imported anew, in this test alone."""
    with monkeypatch.context() as context:
        kept = dict(sys.modules)
        for name in kept:
            if name.partition(".")[0] in ("timm", "torchvision"):
                context.delitem(sys.modules, name)
        yield context
        for name in sys.modules.keys() - kept.keys():
            del sys.modules[name]


def test_a_wrong_name_is_answered_with_the_nearest(timm: Any) -> None:
    with pytest.raises(
        InputError, match=r"no encoder 'mobilnetv4_conv_smal' \(nearest: mobilenetv4_conv_small,"
    ):
        architecture("timm/mobilnetv4_conv_smal")


def test_a_wrong_tag_is_answered_with_those_that_there_are(timm: Any) -> None:
    assert architecture("timm/resnet18.tv_in1k") == "resnet18.tv_in1k"
    with pytest.raises(InputError, match=r"no weights 'tv' of resnet18: it has .*tv_in1k"):
        architecture("timm/resnet18.tv")


def test_the_normalisation_is_that_of_the_tag(timm: Any) -> None:
    half = (0.5, 0.5, 0.5)
    assert published_normalisation("timm/vit_base_patch16_224.augreg_in1k") == (half, half)
    mean, std = published_normalisation("timm/vit_base_patch16_224.mae")
    assert mean == (0.485, 0.456, 0.406) and std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("missing", ["timm", "torchvision"])
def test_a_missing_package_is_one_line_that_says_what_to_install(
    missing: str, unimported: pytest.MonkeyPatch
) -> None:
    unimported.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=f"need the package {missing},") as caught:
        import_timm()
    assert "pip install timm torchvision" in str(caught.value)


def test_torchvision_without_its_operators_is_one_line(
    tmp_path: Path, unimported: pytest.MonkeyPatch
) -> None:
    message = "operator torchvision::nms does not exist"
    (tmp_path / "torchvision.py").write_text(f"raise RuntimeError('{message}')")
    unimported.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="timm cannot be imported: torchvision does not") as caught:
        import_timm()
    said = str(caught.value)
    assert message in said and "install torchvision from the same place" in said
    assert "\n" not in said
