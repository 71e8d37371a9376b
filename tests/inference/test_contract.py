"""README.md and example.py of an export: enough to run it without dashseg or PyTorch."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import dashseg
from dashseg.inference import Segmenter
from dashseg.inference.export import ExportPlan, export_model

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]

# Runs a script where what it has no need of cannot be imported.
ALONE = """
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dashseg", "torch", "onnx", "nncf", "yaml", "pydantic", "PIL"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_alone(*arguments: Path) -> None:
    command = [sys.executable, "-I", "-c", ALONE, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_the_example_gives_dashsegs_labels(
    exported: Callable[..., Path], frame: NDArray[np.uint8], format: str, tmp_path: Path
) -> None:
    folder = exported(format)
    cv2.imwrite(str(tmp_path / "frame.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    run_alone(folder / "example.py", tmp_path / "frame.png", tmp_path / "mask.png")
    segment = dashseg.load(folder, device="cpu")
    label = segment(frame).label
    assert len(np.unique(label)) > 1
    colours = np.array(segment.classes.colours, np.uint8)
    mask = cv2.cvtColor(cv2.imread(str(tmp_path / "mask.png")), cv2.COLOR_BGR2RGB)
    assert (mask == colours[label]).all(-1).mean() > 0.999  # equal but for ties


@pytest.mark.parametrize("size", [None, (40, 72)])
def test_the_readme_states_the_contract(
    segmenter: Segmenter, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    export_model(segmenter, tmp_path / "out", ExportPlan("onnx", "fp32", size))
    text = (tmp_path / "out" / "README.md").read_text()
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    (given,), (found,) = session.get_inputs(), session.get_outputs()
    shape = "B, 40, 72, 3" if size else "B, h, w, 3"
    assert f"| `{given.name}` | uint8 | ({shape}) |" in text
    height, width = size or (64, 96)
    logits = session.run(None, {given.name: np.zeros((1, height, width, 3), np.uint8)})[0]
    stride = int(re.search(r"⌈h / (\d+)⌉", text)[1])  # type: ignore[index]
    assert logits.shape[2:] == (-(-height // stride), -(-width // stride))
    assert f"| `{found.name}` | float32 | (B, 5," in text
    assert "mean (0.4, 0.5, 0.6) and std\n(0.2, 0.25, 0.3)" in text
    rule = "Resize each frame to 40×72" if size else "Resize each frame to fit into 36×64"
    assert rule in text
    rows = re.findall(r"\| (\d+) \| (.+) \| `(#\w{6})` \| (.+) \|", text)
    assert [name for _, name, _, _ in rows] == list(segmenter.classes.names)
    assert rows[0][2:] == ("#402020", "64, 32, 32")
    assert str(tmp_path) not in text


def test_the_cpp_example_gives_dashsegs_labels(
    exported: Callable[..., Path], frame: NDArray[np.uint8], tmp_path: Path
) -> None:
    import openvino

    compiler, package = shutil.which("g++"), Path(openvino.__file__).parent
    libraries = sorted(package.glob("libs/libopenvino.so.*"))
    if compiler is None or not libraries or not (package / "include").is_dir():
        pytest.skip("no g++, or an OpenVINO without headers")
    source, program = ROOT / "examples" / "segment.cpp", tmp_path / "segment"
    paths = [f"-I{package / 'include'}", str(libraries[0]), f"-Wl,-rpath,{package / 'libs'}"]
    build = [compiler, "-std=c++17", "-O0", "-o", str(program), str(source), *paths]
    subprocess.run(build, check=True, timeout=300)
    folder = exported("openvino", size=(36, 64))
    cv2.imwrite(str(tmp_path / "frame.ppm"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    files = [folder / "model.xml", tmp_path / "frame.ppm", tmp_path / "label.pgm"]
    subprocess.run([program, *files], check=True, timeout=120)
    found = cv2.imread(str(tmp_path / "label.pgm"), cv2.IMREAD_GRAYSCALE)
    expected = dashseg.load(folder, device="cpu")(frame).label
    assert (found == expected).mean() > 0.99  # OpenCV resizes in other steps


def test_a_model_directory_has_no_such_contract(segmenter: Segmenter, tmp_path: Path) -> None:
    export_model(segmenter, tmp_path / "out", ExportPlan("torch", "fp16"))
    assert not (tmp_path / "out" / "example.py").exists()
