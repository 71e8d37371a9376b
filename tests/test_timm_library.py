from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashseg.errors import InputError
from dashseg.timm_library import architecture, published_normalisation

IMPORT = """
from dashseg.timm_library import import_timm
try:
    import_timm()
except Exception as error:
    print(type(error).__name__, error)
"""


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
    missing: str, tmp_path: Path, forks: Any
) -> None:
    code = f"import sys\nsys.modules['{missing}'] = None\n{IMPORT}"
    printed = forks.run("-c", code, cwd=tmp_path).stdout
    assert printed.startswith("InputError") and printed.count("\n") == 1
    assert f"need the package {missing}" in printed and "pip install timm torchvision" in printed


def test_torchvision_without_its_operators_is_one_line(tmp_path: Path, forks: Any) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    message = "operator torchvision::nms does not exist"
    (package / "__init__.py").write_text(f"raise RuntimeError('{message}')")
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{IMPORT}"
    printed = forks.run("-c", code, cwd=tmp_path).stdout
    assert printed.startswith("InputError timm cannot be imported") and printed.count("\n") == 1
    assert message in printed and "install torchvision from the same place" in printed
