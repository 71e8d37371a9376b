"""Candidates for a real-time network: time in OpenVINO against the recipe real-time's, in turn.

    python benchmarks/frontier.py [--size 448x576] [--threads 2] [--rounds 40] [--only NAME ...]
    python benchmarks/frontier.py --candidate narrow model.encoder.width=0.25 aspp=none
    python benchmarks/frontier.py --beside yolo26n-sem=FILE.onnx --only real-time
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/frontier.py --keep FOLDER
    python benchmarks/frontier.py --threads 1 --processor-time --onnxruntime --figures FILE.json
    python benchmarks/frontier.py --picture FILE.svg --figures benchmarks/frontier.json
    python benchmarks/frontier.py --smoke

A candidate is the recipe real-time with changes and random weights, in INT8 with no layer left
out; without `--candidate`, those of the list `CANDIDATES`. Three changes have no recipe key:
`recipe=NAME` (another recipe in its place), `stem=deep` (three 3×3 in place of a ResNet's 7×7) and
`aspp=none` (a 1×1 convolution in place of ASPP). A network `--beside` them is a float ONNX file
that takes uint8 (1, h, w, 3) frames of that size; it is timed in INT8 and as it comes, where
OpenVINO computes in bfloat16 if the processor can. --onnxruntime times each in ONNX Runtime as
well. Each network takes one frame in every round. With --processor-time, what other programs take
does not count; of several threads all do. --keep saves the INT8 networks, and takes those that are
there. Prints a table in Markdown: parameters (million), multiply-adds (billion), the median of the
milliseconds, and the time as a multiple of real-time's in OpenVINO: median (10 %, 90 %) of the
rounds.

--figures writes the table's figures; what the file has under "scores" (a network's name -> its mIoU
with each seed) and "notes" (name -> what to write beside it) stays. --picture measures nothing: it
draws the figures of such a file, each network by its fastest row, time against mIoU.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from common import TINY, arguments
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray
from torch import nn

from dashseg.config import InputConfig, load_recipe
from dashseg.data.synthetic import open_scenes
from dashseg.errors import InputError
from dashseg.files import read_json, replace_file, write_json
from dashseg.inference import Segmenter
from dashseg.inference.onnx_concat import quantise_concatenations
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
_NONE, _DEEP, _OTHER_RECIPE = "aspp=none", "stem=deep", "recipe="
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
    "real-time-l": [f"{_OTHER_RECIPE}real-time-l"],
    "no ASPP": [_NONE],
    "ASPP of 128": [_ASPP_128],
    "wide decoder": [_WIDE],
    "ends at 8": [_END_8],
    "mlp decoder": ["model.decoder.name=mlp", "model.decoder.channels=32"],
    "7×7 stem": [_STEM_7X7],
    "half width": ["model.encoder.width=0.5"],
    "real-time before": _HALF,
    "real-time before, deep stem": [*_HALF, _DEEP],
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
        onnxruntime: whether each network is timed in ONNX Runtime as well.
    """

    size: tuple[int, int]
    frames: list[Image]
    threads: int
    keep: Path | None
    onnxruntime: bool

    def kept(self, name: str, suffix: str) -> Path | None:
        """Where the INT8 network of that name lies, or will."""
        slug = re.sub(r"\W+", "-", f"{name} {self.size[0]}x{self.size[1]}")
        return self.keep and self.keep / f"{slug}{suffix}"


@dataclass(frozen=True)
class Timed:
    """A network ready to run. Parameters and multiply-adds are 0 where they are not known."""

    name: str
    way: str
    parameters: float
    multiply_adds: float
    run: Callable[[Image], object]

    def milliseconds(self, frame: Image, clock: Callable[[], float]) -> float:
        start = clock()
        self.run(frame)
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
    parser.add_argument("--onnxruntime", action="store_true")
    parser.add_argument("--figures", type=Path, metavar="FILE.json")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="SVG, PNG or PDF")
    options = parser.parse_args()
    if options.picture:
        if options.figures is None:
            parser.error("--picture draws the figures of a file: name it with --figures")
        draw(read_json(options.figures), options.picture)
        print(f"{options.picture}: {options.picture.stat().st_size / 1e3:.0f} kB")
        return
    if options.smoke:
        options.size, options.threads, options.rounds, options.onnxruntime = "64x96", 1, 2, True
    height, width = map(int, options.size.split("x"))
    frames = scenes(height, width)
    work = Work((height, width), frames, options.threads, options.keep, options.onnxruntime)
    networks: list[Timed] = []
    for name, changes in chosen(options).items():
        networks += candidate(name, changes, work)
    for entry in options.beside:
        name, file = entry.split("=", 1)
        networks += beside(name, file, work)
    clock = time.process_time if options.processor_time else time.perf_counter
    times = milliseconds(networks, work.frames[0], options.rounds, clock)  # (rounds, networks)
    rows = table(networks, times)
    print_table(rows)
    if options.figures:
        settings = {key: getattr(options, key) for key in ("size", "threads", "rounds")}
        settings["clock"] = "processor time" if options.processor_time else "time"
        save(options.figures, settings, rows)


def chosen(options: argparse.Namespace) -> dict[str, list[str]]:
    """The candidates to time: first the recipe, which all are compared with."""
    if options.smoke:
        return {RECIPE: [*TINY, _STEM_7X7, _DEEP, _NONE]}  # NNCF takes seconds for each
    if options.candidate:
        return {RECIPE: []} | {name: changes for name, *changes in options.candidate}
    names = [RECIPE, *(options.only or CANDIDATES)]
    return {name: CANDIDATES[name] for name in names}


def scenes(height: int, width: int) -> list[Image]:
    """Four drawn scenes, uint8 (1, h, w, 3), to calibrate on."""
    drawn = open_scenes("synthetic:4:1")
    rule = InputConfig(size=(height, width), resize="squash")
    return [to_working_size(drawn[index].image, rule)[None] for index in range(len(drawn))]


def candidate(name: str, changes: Sequence[str], work: Work) -> list[Timed]:
    """The recipe with `changes` as an INT8 network, in each runtime."""
    recipe = RECIPE
    keys = [f"model.input.size={list(work.size)}", "model.encoder.weights=null"]
    for change in changes:
        if change.startswith(_OTHER_RECIPE):
            recipe = change.removeprefix(_OTHER_RECIPE)
        elif change not in (_DEEP, _NONE):
            keys.append(change)
    config = load_recipe(recipe, keys).model
    torch.manual_seed(0)
    network = build_model(config)
    encoder: Any = network.encoder
    if _DEEP in changes:
        encoder.conv1, encoder.bn1 = deep_stem(encoder.conv1.out_channels), nn.Identity()
    if _NONE in changes:
        context: Any = ConvNormRelu(encoder.out_channels, config.aspp.channels, 1)
        network.aspp = context
    _, totals = summarise(network, work.size)

    @functools.cache
    def graph() -> bytes:
        settle_norms(network, Normalise(config.input), work.frames)
        runtime = TorchRuntime(network.eval(), config)
        segmenter = Segmenter(runtime, config.input, COMMA10K, name)
        return onnx_graph(segmenter, "int8", work.size)

    costs = totals.parameters / 1e6, totals.multiply_adds / 1e9
    return in_each_runtime(name, costs, graph, work)


def in_each_runtime(
    name: str, costs: tuple[float, float], graph: Callable[[], bytes], work: Work
) -> list[Timed]:
    """A float ONNX file in INT8, in OpenVINO and, if asked for, in ONNX Runtime."""
    networks = [Timed(name, "INT8", *costs, ready(openvino_int8(name, graph, work), work.threads))]
    if work.onnxruntime:
        run = in_onnxruntime(onnx_int8(name, graph, work), work.threads)
        networks.append(Timed(name, "INT8, ONNX Runtime", *costs, run))
    return networks


def openvino_int8(name: str, graph: Callable[[], bytes], work: Work) -> Any:
    """The ONNX file `graph()` as OpenVINO's INT8 model, made once if there is a folder for it."""
    kept = work.kept(name, ".xml")
    if kept and kept.is_file():
        return openvino_core().read_model(kept)
    model = quantise(openvino_graph(graph()), work.frames)
    if kept:
        openvino.save_model(model, kept, compress_to_fp16=False)
    return model


def onnx_int8(name: str, graph: Callable[[], bytes], work: Work) -> bytes:
    """The ONNX file `graph()` in INT8 for ONNX Runtime, made once if there is a folder for it."""
    kept = work.kept(name, ".onnx")
    if kept and kept.is_file():
        return kept.read_bytes()
    float_model = onnx.load_model_from_string(graph())
    model = quantise(float_model, work.frames, (), float_model.graph.input[0].name)
    quantise_concatenations(model)
    content: bytes = model.SerializeToString()
    if kept:
        kept.write_bytes(content)
    return content


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
    graph = Path(file).read_bytes()
    networks = in_each_runtime(name, (0, 0), lambda: graph, work)
    as_it_comes = ready(openvino_graph(graph), work.threads)
    networks.append(Timed(name, "as it comes", 0, 0, as_it_comes))
    if work.onnxruntime:
        run = in_onnxruntime(graph, work.threads)
        networks.append(Timed(name, "as it comes, ONNX Runtime", 0, 0, run))
    return networks


def in_onnxruntime(graph: bytes, threads: int) -> Callable[[Image], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda frame: session.run(None, {name: frame})


def ready(graph: Any, threads: int) -> Callable[[Image], object]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2":
        settings["INFERENCE_PRECISION_HINT"] = "f32"  # it would take bfloat16 and lack kernels
    request = openvino_core().compile_model(graph, "CPU", settings).create_infer_request()
    return lambda frame: request.infer([frame], share_inputs=True)


def milliseconds(
    networks: Sequence[Timed], frame: Image, rounds: int, clock: Callable[[], float]
) -> NDArray[np.float64]:
    """The time of each network (column) in each round (row)."""
    for network in networks:
        network.milliseconds(frame, clock)  # the first call also sets up
    return np.array([[each.milliseconds(frame, clock) for each in networks] for _ in range(rounds)])


def table(networks: Sequence[Timed], times: NDArray[np.float64]) -> list[dict[str, Any]]:
    """A row for each network: what it costs, and its times (10 %, median, 90 %)."""
    rows = []
    for network, own in zip(networks, times.T, strict=True):
        quantiles = np.percentile(own / times[:, 0], (10, 50, 90))
        rows.append(
            {
                "network": network.name,
                "way": network.way,
                "parameters": round(network.parameters, 2) or None,
                "multiply_adds": round(network.multiply_adds, 2) or None,
                "ms": round(float(np.median(own)), 1),
                "of_real_time": [round(float(value), 2) for value in quantiles],
            }
        )
    return rows


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print("| network | | parameters | multiply-adds | ms | of real-time's time |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        low, middle, high = row["of_real_time"]
        costs = f"{row['parameters'] or '–'} | {row['multiply_adds'] or '–'}"
        print(
            f"| {row['network']} | {row['way']} | {costs} | {row['ms']}"
            f" | {middle:.2f} ({low:.2f}, {high:.2f}) |"
        )


def save(file: Path, settings: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write the figures of a measurement; scores and notes in an older file stay."""
    old = read_json(file) if file.exists() else {}
    kept = {key: old.get(key, {}) for key in ("scores", "notes")}
    write_json(file, {"settings": settings, "rows": rows} | kept)


def draw(figures: dict[str, Any], picture: Path) -> None:
    """Time against mIoU, each network by its fastest row; those without a score at the bottom.

    Raises:
        InputError: no network has a score, or one with a score has no time.
    """
    fastest: dict[str, dict[str, Any]] = {}
    for row in figures["rows"]:
        best = fastest.setdefault(row["network"], row)
        if row["ms"] < best["ms"]:
            fastest[row["network"]] = row
    scores = figures["scores"]
    if not scores or (missing := scores.keys() - fastest.keys()):
        what = f"no time of {', '.join(sorted(missing))}" if scores else "no scores"
        raise InputError(f"the figures have {what}; see --help")
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    known = [score for values in scores.values() for score in values]
    low = min(known) - max(0.012, 0.4 * (max(known) - min(known)))  # room for names at the bottom
    for name, row in fastest.items():
        ours = row["parameters"] is not None
        values = scores.get(name, [low])
        mean = float(np.mean(values))
        colour = "tab:blue" if ours else "tab:orange"
        marker = "o" if name in scores else "|"
        spread = [[mean - min(values)], [max(values) - mean]] if len(values) > 1 else None
        axes.errorbar(row["ms"], mean, spread, fmt=marker, color=colour, capsize=3)
        note = f", {figures['notes'][name]}" if name in figures["notes"] else ""
        way = "" if row["way"] == "INT8" else f" ({row['way']})"
        count = f", {len(values)} seeds" if len(values) > 1 else ""
        axes.annotate(
            f"{name}{note}{way}{count}", (row["ms"], mean), (6, 5), textcoords="offset points",
            fontsize=8, rotation=0 if name in scores else 45,
        )  # fmt: skip
    axes.set_xscale("log", subs=[])
    fastest_ms = [row["ms"] for row in fastest.values()]
    axes.set_xlim(min(fastest_ms) * 0.85, max(fastest_ms) * 1.5)  # room for the last name
    ticks = [base * 10**power for power in range(-2, 4) for base in (1, 1.5, 2, 3, 5, 7)]
    left, right = axes.get_xlim()
    axes.set_xticks([tick for tick in ticks if left < tick < right])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    settings = figures["settings"]
    clock = f"{settings['clock']}, threads: {settings['threads']}, {settings['size']}"
    axes.set(xlabel=f"ms a frame ({clock})", ylabel="mIoU", ylim=(low - 0.002, None))
    axes.grid(alpha=0.3)
    kind = picture.suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else None
    # As text, and the same bytes from the same figures.
    with (
        replace_file(picture) as temporary,
        rc_context({"svg.fonttype": "none", "svg.hashsalt": "frontier"}),
    ):
        figure.savefig(temporary, format=kind, dpi=110, metadata=metadata)


if __name__ == "__main__":
    main()
