"""Published weights load from files and from the hub, whole or not at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dashseg.config import EncoderConfig, ModelConfig
from dashseg.errors import InputError
from dashseg.models import build_model, load_encoder_weights
from dashseg.models.resnet import ResNet

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def published() -> State:
    """What torchvision would publish for its ResNet-18: an encoder's parameters and `fc`."""
    torch.manual_seed(1)
    return {
        **ResNet("resnet18").state_dict(),
        "fc.weight": torch.rand(1000, 512),
        "fc.bias": torch.rand(1000),
    }


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of `timm/resnet18.test`, as the hub's cache keeps them, with the network off."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--timm--resnet18.test"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    files = repo / "snapshots" / commit
    files.mkdir(parents=True)
    return files


def assert_loaded(encoder: ResNet, published: State) -> None:
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, published[name]), name


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
def test_a_file_loads_without_its_classifier(tmp_path: Path, published: State, suffix: str) -> None:
    path = tmp_path / f"resnet18{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(published, path)
    encoder = ResNet("resnet18")
    load_encoder_weights(encoder, str(path))
    assert_loaded(encoder, published)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_training_scripts_checkpoint_loads(tmp_path: Path, published: State, key: str) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 90, key: published}, path)
    encoder = ResNet("resnet18")
    load_encoder_weights(encoder, str(path))
    assert_loaded(encoder, published)


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.module.", "module.encoder."])
def test_an_encoder_within_a_network_loads_without_the_rest(
    tmp_path: Path, published: State, prefix: str
) -> None:
    network = {prefix + name: value for name, value in published.items()}
    path = tmp_path / "network.pth"
    torch.save({"state_dict": network | {"decode_head.weight": torch.rand(3)}}, path)
    encoder = ResNet("resnet18")
    load_encoder_weights(encoder, str(path))
    assert_loaded(encoder, published)


def test_a_dashseg_models_encoder_loads(tmp_path: Path) -> None:
    trained = build_model(ModelConfig())
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    encoder = ResNet("resnet18")
    load_encoder_weights(encoder, str(tmp_path / "model.safetensors"))
    assert_loaded(encoder, trained.encoder.state_dict())


@pytest.mark.parametrize(
    "value",
    [
        torch.full((64,), float("nan")),
        torch.full((64,), 1e300, dtype=torch.float64),
        torch.zeros(64, dtype=torch.complex64),
        torch.zeros(64, device="meta"),
        torch.zeros(64).to_sparse(),
    ],
    ids=["nan", "overflow", "complex", "meta", "sparse"],
)
def test_values_that_are_no_numbers_are_an_error_that_names_the_parameter(
    tmp_path: Path, published: State, value: torch.Tensor
) -> None:
    torch.save(published | {"bn1.weight": value}, tmp_path / "odd.pth")
    encoder = ResNet("resnet18")
    before = encoder.state_dict()["bn1.weight"].clone()
    with pytest.raises(InputError, match=r"odd\.pth: bn1\.weight holds NaN, infinity or no"):
        load_encoder_weights(encoder, str(tmp_path / "odd.pth"))
    assert torch.equal(encoder.state_dict()["bn1.weight"], before)


def test_names_that_are_no_text_are_an_error(tmp_path: Path, published: State) -> None:
    torch.save(published | {7: torch.zeros(1), "nested": {"a": {}}}, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=r"1 unexpected: 7$"):
        load_encoder_weights(ResNet("resnet18"), str(tmp_path / "odd.pth"))


def test_a_file_from_before_batches_were_tracked_loads(tmp_path: Path, published: State) -> None:
    old = {k: v for k, v in published.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "resnet18-5c106cde.pth")
    encoder = ResNet("resnet18")
    load_encoder_weights(encoder, str(tmp_path / "resnet18-5c106cde.pth"))
    assert_loaded(encoder, published)


def test_build_model_loads_the_weights_that_its_config_names(
    tmp_path: Path, published: State
) -> None:
    save_file(published, tmp_path / "weights.safetensors")
    weights = str(tmp_path / "weights.safetensors")
    model = build_model(ModelConfig(encoder=EncoderConfig(weights=weights)))
    assert isinstance(model.encoder, ResNet)
    assert_loaded(model.encoder, published)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("model.safetensors", "timm/resnet18.test"),
        ("pytorch_model.bin", "timm/resnet18.test"),
        ("older/best.safetensors", "timm/resnet18.test/older/best.safetensors"),
    ],
)
def test_a_hub_id_loads(hub: Path, published: State, file: str, source: str) -> None:
    path = hub / file
    path.parent.mkdir(exist_ok=True)
    (save_file if path.suffix == ".safetensors" else torch.save)(published, path)
    encoder = ResNet("resnet18")
    load_encoder_weights(encoder, source)
    assert_loaded(encoder, published)


@pytest.mark.parametrize("file", ["../../x.bin", "a/../../../x.bin", "..", "/etc/x.bin"])
def test_a_hub_file_outside_its_repository_is_never_asked_for(hub: Path, file: str) -> None:
    (hub.parent / "x.bin").write_bytes(b"of another repository")
    with pytest.raises(InputError, match="neither a file"):
        load_encoder_weights(ResNet("resnet18"), f"timm/resnet18.test/{file}")


@pytest.mark.usefixtures("hub")
def test_a_hub_id_out_of_reach_is_an_error_that_says_how_to_use_a_file() -> None:
    with pytest.raises(
        InputError, match=r"model\.safetensors or pytorch_model\.bin of 'timm/abse"
    ) as e:
        load_encoder_weights(ResNet("resnet18"), "timm/absent")
    assert "give the file's path" in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("source", ["weights/resnet18.pth", "./resnet18", "resnet18", "a b/c"])
def test_a_path_that_is_not_there_is_an_error_that_shows_what_would_be_right(source: str) -> None:
    with pytest.raises(InputError, match="is neither a file") as error:
        load_encoder_weights(ResNet("resnet18"), source)
    assert source in str(error.value)
    assert "org/name" in str(error.value)


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is neither a file"):
        load_encoder_weights(ResNet("resnet18"), str(tmp_path))


@pytest.mark.parametrize("name", ["notes.pth", "notes.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", bytes(range(256)) * 8])
def test_a_file_of_something_else_is_an_error_that_names_it(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a weights file") as error:
        load_encoder_weights(ResNet("resnet18"), str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [torch.rand(3), {"epoch": 3}, {"model": {}}])
def test_a_checkpoint_without_a_state_dict_is_an_error(tmp_path: Path, content: object) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match="holds no state dict"):
        load_encoder_weights(ResNet("resnet18"), str(path))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": Payload()}, protocol=2))
    with pytest.raises(InputError, match="is not a weights file"):
        load_encoder_weights(ResNet("resnet18"), str(path))
    assert not (tmp_path / "ran").exists()


def test_another_networks_weights_are_an_error_that_counts_and_names(tmp_path: Path) -> None:
    save_file(ResNet("resnet34").state_dict(), tmp_path / "resnet34.safetensors")
    encoder = ResNet("resnet18")
    before = encoder.get_parameter("conv1.weight").clone()
    with pytest.raises(InputError, match="does not fit resnet18: ") as error:
        load_encoder_weights(encoder, str(tmp_path / "resnet34.safetensors"))
    # 8 blocks more, each of 2 convolutions and 2 norms of 5 entries
    assert "96 unexpected: layer1.2.bn1.bias, " in str(error.value)
    assert str(error.value).endswith("and 86 more")
    assert torch.equal(encoder.get_parameter("conv1.weight"), before)


def test_missing_and_misshapen_weights_are_named(tmp_path: Path, published: State) -> None:
    broken = {k: v for k, v in published.items() if k != "layer2.0.conv1.weight"}
    broken["conv1.weight"] = torch.rand(64, 1, 7, 7)
    torch.save(broken, tmp_path / "broken.pth")
    with pytest.raises(InputError) as error:
        load_encoder_weights(ResNet("resnet18"), str(tmp_path / "broken.pth"))
    assert "1 missing: layer2.0.conv1.weight; " in str(error.value)
    assert "1 of another shape: conv1.weight (64, 1, 7, 7) for (64, 3, 7, 7)" in str(error.value)


def test_published_weights_fit_no_other_width(tmp_path: Path, published: State) -> None:
    torch.save(published, tmp_path / "resnet18.pth")
    with pytest.raises(InputError, match=r"conv1.weight \(64, 3, 7, 7\) for \(32, 3, 7, 7\)"):
        load_encoder_weights(ResNet("resnet18", width=0.5), str(tmp_path / "resnet18.pth"))
