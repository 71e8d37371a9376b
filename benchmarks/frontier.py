"""Candidates for a real-time network in OpenVINO: time against the recipe real-time's, in turn.

    python benchmarks/frontier.py [--size 448x576] [--threads 2] [--rounds 40] [--only NAME ...]
    python benchmarks/frontier.py --candidate narrow model.encoder.width=0.25 aspp=none
    python benchmarks/frontier.py --beside yolo26n-sem=FILE.onnx --only real-time
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/frontier.py --keep FOLDER
    python benchmarks/frontier.py --threads 1 --processor-time
    python benchmarks/frontier.py --smoke

A candidate is the recipe real-time with changes and random weights, in INT8 with no layer left
out; without `--candidate`, those of the list `CANDIDATES`. Two changes have no recipe key:
`stem=deep` (three 3×3 in place of a ResNet's 7×7) and `aspp=none` (a 1×1 convolution in place of
ASPP). A network `--beside` them is a float ONNX file that takes uint8 (1, h, w, 3) frames of that
size; it is timed in INT8 and as it comes, where OpenVINO computes in bfloat16 if the processor
can. Each network takes one frame in every round. With --processor-time, what other programs take
does not count; of several threads all do. --keep saves the INT8 networks, and takes those that
are there. Prints a table in Markdown: parameters (million), multiply-adds (billion), the median
of the milliseconds, and the time as a multiple of real-time's: median (10 %, 90 %) of the rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from common import TINY, arguments
from torch import nn

from dashseg.config import InputConfig, load_recipe
from dashseg.data.synthetic import open_scenes
from dashseg.inference import Segmenter
from dashseg.inference.onnx_graph import onnx_graph
from dashseg.inference.openvino_export import openvino_graph
from dashseg.inference.openvino_runtime import openvino_core
from dashseg.inference.quantisation import quantise
from dashseg.inference.torch_runtime import TorchRuntime
from dashseg.input_size import to_working_size
from dashseg.labels import COMMA10K, Image
from dashseg.models import Normalise, build_model
from dashseg.models.input import to_batch
from dashseg.models.layers import ConvNormRelu
from dashseg.models.summary import summarise

RECIPE = "real-time"
_LEVEL = "{{stride: {}, skip: {}, channels: {}}}"


def _decoder(*levels: tuple[int, int, int]) -> str:
    """The change to a decoder of levels of (stride, skip, channels)."""
    return f"model.decoder.levels=[{', '.join(_LEVEL.format(*level) for level in levels)}]"


_WIDE = _decoder((16, 32, 64), (8, 32, 64), (4, 24, 32))
_END_8 = _decoder((16, 32, 64), (8, 32, 64))
_NONE, _DEEP = "aspp=none", "stem=deep"
_ASPP_128 = "model.aspp.channels=128"
_STEM_7X7 = "model.encoder.stem=7x7"
_HALF = ["model.encoder.width=0.5", _STEM_7X7, _ASPP_128, _WIDE]
_MOBILE = "timm/mobilenetv4_conv_small"
_HG = "timm/hgnetv2_b0"
_LITE = "efficientnet_lite0"


def _other(name: str, *changes: str) -> list[str]:
    """The changes to another encoder; width and stem are for ResNets alone."""
    return [f"model.encoder.name={name}", "model.encoder.width=1", _STEM_7X7, *changes]


CANDIDATES: dict[str, list[str]] = {
    RECIPE: [],
    "no ASPP": [_NONE],
    "ASPP of 128": [_ASPP_128],
    "wide decoder": [_WIDE],
    "ends at 8": [_END_8],
    "7×7 stem": [_STEM_7X7],
    "half width": ["model.encoder.width=0.5"],
    "half width, 7×7 stem, ASPP of 128, wide decoder": _HALF,
    "the same, deep stem": [*_HALF, _DEEP],
    "mobilenetv4_conv_small": _other(_MOBILE),
    "mobilenetv4_conv_small, no ASPP": _other(_MOBILE, _NONE),
    "mobilenetv4_conv_small, ends at 8, no ASPP": _other(_MOBILE, _END_8, _NONE),
    "mobilenetv4_conv_medium": _other("timm/mobilenetv4_conv_medium"),
    "hgnetv2_b0": _other(_HG),
    "hgnetv2_b0, ends at 8, no ASPP": _other(_HG, _END_8, _NONE),
    "efficientnet_lite0": _other(_LITE),
    "efficientnet_lite0, ends at 8, no ASPP": _other(_LITE, _END_8, _NONE),
}


@dataclass(frozen=True)
class Work:
    """What all networks have in common.

    Args:
        frames: uint8 (1, h, w, 3) each.
        keep: a folder for the INT8 networks.
    """

    size: tuple[int, int]
    frames: list[Image]
    threads: int
    keep: Path | None


@dataclass(frozen=True)
class Timed:
    """A network ready to run. Parameters and multiply-adds are 0 where they are not known."""

    name: str
    parameters: float
    multiply_adds: float
    request: Any

    def milliseconds(self, frame: Image, clock: Callable[[], float]) -> float:
        start = clock()
        self.request.infer([frame], share_inputs=True)
        return 1e3 * (clock() - start)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--size", default="448x576", help="HxW of the network's input")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of CANDIDATES")
    parser.add_argument("--candidate", nargs="+", action="append", metavar=("NAME", "CHANGE"))
    parser.add_argument("--beside", nargs="+", default=[], metavar="NAME=FILE")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.size, options.threads, options.rounds = "64x96", 1, 2
    height, width = map(int, options.size.split("x"))
    work = Work((height, width), scenes(height, width), options.threads, options.keep)
    networks = [candidate(name, changes, work) for name, changes in chosen(options).items()]
    for entry in options.beside:
        name, file = entry.split("=", 1)
        networks += beside(name, file, work)
    clock = time.process_time if options.processor_time else time.perf_counter
    print_table(networks, work.frames[0], options.rounds, clock)


def chosen(options: argparse.Namespace) -> dict[str, list[str]]:
    """The candidates to time: first the recipe, which all are compared with."""
    if options.smoke:
        return {RECIPE: [*TINY], "deep stem": [*TINY, _STEM_7X7, _DEEP, _NONE]}
    if options.candidate:
        return {RECIPE: []} | {name: changes for name, *changes in options.candidate}
    names = [RECIPE, *(options.only or CANDIDATES)]
    return {name: CANDIDATES[name] for name in names}


def scenes(height: int, width: int) -> list[Image]:
    """Four drawn scenes, uint8 (1, h, w, 3), to calibrate on."""
    drawn = open_scenes("synthetic:4:1")
    rule = InputConfig(size=(height, width), resize="squash")
    return [to_working_size(drawn[index].image, rule)[None] for index in range(len(drawn))]


def candidate(name: str, changes: Sequence[str], work: Work) -> Timed:
    """The recipe with `changes` as an INT8 network."""
    keys = [change for change in changes if change not in (_DEEP, _NONE)]
    config = load_recipe(RECIPE, [*keys, f"model.input.size={list(work.size)}"]).model
    torch.manual_seed(0)
    network = build_model(config)
    encoder: Any = network.encoder
    if _DEEP in changes:
        encoder.conv1, encoder.bn1 = deep_stem(encoder.conv1.out_channels), nn.Identity()
    if _NONE in changes:
        context: Any = ConvNormRelu(encoder.out_channels, config.aspp.channels, 1)
        network.aspp = context
    _, totals = summarise(network, work.size)

    def graph() -> Any:
        settle_norms(network, Normalise(config.input), work.frames)
        runtime = TorchRuntime(network.eval(), config)
        segmenter = Segmenter(runtime, config.input, COMMA10K, name)
        return openvino_graph(onnx_graph(segmenter, "int8", work.size))

    costs = totals.parameters / 1e6, totals.multiply_adds / 1e9
    return Timed(name, *costs, ready(in_eight_bits(name, graph, work), work.threads))


def in_eight_bits(name: str, graph: Callable[[], Any], work: Work) -> Any:
    """The OpenVINO model `graph()` in INT8, made once where there is a folder to keep it in."""
    slug = re.sub(r"\W+", "-", f"{name} {work.size[0]}x{work.size[1]}")
    kept = work.keep and work.keep / f"{slug}.xml"
    if kept and kept.is_file():
        return openvino_core().read_model(kept)
    model = quantise(graph(), work.frames)
    if kept:
        openvino.save_model(model, kept, compress_to_fp16=False)
    return model


def deep_stem(channels: int) -> nn.Module:
    """3×3 of stride 2 and two more: He et al., "Bag of tricks", section 4.2 (ResNet-C)."""
    half = channels // 2
    return nn.Sequential(
        ConvNormRelu(3, half, 3, stride=2),
        ConvNormRelu(half, half, 3),
        ConvNormRelu(half, channels, 3),
    )


def settle_norms(network: nn.Module, normalise: Normalise, frames: list[Image]) -> None:
    """Give norms the statistics of frames: else activations of deep networks vanish."""
    network.train()
    with torch.no_grad():
        network(normalise(to_batch(torch.from_numpy(np.concatenate(frames)))))


def beside(name: str, file: str, work: Work) -> list[Timed]:
    """Another network, in INT8 and as it comes."""
    model = openvino_graph(Path(file).read_bytes())
    int8 = in_eight_bits(name, lambda: model, work)
    return [
        Timed(f"{name}, INT8", 0, 0, ready(int8, work.threads)),
        Timed(f"{name}, as it comes", 0, 0, ready(model, work.threads)),
    ]


def ready(graph: Any, threads: int) -> Any:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2":
        settings["INFERENCE_PRECISION_HINT"] = "f32"  # it would take bfloat16 and lack kernels
    return openvino_core().compile_model(graph, "CPU", settings).create_infer_request()


def print_table(
    networks: Sequence[Timed], frame: Image, rounds: int, clock: Callable[[], float]
) -> None:
    for network in networks:
        network.milliseconds(frame, clock)  # the first call also sets up
    times = np.array(
        [[each.milliseconds(frame, clock) for each in networks] for _ in range(rounds)]
    )
    print("| network | parameters | multiply-adds | ms | of real-time's time |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for network, own in zip(networks, times.T, strict=True):
        low, middle, high = np.percentile(own / times[:, 0], (10, 50, 90))
        known = network.parameters
        costs = f"{known:.2f} | {network.multiply_adds:.2f}" if known else "– | –"
        print(
            f"| {network.name} | {costs} | {np.median(own):.1f}"
            f" | {middle:.2f} ({low:.2f}, {high:.2f}) |"
        )


if __name__ == "__main__":
    main()
