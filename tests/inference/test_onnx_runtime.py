"""Somebody else's ONNX file: used with the classes given, refused with what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dashseg.errors import InputError
from dashseg.inference import load

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PALETTE = "classes: {red: '#ff0000', green: '#00ff00', blue: '#0000ff'}\n"


def write_model(path: Path, shape: Sequence[int | str], kind: str = "float") -> Path:
    """A network whose logits are its input, channels first."""
    element = onnx.TensorProto.UINT8 if kind == "uint8" else onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT)]
    if shape[-1] == 3:
        nodes.append(onnx.helper.make_node("Transpose", ["y"], ["z"], perm=[0, 3, 1, 2]))
    out = nodes[-1].output[0]
    graph = onnx.helper.make_graph(
        nodes,
        "passing_on",
        [onnx.helper.make_tensor_value_info("x", element, shape)],
        [onnx.helper.make_tensor_value_info(out, onnx.TensorProto.FLOAT, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


@pytest.fixture
def palette(tmp_path: Path) -> Path:
    (tmp_path / "palette.yaml").write_text(PALETTE)
    return tmp_path / "palette.yaml"


def test_without_classes_it_is_refused_and_says_what_is_missing(tmp_path: Path) -> None:
    file = write_model(tmp_path / "other.onnx", (1, 3, "h", "w"))
    with pytest.raises(InputError, match=r"not an export of dashseg.*--classes palette.yaml") as e:
        load(file)
    for missing in ("classes", "palette", "normalisation", "size rule"):
        assert missing in str(e.value)


def test_with_classes_a_float_network_sees_frames_normalised(tmp_path: Path, palette: Path) -> None:
    file = write_model(tmp_path / "other.onnx", (1, 3, "h", "w"))
    frame = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    result = load(file, classes=palette)(frame)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # ImageNet's
    expected = (frame / 255 - mean) / std
    assert np.allclose(result.logits, expected.transpose(2, 0, 1), atol=1e-4)
    assert np.array_equal(result.label, np.asarray(result.logits).argmax(0))
    assert result.classes.names == ("red", "green", "blue")


@pytest.mark.parametrize("shape", [(1, 3, 40, 56), (1, 40, 56, 3)])
def test_a_uint8_network_sees_frames_as_they_are_at_its_size(
    tmp_path: Path, palette: Path, shape: tuple[int, ...]
) -> None:
    segmenter = load(write_model(tmp_path / "other.onnx", shape, "uint8"), classes=palette)
    assert segmenter.runtime.size == (40, 56)
    frame = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    assert np.array_equal(segmenter(frame).logits, frame.transpose(2, 0, 1))
    assert segmenter(np.zeros((80, 100, 3), np.uint8)).label.shape == (80, 100)


def test_a_network_of_another_kind_is_an_error_that_says_what_it_takes(
    tmp_path: Path, palette: Path
) -> None:
    file = write_model(tmp_path / "other.onnx", (1, 1, "h", "w"))
    with pytest.raises(InputError, match=r"takes tensor\(float\) \[1, 1, 'h', 'w'\].*RGB frames"):
        load(file, classes=palette)


def test_other_classes_than_the_network_has_are_an_error(tmp_path: Path, palette: Path) -> None:
    palette.write_text("classes: {road: '#ff0000', car: '#00ff00'}\n")
    segmenter = load(write_model(tmp_path / "other.onnx", (1, 3, "h", "w")), classes=palette)
    with pytest.raises(InputError, match=r"gives \(1, 3, 40, 56\); expected \(B, 2, h, w\)"):
        segmenter(np.zeros((40, 56, 3), np.uint8))


def test_classes_are_refused_where_the_model_has_its_own(
    model_directory: Path, palette: Path
) -> None:
    with pytest.raises(InputError, match="carries its own classes: leave --classes out"):
        load(model_directory, classes=palette)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_of_one_batch_size_takes_any_number_of_frames(
    tmp_path: Path, palette: Path, batch: int
) -> None:
    file = write_model(tmp_path / "other.onnx", (batch, 40, 56, 3), "uint8")
    segmenter = load(file, classes=palette)
    frames = list(np.random.default_rng(0).integers(0, 256, (6, 40, 56, 3), np.uint8))
    assert np.array_equal(segmenter(frames[0]).logits, frames[0].transpose(2, 0, 1))
    for size in (1, 3, 4, 6):
        for result, frame in zip(segmenter.many(frames, size), frames, strict=True):
            assert np.array_equal(result.logits, frame.transpose(2, 0, 1))


def test_the_palette_says_how_a_network_takes_frames(tmp_path: Path, palette: Path) -> None:
    file = write_model(tmp_path / "other.onnx", (1, 3, "h", "w"))
    rule = (
        "size: [40, 64], resize: squash, channels: bgr, mean: [0.1, 0.2, 0.3], std: [1, 0.5, 0.25]"
    )
    palette.write_text(f"{PALETTE}\ninput: {{{rule}}}\n")
    frame = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    result = load(file, classes=palette)(frame)
    expected = (frame[..., ::-1] / 255 - np.array([0.1, 0.2, 0.3])) / np.array([1, 0.5, 0.25])
    assert np.allclose(result.logits, expected.transpose(2, 0, 1), atol=1e-4)
    assert load(file, classes=palette)(np.zeros((80, 100, 3), np.uint8)).logits.shape == (3, 40, 64)


@pytest.mark.parametrize(
    ("shape", "kind", "rule", "match"),
    [
        ((1, 3, 40, 56), "float", "size: [40, 64]", r"40x56 only: input.size is \[40, 56\]"),
        ((1, 3, 40, 56), "float", "resize: fit", "input.resize is squash"),
        ((1, 3, "h", "w"), "uint8", "mean: [0, 0, 0]", "leave mean and std out"),
        ((1, 3, "h", "w"), "float", "mean: 0", "input.mean"),
        ((1, 3, "h", "w"), "float", "sise: [40, 56]", "sise"),
    ],
)
def test_an_input_that_does_not_fit_the_network_is_an_error(
    tmp_path: Path, palette: Path, shape: tuple[int | str, ...], kind: str, rule: str, match: str
) -> None:
    palette.write_text(f"{PALETTE}\ninput: {{{rule}}}\n")
    with pytest.raises(InputError, match=match):
        load(write_model(tmp_path / "other.onnx", shape, kind), classes=palette)
