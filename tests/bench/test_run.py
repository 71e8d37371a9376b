"""`bench`: every runtime in turn, and figures that mean what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.bench.flops import graph_flop
from dashseg.bench.machine import describe_machine
from dashseg.bench.rows import Bench, Row, Skipped
from dashseg.bench.run import BenchOptions, bench
from dashseg.bench.ways import ways_of
from dashseg.bench.worker import Way, Worker, WorkerError
from dashseg.cli import main
from dashseg.config import DataConfig, InputConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter, load
from dashseg.inference.calibration import Frames
from dashseg.inference.export import ExportPlan, export_model
from dashseg.models.summary import summarise

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

DATA = "synthetic:20"
EXPORTS = (("onnx", "fp32"), ("openvino", "fp16"), ("openvino", "int8"))
QUICK = partial(BenchOptions, frames=2, calibration=2, rounds=2)


def a_row(**changes: Any) -> Row:
    values: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__) | {
        "runtime": "openvino",
        "precision": "int8",
    }
    return Row(**(values | changes))


def a_bench(*rows: Row) -> Bench:
    return Bench("m", (36, 64), "2 of x", None, {}, list(rows), [])


@pytest.fixture(scope="module")
def exported_files(
    model_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The small model as ONNX and OpenVINO files of 36×64."""
    folder = tmp_path_factory.mktemp("bench")
    trained = load(model_directory, device="cpu")
    for format in ("onnx", "openvino"):
        export_model(trained, folder / format, ExportPlan(format, "fp32", (36, 64)), lambda _: {})
    return {"onnx": folder / "onnx" / "model.onnx", "openvino": folder / "openvino" / "model.xml"}


def few_ways(
    segmenter: Segmenter,
    rule: InputConfig,
    calibration: Callable[[], Frames],
    folder: Path,
    say: Callable[[str], None],
) -> tuple[list[Way], list[Skipped]]:
    """A few ways to run a model, compiled in fp32 among them: each try to compile takes 15 s.

    Each has a process of its own, which takes its time.
    """
    ways, skipped = ways_of(segmenter, rule, calibration, folder, say, ("torch eager",), EXPORTS)
    return [*ways, replace(ways[0], runtime="torch compiled")], skipped


@pytest.fixture(scope="module")
def of_trained(model_directory: Path) -> Iterator[Bench]:
    """A bench of the small model on drawn scenes, where no C++ compiler is to be found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", "no-such-compiler")
        patch.setattr("dashseg.bench.run.PEAK_SECONDS", 0.05)
        patch.setattr("dashseg.bench.run.QUEUE_SECONDS", 0.2)
        patch.setattr("dashseg.bench.run.ways_of", few_ways)
        patch.setattr("dashseg.inference.quantisation.delicate_layers", lambda _: {})
        yield bench(str(model_directory), QUICK(data=DataConfig(root=DATA)))


def test_a_trained_model_gets_a_row_for_each_runtime_and_precision(of_trained: Bench) -> None:
    found = [(row.runtime, row.precision) for row in of_trained.rows]
    assert found[:3] == [("torch eager", "fp32"), ("torch eager", "bf16"), ("onnxruntime", "fp32")]
    assert found[3][0] == "openvino" and found[3][1] in ("bf16", "fp16", "fp32")  # the processor's
    assert found[4:] == [("openvino", "int8")]


def test_what_cannot_run_here_is_left_out_with_the_reason(of_trained: Bench) -> None:
    assert [(entry.runtime, entry.precision) for entry in of_trained.skipped] == [
        ("torch compiled", "fp32")
    ]
    assert "no-such-compiler" in of_trained.skipped[0].reason


def test_figures_fit_together(of_trained: Bench, model_directory: Path) -> None:
    network = load(model_directory, device="cpu").network
    flop = 2 * summarise(network, of_trained.size)[1].multiply_adds
    for row in of_trained.rows:
        assert 0 < row.ms_min <= row.ms_median <= row.ms_max
        assert row.fps == pytest.approx(1000 / row.ms_median)
        assert row.throughput_fps > 0 and row.load_s > 0
        assert row.gflop == pytest.approx(flop / 1e9)
        assert row.gflops == pytest.approx(flop / row.ms_median / 1e6)
        assert 20 < row.peak_memory_mb < 4000
        assert row.speedup_min is not None and row.speedup_max is not None
        assert row.speedup_vs_eager is not None
        assert row.speedup_min <= row.speedup_vs_eager <= row.speedup_max
    eager = of_trained.rows[0]
    assert (eager.speedup_vs_eager, eager.label_agreement) == (1, 1)
    weights = (model_directory / "model.safetensors").stat().st_size / 1e6
    assert eager.file_mb == pytest.approx(weights, rel=0.01)


def test_labels_are_compared_and_scored(of_trained: Bench, model_directory: Path) -> None:
    by_name = {(row.runtime, row.precision): row for row in of_trained.rows}
    onnx = by_name["onnxruntime", "fp32"]
    assert onnx.label_agreement is not None
    assert onnx.label_agreement > 0.999
    assert onnx.miou == pytest.approx(of_trained.rows[0].miou, abs=1e-3)
    int8 = by_name["openvino", "int8"]
    assert int8.label_agreement is not None
    assert 0.3 < int8.label_agreement < 1
    # mIoU by hand, of the same two frames
    from dashseg.data import open_dataset
    from dashseg.inference.calibration import spread

    segmenter = load(model_directory, device="cpu")
    squashed = segmenter.input.model_copy(update={"size": of_trained.size, "resize": "squash"})
    segmenter = Segmenter(segmenter.runtime, squashed, segmenter.classes, "by hand")
    shown = spread(open_dataset(DataConfig(root=DATA), "val"), 2)
    pairs = [
        (segmenter(sample.image).label, sample.label) for sample in map(shown.__getitem__, range(2))
    ]
    ious = []
    for class_id in range(5):
        both = sum(int(((p == class_id) & (t == class_id)).sum()) for p, t in pairs)
        either = sum(int(((p == class_id) | (t == class_id))[t != 255].sum()) for p, t in pairs)
        ious.append(both / either)
    assert of_trained.rows[0].miou == pytest.approx(np.mean(ious), abs=1e-3)


def test_json_has_the_schema_that_scripts_read(of_trained: Bench) -> None:
    values = json.loads(json.dumps(of_trained.to_dict()))
    assert values["schema"] == 1
    assert {"processor", "threads", "matrix_gflops", "packages"} <= values["machine"].keys()
    assert {"fp32", "int8"} <= values["machine"]["matrix_gflops"].keys()
    asked = {"runtime", "precision", "ms_median", "ms_min", "ms_max", "fps", "speedup_vs_eager"}
    asked |= {"label_agreement", "miou"}
    assert all(row.keys() >= asked for row in values["rows"])
    assert sum(row["best"] for row in values["rows"]) == 1


def test_an_exported_file_gets_its_own_row_alone(
    exported_files: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashseg.bench.run.PEAK_SECONDS", 0.05)
    monkeypatch.setattr("dashseg.bench.run.QUEUE_SECONDS", 0.2)
    arguments = ["--frames", "1", "--rounds", "1", "--json"]
    assert main(["bench", str(exported_files["openvino"]), *arguments]) == 0
    values = json.loads(capsys.readouterr().out)
    (row,) = values["rows"]
    assert (row["runtime"], row["precision"]) == ("openvino", "fp32")
    assert (row["speedup_vs_eager"], row["label_agreement"], row["miou"]) == (None, None, None)
    assert values["size"] == [36, 64]


def test_the_graphs_operations_are_those_that_the_layers_sum_up_to(
    exported_files: dict[str, Path], model_directory: Path
) -> None:
    network = load(model_directory, device="cpu").network
    expected = 2 * summarise(network, (36, 64))[1].multiply_adds
    for path in exported_files.values():
        assert graph_flop(path, (36, 64)) == pytest.approx(expected, rel=1e-3)


def test_the_best_is_the_fastest_that_keeps_its_accuracy() -> None:
    eager = a_row(runtime="torch eager", precision="fp32", ms_median=100.0, miou=0.8)
    close = a_row(precision="bf16", ms_median=50.0, miou=0.7975)
    worse = a_row(precision="int8", ms_median=20.0, miou=0.79)
    assert a_bench(eager, close, worse).best is close
    assert a_bench(eager, worse).best is eager


def test_without_labels_no_row_is_the_best() -> None:
    assert a_bench(a_row(runtime="torch eager", ms_median=1.0), a_row(ms_median=2.0)).best is None


def test_a_worker_that_dies_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    way = Way("openvino", "fp32", str(tmp_path / "gone"), InputConfig(), 0)
    with pytest.raises(WorkerError, match="gone"):
        Worker(way, np.zeros((40, 56, 3), np.uint8))


def test_a_workers_process_holds_no_library_that_its_runtime_does_without() -> None:
    code = "import sys, dashseg.bench.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_the_machine_has_a_name_and_cores() -> None:
    machine = describe_machine()
    assert machine["processor"] and machine["threads"] >= 1
    assert machine["packages"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{model}", "--size", "8x8"], "--size 8x8 is too small"),
        (["{model}", "--size", "big"], "expected HxW"),
        (["{onnx}", "--size", "64x96"], "takes frames of 36x64 only"),
        (["{model}", "--data", "no/such/folder"], "no such folder"),
        (["no/such/model/x"], "no such model"),
    ],
)
def test_bad_input_is_one_line(
    model_directory: Path,
    exported_files: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    filled = [entry.format(model=model_directory, **exported_files) for entry in arguments]
    assert main(["bench", *filled]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert says in error


def test_data_of_other_classes_is_an_error(
    model_directory: Path, write_folder: Callable[..., object], tmp_path: Path
) -> None:
    palette = "classes: {red: '#ff0000', green: '#00ff00', blue: '#0000ff'}\nmasks: id\n"
    write_folder(tmp_path / "data", [f"f{number}" for number in range(20)], palette, None)
    options = QUICK(data=DataConfig(root=str(tmp_path / "data")))
    with pytest.raises(InputError, match=r"data has the classes red, green, blue; .* has road"):
        bench(str(model_directory), options)
