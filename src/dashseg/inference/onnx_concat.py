"""A quantised ONNX graph -> the same graph, whose concatenations ONNX Runtime computes in 8 bits.

NNCF quantises what goes into a concatenation, all of it with one scale, and not what comes out.
ONNX Runtime fuses 8-bit layers only where they stand between two quantisations: it would compute
the concatenation and the convolution behind it in float32. So what comes out is quantised too, with
the same scale, which changes no value.
"""

from __future__ import annotations

from typing import Any

from dashseg.inference.runtime import deploy_package

_MOVES_VALUES = ("Expand", "Reshape", "Transpose", "Identity")  # and computes none


def quantise_concatenations(graph: Any) -> None:
    """Change an onnx.ModelProto of NNCF's in place."""
    onnx = deploy_package("onnx")
    nodes = graph.graph.node
    maker = {output: node for node in nodes for output in node.output}
    constants = {
        entry.name: onnx.numpy_helper.to_array(entry).tobytes() for entry in graph.graph.initializer
    }

    def scale(name: str) -> Any:
        """The DequantizeLinear that the values of a tensor come from; None: they don't."""
        node = maker.get(name)
        while node is not None and node.op_type in _MOVES_VALUES:
            node = maker.get(node.input[0])
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def quantised(name: str, like: Any) -> tuple[str, list[Any]]:
        """A tensor in 8 bits and back: its name, and the two nodes that make it."""
        steps = [f"{name}_in_8_bits", f"{name}_from_8_bits"]
        parameters = like.input[1:]
        return steps[1], [
            onnx.helper.make_node("QuantizeLinear", [name, *parameters], [steps[0]], steps[0]),
            onnx.helper.make_node(
                "DequantizeLinear", [steps[0], *parameters], [steps[1]], steps[1]
            ),
        ]

    changed = []
    for node in nodes:
        changed.append(node)
        if node.op_type != "Concat":
            continue
        scales = [scale(name) for name in node.input]
        if None in scales or len({tuple(constants[n] for n in s.input[1:]) for s in scales}) != 1:
            continue
        changed.pop()
        for index, (name, like) in enumerate(zip(node.input, scales, strict=True)):
            if maker[name] is not like:
                node.input[index], added = quantised(name, like)
                changed += added
        changed.append(node)
        renamed, added = quantised(node.output[0], scales[0])
        changed += added
        for reader in nodes:
            for index, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[index] = renamed
    del nodes[:]
    nodes.extend(changed)
