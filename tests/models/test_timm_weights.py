"""Pretrained weights of timm encoders: from files, the hub's cache, a dashseg model, and none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dashseg.config import EncoderConfig
from dashseg.errors import InputError
from dashseg.models import load_encoder_weights
from dashseg.models.encoders import build_encoder
from dashseg.models.resnet import ResNet

pytestmark = pytest.mark.usefixtures("timm")


@pytest.fixture(scope="module")
def resnet18(timm: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of timm's whole ResNet-18, classifier included."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18")
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.2)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return path


def encoder(name: str, stride: Any = 32) -> Any:
    return build_encoder(EncoderConfig(name=f"timm/{name}", output_stride=stride)).eval()  # type: ignore[attr-defined]


@pytest.mark.parametrize("stride", [8, 16, 32])
@torch.no_grad()
def test_timms_resnet18_is_ours_with_the_same_weights(resnet18: Path, stride: int) -> None:
    theirs, ours = encoder("resnet18", stride), ResNet("resnet18", stride).eval()
    image = torch.randn(1, 3, 65, 97)
    results = []
    for each in (theirs, ours):
        load_encoder_weights(each, str(resnet18))
        results.append(each(image))
    (features, skips), (expected, expected_skips) = results
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert skips.keys() == expected_skips.keys()
    for stride, skip in expected_skips.items():
        torch.testing.assert_close(skips[stride], skip, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet34", "16 missing: layer1.2.conv1.weight"),
        ("mobilenetv4_conv_small", "size mismatch"),
        ("vit_tiny_patch16_224", "does not fit timm/vit_tiny_patch16_224"),
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(
    resnet18: Path, name: str, says: str
) -> None:
    other = encoder(name, 16)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(InputError, match=says):
        load_encoder_weights(other, str(resnet18))
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())


def test_weights_of_a_larger_network_are_refused(timm: Any, tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(InputError, match=r"96 unexpected: layer1\.2"):
        load_encoder_weights(encoder("resnet18"), str(tmp_path / "resnet34.pth"))


def test_a_file_with_nan_is_refused(resnet18: Path, tmp_path: Path) -> None:
    state = torch.load(resnet18, weights_only=True)
    state["layer1.0.conv1.weight"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"layer1\.0\.conv1\.weight holds NaN"):
        load_encoder_weights(encoder("resnet18"), str(tmp_path / "nan.pth"))


def test_the_encoder_of_a_dashseg_model_is_taken_as_it_is(tmp_path: Path) -> None:
    first, second = encoder("vit_tiny_patch16_224", 16), encoder("vit_tiny_patch16_224", 16)
    state = {f"encoder.{key}": value for key, value in first.state_dict().items()}
    save_file(state | {"decoder.classifier.bias": torch.zeros(5)}, tmp_path / "model.safetensors")
    load_encoder_weights(second, str(tmp_path / "model.safetensors"))
    for key, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[key], value)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which nothing can be downloaded from."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


def test_pretrained_weights_come_from_the_hubs_cache_without_network(
    resnet18: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    state = torch.load(resnet18, weights_only=True)
    repository = hub / "models--timm--resnet18.tv_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123")
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    save_file(state, snapshot / "model.safetensors")
    found = encoder("resnet18.tv_in1k")
    load_encoder_weights(found, "pretrained")
    name = "layer4.1.conv2.weight"
    assert torch.equal(found.network.state_dict()[name], state[name])


def test_no_hub_is_one_line_at_once(
    hub: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError) as caught:
        load_encoder_weights(encoder("resnet18.tv_in1k"), "pretrained")
    said = str(caught.value)
    assert said.startswith("encoder weights: those of timm/resnet18.tv_in1k cannot be downloaded")
    assert "give its path" in said and "\n" not in said
    assert "Retrying" not in caplog.text + capfd.readouterr().err
