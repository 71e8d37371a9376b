"""Exported files that are not what was exported, and networks that give no numbers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dashseg.config import InputConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter, load
from dashseg.inference.description import KEY, Description
from dashseg.labels import COMMA10K

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

FRAME = np.full((40, 56, 3), 100, np.uint8)
IMAGE = ["b", "h", "w", 3]


def write(
    path: Path, image: Any, channels: int = 5, kind: str = "UINT8", more: str = "", value: float = 1
) -> Path:
    """A file that says it is an export: `image` -> its channels times a matrix."""
    helper, types = onnx.helper, onnx.TensorProto
    matrix = onnx.numpy_helper.from_array(np.full((3, channels), value, np.float32), "matrix")
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=types.FLOAT),
        helper.make_node("MatMul", ["float", "matrix"], ["last"]),
        helper.make_node("Transpose", ["last"], ["logits"], perm=[0, 3, 1, 2]),
    ]
    if more == "rank":
        nodes[2] = helper.make_node("Flatten", ["last"], ["logits"])
    inputs = [helper.make_tensor_value_info("image", getattr(types, kind), image)]
    if more == "input":
        inputs.append(helper.make_tensor_value_info("second", types.FLOAT, [1]))
    names = ["logits", "last"] if more == "output" else ["logits"]
    outputs = [helper.make_tensor_value_info(name, types.FLOAT, None) for name in names]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [matrix])
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    rule = InputConfig(size=(40, 56))
    helper.set_model_props(model, {KEY: Description(COMMA10K, rule, "fp32").to_json()})
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("image", "options", "found"),
    [
        (IMAGE, {"channels": 9}, "gives float32 (free, 9, free, free)"),
        (IMAGE, {"kind": "FLOAT"}, "takes float32 (free, free, free, 3)"),
        (IMAGE, {"more": "input"}, "float32 (1)"),
        (IMAGE, {"more": "output"}, "free), float32"),
        (IMAGE, {"more": "rank"}, "gives float32 (free, free)"),
        ([1, "h", "w", 3], {}, "takes uint8 (1, free, free, 3)"),
        (["b", 32, 32, 3], {}, "takes uint8 (free, 32, 32, 3)"),
        (["b", 40, "w", 3], {}, "takes uint8 (free, 40, free, 3)"),
    ],
)
def test_a_graph_of_another_signature_is_an_error_that_shows_it(
    tmp_path: Path, image: list[Any], options: dict[str, Any], found: str
) -> None:
    path = write(tmp_path / "odd.onnx", image, **options)
    with pytest.raises(InputError, match=re.escape(found)) as error:
        load(path, device="cpu")
    assert "odd.onnx: its graph is not what dashseg exported" in str(error.value)


def test_the_right_signature_opens(tmp_path: Path) -> None:
    result = load(write(tmp_path / "right.onnx", IMAGE), device="cpu")(FRAME)
    assert result.logits.shape == (5, 40, 56) and float(result.logits[0, 0, 0]) == 300


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_no_numbers_are_an_error(tmp_path: Path, value: float) -> None:
    segmenter = load(write(tmp_path / "odd.onnx", IMAGE, value=value), device="cpu")
    with pytest.raises(InputError, match=r"odd\.onnx: the network gives NaN or infinity"):
        segmenter(FRAME)
    with pytest.raises(InputError, match="NaN or infinity"):
        list(segmenter.many([FRAME, FRAME]))


def test_logits_of_other_classes_are_an_error(segmenter: Segmenter) -> None:
    class Odd:
        name, size, precision, parallel = "odd", None, "fp32", 1

        def __call__(self, frames: Any) -> torch.Tensor:
            return torch.zeros(len(frames), 4, 5, 7)

    odd = Segmenter(Odd(), segmenter.input, segmenter.classes, "odd")
    with pytest.raises(InputError, match=r"odd: the network gives \(1, 4, 5, 7\); expected"):
        odd(FRAME)


@pytest.fixture
def openvino_export(exported: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported("openvino"), tmp_path / "export"))


def change(folder: Path, pattern: str, by: str) -> None:
    file = folder / "model.xml"
    text, count = re.subn(pattern, by, file.read_text())
    assert count
    file.write_text(text)


def test_a_graph_that_ends_the_process_is_an_error(openvino_export: Path) -> None:
    change(openvino_export, r'strides="[^"]*"', f'strides="{2**40}, {2**40}"')  # SIGFPE
    with pytest.raises(InputError, match=r"model\.xml: damaged or changed after its export"):
        load(openvino_export, device="cpu")


def test_what_was_not_changed_is_not_tried_first(
    openvino_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.run", refuse)
    load(openvino_export, device="cpu")
    weights = openvino_export / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    with pytest.raises(AssertionError, match="a process was started"):
        load(openvino_export, device="cpu")
