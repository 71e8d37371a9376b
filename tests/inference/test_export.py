"""`export_model`: whole or not at all, true to the model, and what cannot be had is refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dashseg.config import InputConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter, load
from dashseg.inference.calibration import Frames
from dashseg.inference.export import ExportPlan, export_model, size_rule
from dashseg.inference.layers import onnx_layers, openvino_layers
from dashseg.inference.runtimes import FORMATS

onnx = pytest.importorskip("onnx")
openvino = pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")


def frame_of(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (5, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)  # 40×64


FRAMES = Frames(frame_of, 12)


@pytest.fixture(scope="module")
def int8(segmenter: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small model in INT8 for each runtime."""
    pytest.importorskip("nncf")
    folder = tmp_path_factory.mktemp("int8")
    with pytest.MonkeyPatch.context() as patch:
        for format in ("openvino", "onnx"):
            plan = ExportPlan(format, "int8", (36, 64))
            export_model(segmenter, folder / format, plan, lambda _: {}, FRAMES)
            # Trying layers takes as long again for each: once is enough.
            patch.setattr("dashseg.inference.quantisation.delicate_layers", lambda _: {})
    return {format: folder / format for format in ("onnx", "openvino")}


def assert_close(exported: Segmenter, trained: Segmenter, tolerance: float) -> None:
    for index in range(3):
        expected = torch.as_tensor(trained.runtime(frame_of(index)[None, :36]))
        actual = torch.as_tensor(exported.runtime(frame_of(index)[None, :36]))
        difference = (actual - expected).square().mean().sqrt()
        assert difference < tolerance * expected.std()


@pytest.mark.parametrize("format", ["onnx", "openvino", "torch"])
def test_half_precision_halves_the_file_and_hardly_moves_the_logits(
    segmenter: Segmenter, format: str, tmp_path: Path
) -> None:
    sizes = {}
    for precision in ("fp32", "fp16"):
        plan = ExportPlan(format, precision, (36, 64))
        out = tmp_path / precision
        sizes[precision] = export_model(segmenter, out, plan, lambda _: {})["bytes"]
        assert_close(load(out, device="cpu"), segmenter, 0.05)
    assert 0.45 < sizes["fp16"] / sizes["fp32"] < 0.6


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_is_in_the_file_and_near_the_model(
    int8: dict[str, Path], segmenter: Segmenter, format: str
) -> None:
    if format == "onnx":
        kinds = [node.op_type for node in onnx.load(int8["onnx"] / "model.onnx").graph.node]
        assert kinds.count("QuantizeLinear") > 10 and kinds.count("DequantizeLinear") > 10
    else:
        model = openvino.Core().read_model(int8["openvino"] / "model.xml")
        kinds = [node.get_type_name() for node in model.get_ordered_ops()]
        assert kinds.count("FakeQuantize") > 10
    assert_close(load(int8[format], device="cpu"), segmenter, 0.35)


def test_layers_that_harm_in_int8_are_sought_and_named(int8: dict[str, Path]) -> None:
    values = json.loads((int8["openvino"] / "export.json").read_text())
    shares = values["labels_changed_in_int8"]
    assert {"none", "all"} <= shares.keys() <= {"none", "all", "classifier", "image mean"}
    assert bool(values["kept_in_higher_precision"]) == (shares["all"] < 0.9 * shares["none"])
    assert values["calibration_frames"] == 12


@pytest.mark.parametrize(
    ("changed", "kept", "tried"),
    [
        ({"": 10, "ab": 10}, [], 2),
        ({"": 10, "ab": 8, "a": 8, "b": 10}, ["a"], 4),
        ({"": 10, "ab": 6, "a": 8, "b": 8}, ["a", "b"], 4),
        ({"": 10, "ab": 8, "a": 9.5, "b": 9.5}, ["a", "b"], 4),  # only together
        ({"": 10, "a": 8}, ["a"], 2),
        ({"": 0, "ab": 0}, [], 2),
    ],
)
def test_layers_that_are_worth_it_are_kept(
    changed: dict[str, float], kept: list[str], tried: int
) -> None:
    """`changed` has the percent of labels that change where the layers of its key are kept."""
    from dashseg.inference.quantisation import choose_layers_to_keep

    layers = sorted({layer for key in changed for layer in key})
    trials = []

    def trial(some: Sequence[str]) -> float:
        trials.append("".join(some))
        return changed[trials[-1]]

    def ready(percent: float) -> Callable[[Any], NDArray[np.float32]]:
        logits = np.zeros((1, 2, 20, 50), np.float32)
        logits[0, 1].reshape(-1)[: round(10 * percent)] = 1
        return lambda frame: logits

    frames = [np.zeros((1, 20, 50, 3), np.uint8)] * 2
    found, shares = choose_layers_to_keep(0.0, frames, layers, trial, ready)
    assert found == kept
    assert len(trials) == len(set(trials)) == tried
    assert shares["none"] == pytest.approx(changed[""] / 100)


@pytest.mark.parametrize(("count", "quantised"), [(8, [8, 8]), (5, [5, 5]), (12, [8, 8, 12])])
def test_a_trial_on_all_frames_is_not_repeated(
    count: int, quantised: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashseg.inference import quantisation

    calls: list[int] = []

    def quantise(model: Any, frames: Sequence[Any], kept: Any, name: Any) -> float:
        calls.append(len(frames))
        return 0.0

    monkeypatch.setattr(quantisation, "quantise", quantise)
    monkeypatch.setattr(quantisation, "delicate_layers", lambda _: {"classifier": "/Conv"})
    logits = np.zeros((1, 2, 8, 8), np.float32)
    frames = [np.zeros((1, 8, 8, 3), np.uint8)] * count
    quantisation.in_eight_bits(None, None, frames, lambda _: lambda frame: logits)
    assert calls == quantised


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_every_convolution_runs_in_eight_bits(
    int8: dict[str, Path], segmenter: Segmenter, format: str
) -> None:
    values = json.loads((int8[format] / "export.json").read_text())
    profile = {"onnx": onnx_layers, "openvino": openvino_layers}[format]
    layers = profile(int8[format] / FORMATS[format].file, frame_of(0)[None, :36], 1)
    # ONNX Runtime leaves the classifier in float: nothing behind it has 8 bits.
    spared = [*values["kept_in_higher_precision"], *(["classifier"] if format == "onnx" else [])]
    in_float = [x.name for x in layers if "Conv" in x.type and x.precision != "int8"]
    assert len(in_float) <= len(spared), in_float
    assert sum("Conv" in layer.type for layer in layers) > 20
    assert not any("conv1" in name for name in in_float)


def test_a_kept_layer_has_no_eight_bits(segmenter: Segmenter) -> None:
    pytest.importorskip("nncf")
    from dashseg.inference.onnx_graph import onnx_graph
    from dashseg.inference.quantisation import delicate_layers, quantise

    graph = onnx_graph(segmenter, "fp32", (36, 64))
    layers = delicate_layers(onnx.load_model_from_string(graph))
    assert layers["classifier"] == "/decoder/classifier/Conv"
    frames = [frame_of(0)[None, :36]]

    def in_eight_bits(model: Any, name: str) -> bool:
        node = next(
            node
            for node in model.get_ordered_ops()
            if node.get_type_name() == "Convolution" and node.get_friendly_name().startswith(name)
        )
        given = node.input_value(0).get_node()
        while given.get_type_name() in ("Transpose", "Reshape"):  # of the frame's rows
            given = given.input_value(0).get_node()
        return given.get_type_name() == "FakeQuantize"

    for kept in ([], [layers["classifier"]]):
        model = openvino.Core().read_model(graph)
        quantised = quantise(model, frames, kept)
        assert in_eight_bits(quantised, "/encoder/conv1/Conv")
        assert in_eight_bits(quantised, layers["classifier"]) == (not kept)


def test_depthwise_convolutions_run_in_eight_bits(
    recipe_model: Callable[[str], Segmenter], tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashseg.inference.quantisation.delicate_layers", lambda _: {})
        plan = ExportPlan("openvino", "int8", (36, 64))
        export_model(recipe_model("small"), tmp_path / "out", plan, lambda _: {}, FRAMES)
    layers = openvino_layers(tmp_path / "out" / "model.xml", frame_of(0)[None, :36], 1)
    depthwise = [layer for layer in layers if "depthwise_conv" in layer.name and layer.ms]
    convolutions = [layer for layer in depthwise if layer.type == "Convolution"]
    assert len(convolutions) == 16
    assert {layer.precision for layer in convolutions} == {"int8"}


def test_signals_are_heard_after_quantisation(int8: dict[str, Path]) -> None:
    """NNCF has Cores of its own: see `openvino_core` for what those can do to a thread."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
        signal.raise_signal(signal.SIGUSR1)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_fp32_computes_in_fp32_and_fp16_in_what_the_processor_has(
    exported: Callable[..., Path],
) -> None:
    runtime = load(exported("openvino", precision="fp32"), device="cpu").runtime
    assert runtime.computes_in == "fp32"  # type: ignore[attr-defined]
    there = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    runtime = load(exported("openvino", precision="fp16"), device="cpu").runtime
    assert runtime.computes_in in ({"bf16", "fp16"} if "BF16" in there else {"fp32", "fp16"})  # type: ignore[attr-defined]


def test_what_the_comparison_refuses_is_not_written(segmenter: Segmenter, tmp_path: Path) -> None:
    def refuse(exported: Segmenter) -> dict[str, Any]:
        raise InputError("labels agree on 12.00% of pixels")

    with pytest.raises(InputError, match=r"12\.00%"):
        export_model(segmenter, tmp_path / "out", ExportPlan(), refuse)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_taken_is_kept(segmenter: Segmenter, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists: choose a new name"):
        export_model(segmenter, tmp_path, ExportPlan(), lambda _: {})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_exported_model_cannot_be_exported_again(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"an exported model.*name the run"):
        export_model(load(exported("onnx")), tmp_path / "out", ExportPlan(), lambda _: {})


def test_an_operator_without_an_equivalent_is_an_error_that_names_it(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    class Odd(torch.nn.Module):
        def coarse_logits(self, image: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(image)

    runtime = type(segmenter.runtime)(Odd(), segmenter.config)  # type: ignore[call-arg]
    odd = Segmenter(runtime, segmenter.input, segmenter.classes, "odd")
    with pytest.raises(InputError, match=r"cannot be exported.*bessel_j0"):
        export_model(odd, tmp_path / "out", ExportPlan(), lambda _: {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("plan", "calibrated", "says"),
    [
        (ExportPlan("tflite"), False, "--format tflite: choose of onnx, openvino, torch"),
        (ExportPlan("onnx", "int4"), False, "--precision int4: choose of fp32, fp16, int8"),
        (ExportPlan("torch", "int8"), True, "--format torch has no INT8"),
        (ExportPlan("onnx", "int8"), False, "--calibrate DIR"),
        (ExportPlan("onnx", "fp32", (16, 64)), False, "--size 16x64 is too small"),
    ],
)
def test_plans_that_cannot_be_had_are_errors(plan: ExportPlan, calibrated: bool, says: str) -> None:
    with pytest.raises(InputError, match=says):
        size_rule(plan, InputConfig(), calibrated)


def test_a_full_disk_leaves_nothing(
    in_small_disk: Callable[..., Any], model_directory: Path
) -> None:
    script = """
import sys
from pathlib import Path
from dashseg.cli import main
disk, model = Path(sys.argv[1]), sys.argv[2]
for format in ("onnx", "openvino"):
    print(main(["export", model, "--out", str(disk / format), "--format", format]))
print([path.name for path in disk.iterdir()])
"""
    run = in_small_disk(script, model_directory)
    assert run.stdout.splitlines() == ["2", "2", "[]"], run.stderr
    assert run.stderr.count("No space left on device") == 2
