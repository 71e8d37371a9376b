"""Concatenations between 8-bit layers: in 8 bits too, with the same values."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from dashseg.inference.onnx_concat import quantise_concatenations  # noqa: E402


def joined(scales: tuple[float, float]) -> Any:
    """Two float inputs, each in 8 bits and back, the second repeated, joined and doubled."""
    make = onnx.helper.make_node
    constants = [onnx.numpy_helper.from_array(np.array([1, 2, 3, 4]), "shape")]
    constants += [onnx.numpy_helper.from_array(np.float32(2), "two")]
    nodes = []
    for name, scale in zip("ab", scales, strict=True):
        constants += [
            onnx.numpy_helper.from_array(np.float32(scale), f"{name} scale"),
            onnx.numpy_helper.from_array(np.uint8(7), f"{name} zero"),
        ]
        how = [f"{name} scale", f"{name} zero"]
        nodes.append(make("QuantizeLinear", [name, *how], [f"{name} quantised"]))
        nodes.append(make("DequantizeLinear", [f"{name} quantised", *how], [f"{name} back"]))
    nodes.append(make("Expand", ["b back", "shape"], ["b wide"]))
    nodes.append(make("Concat", ["a back", "b wide"], ["joined"], axis=1))
    nodes.append(make("Mul", ["joined", "two"], ["out"]))
    kind = onnx.TensorProto.FLOAT
    inputs = [
        onnx.helper.make_tensor_value_info("a", kind, [1, 1, 3, 4]),
        onnx.helper.make_tensor_value_info("b", kind, [1, 1, 1, 1]),
    ]
    outputs = [onnx.helper.make_tensor_value_info("out", kind, [1, 3, 3, 4])]
    graph = onnx.helper.make_graph(nodes, "joined", inputs, outputs, constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])


def test_what_comes_out_is_in_eight_bits_and_of_the_same_value() -> None:
    before = joined((0.1, 0.1))
    after = copy.deepcopy(before)
    quantise_concatenations(after)
    onnx.checker.check_model(after, full_check=True)
    (double,) = [node for node in after.graph.node if node.op_type == "Mul"]
    maker = {output: node for node in after.graph.node for output in node.output}
    assert maker[double.input[0]].op_type == "DequantizeLinear"
    (join,) = [node for node in after.graph.node if node.op_type == "Concat"]
    assert {maker[name].op_type for name in join.input} == {"DequantizeLinear"}
    draw = np.random.default_rng(0)
    given = {
        "a": draw.normal(2, 9, (1, 1, 3, 4)).astype(np.float32),
        "b": np.full((1, 1, 1, 1), 1.23, np.float32),
    }
    results = (ReferenceEvaluator(model).run(None, given) for model in (before, after))
    expected, found = map(np.asarray, results)
    assert np.array_equal(found, expected)


def test_parts_of_different_scales_stay_as_they_are() -> None:
    before = joined((0.1, 0.2))
    after = copy.deepcopy(before)
    quantise_concatenations(after)
    assert after == before
