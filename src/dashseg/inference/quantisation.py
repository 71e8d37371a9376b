"""A float32 graph (ONNX or OpenVINO) -> the same graph in INT8, by NNCF.

A few layers lose more accuracy in 8 bits than they save time. Trials find which ones, if any.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashseg.inference.runtime import Batch, deploy_package
from dashseg.inference.upsampling import label_at
from dashseg.labels import Label

Compute = Callable[[Batch], NDArray[np.float32]]  # a graph ready to run: frames -> logits

_TRIED = 8  # frames for each try: labels are compared on their every pixel
# By how much keeping a layer in higher precision must lower the share of pixels that differ. Less
# is within what another choice of frames would change.
_WORTH_IT = 0.1


def in_eight_bits(
    model: Any,
    named: Any,
    frames: Sequence[Batch],
    ready: Callable[[Any], Compute],
    input_name: str | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Quantise a graph, but for the layers that are better kept in higher precision.

    Args:
        model, frames, input_name: as for `quantise`.
        named: the same graph as an onnx.ModelProto, where layers have the network's names.
        ready: makes a graph ready to run.

    Returns:
        The quantised graph, and what export.json says of it.
    """
    layers = delicate_layers(named)
    some = few(frames)
    tried: dict[tuple[str, ...], Any] = {}

    def without(kept: Sequence[str], on: Sequence[Batch]) -> Any:
        return quantise(model, on, [layers[what] for what in kept], input_name)

    def trial(kept: Sequence[str]) -> Any:
        graph = without(kept, some)
        if len(some) == len(frames):
            tried[tuple(kept)] = graph  # one of these is the result
        return graph

    kept, shares = choose_layers_to_keep(model, some, [*layers], trial, ready)
    quantised = tried[tuple(kept)] if tuple(kept) in tried else without(kept, frames)
    return quantised, {"kept_in_higher_precision": kept, "labels_changed_in_int8": shares}


def few(frames: Sequence[Batch]) -> list[Batch]:
    """A few of many frames, at equal distances; all if they are few."""
    count = min(_TRIED, len(frames))
    return [frames[index] for index in np.linspace(0, len(frames) - 1, count).astype(int)]


def delicate_layers(graph: Any) -> dict[str, str]:
    """Layers that may need higher precision: what it is -> its node's name in an onnx.ModelProto.

    The last convolution decides between classes, and what the one on the image's mean computes
    reaches every pixel. The first one is always quantised: in float it takes twice the time, 2.4 of
    21 ms, and its labels came out no nearer to the network's on frames that were not calibrated on.
    """
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    means = {
        output
        for node in graph.graph.node
        if node.op_type in ("GlobalAveragePool", "ReduceMean")
        for output in node.output
    }
    layers = {"classifier": convolutions[-1].name}
    for node in convolutions:
        if node.input[0] in means:
            layers["image mean"] = node.name
    return layers


def quantise(
    model: Any, frames: Sequence[Batch], kept: Iterable[str] = (), input_name: str | None = None
) -> Any:
    """Quantise weights and activations to 8 bits after training.

    Args:
        model: an onnx.ModelProto, which gets QuantizeLinear and DequantizeLinear nodes, or an
            openvino.Model.
        frames: uint8 (1, h, w, 3) each, as the graph takes them; all of them set the ranges.
        kept: names of layers that are left as they are.
        input_name: of the graph's input, for ONNX.

    Raises:
        InputError: NNCF is not installed.
    """
    # NNCF reports its use to Google Analytics unless this is set before it is imported.
    os.environ.setdefault("NNCF_CI", "1")
    nncf = deploy_package("nncf")
    logging.getLogger("nncf").setLevel(logging.ERROR)  # not NNCF's own way: it changes handlers
    dataset = nncf.Dataset(
        range(len(frames)),
        lambda index: {input_name: frames[index]} if input_name else frames[index],
    )
    # OpenVINO's reader of ONNX splits a convolution from its bias and adds to its name.
    patterns = [f"{re.escape(name)}(/WithoutBiases)?" for name in kept]
    shown = sys.stderr if sys.stderr.isatty() else io.StringIO()
    with contextlib.redirect_stdout(shown):  # where it draws its progress bars
        return nncf.quantize(
            model,
            dataset,
            subset_size=len(frames),
            # Symmetric weights, asymmetric activations: the normalised frame is below zero too.
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(patterns=patterns) if patterns else None,
        )


def choose_layers_to_keep(
    model: Any,
    frames: Sequence[Batch],
    layers: Sequence[str],
    trial: Callable[[Sequence[str]], Any],
    ready: Callable[[Any], Compute],
) -> tuple[list[str], dict[str, float]]:
    """Choose which layers to leave in higher precision.

    None, unless all of them together are worth it. Then those that are worth it alone, or all if
    none is.

    Args:
        model: the graph before it is quantised.
        frames: uint8 (1, h, w, 3) each, on which labels are compared.
        layers: what they are.
        trial: some of `layers` -> the graph quantised without them.
        ready: makes a graph ready to run.

    Returns:
        What the layers to keep are, and the share of pixels whose label changes in 8 bits, by what
        was kept: "none", "all", and each layer alone if it was tried.
    """
    if not layers:
        return [], {}

    def labels(graph: Any) -> list[Label]:
        compute = ready(graph)
        return [label_at(frame.shape[1:3], compute(frame)[0]) for frame in frames]

    expected = labels(model)

    def changed(kept: Sequence[str]) -> float:
        pairs = zip(labels(trial(kept)), expected, strict=True)
        return float(np.mean([label != before for label, before in pairs]))

    shares = {"none": changed([]), "all": changed(layers)}
    good_enough = (1 - _WORTH_IT) * shares["none"]
    if shares["all"] >= good_enough:
        return [], shares
    if len(layers) > 1:
        shares |= {what: changed([what]) for what in layers}
    return [what for what in layers if shares.get(what, 1) < good_enough] or [*layers], shares
