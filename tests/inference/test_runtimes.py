"""One model in every runtime: the same labels, of any frame, with nothing beside the file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import dashseg
from dashseg.errors import InputError
from dashseg.inference import Result, Segmenter, load
from dashseg.inference.export import ExportPlan, export_model
from dashseg.inference.runtime import thread_limit

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

# Recipe -> the stride at which its decoder ends. comma10k-full is comma10k-half at another size,
# small-base and real-time-l are as real-time in this, and small-camvid as demo.
RECIPES = {"demo": 2, "original": 8, "camvid": 2, "comma10k-half": 2, "real-time": 4, "small": 2}
FILES = {"onnx": "model.onnx", "openvino": "model.xml"}
FIRST_LABEL = """
import sys
import dashseg
result = dashseg.load(sys.argv[1])(sys.argv[2])
result.overlay()
print(result.label.shape, "torch" in sys.modules)
"""

CTRL_C = """
import signal, sys
import dashseg
first, second = dashseg.load(sys.argv[1]), dashseg.load(sys.argv[1])
del first
del second
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""


def frame_of(size: tuple[int, int]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(list(size))
    blocks = rng.integers(0, 256, (-(-size[0] // 8), -(-size[1] // 8), 3)).repeat(8, 0).repeat(8, 1)
    noisy = blocks[: size[0], : size[1]] + rng.normal(0, 20, (*size, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def assert_same(actual: Result, expected: Result) -> None:
    """The same logits up to float32's rounding, and the same label where those do not tie."""
    logits, wanted = torch.as_tensor(actual.logits), torch.as_tensor(expected.logits)
    scale = wanted.abs().max()
    assert logits.shape == wanted.shape
    assert (logits - wanted).abs().max() < 1e-4 * scale
    full = torch.nn.functional.interpolate(
        wanted[None], size=expected.label.shape, mode="bilinear"
    )[0]
    first, second = full.topk(2, dim=0).values
    clear = (first - second > 4e-4 * scale).numpy()
    assert clear.mean() > 0.95
    assert np.array_equal(actual.label[clear], expected.label[clear])


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipes_network_gives_the_same_labels(
    recipe_model: Callable[[str], Segmenter], recipe: str, format: str, tmp_path: Path
) -> None:
    trained = recipe_model(recipe)
    export_model(trained, tmp_path / "out", ExportPlan(format), lambda _: {})
    exported = load(tmp_path / "out", device="cpu")
    assert exported.runtime.size is None
    seen = set()
    for size in ((40, 56), (33, 47), (71, 39), (109, 145)):
        expected = trained(frame_of(size))
        assert_same(exported(frame_of(size)), expected)
        seen |= {*np.unique(expected.label)}
    assert len(seen) >= 3  # or the test could not fail
    batch = np.stack([frame_of((37, 61)), frame_of((37, 61))[:, ::-1]])
    expected_logits = np.asarray(trained.runtime(batch))
    logits = np.asarray(exported.runtime(batch))
    assert logits.shape == (2, 5, -(-37 // RECIPES[recipe]), -(-61 // RECIPES[recipe]))
    assert np.allclose(logits, expected_logits, atol=1e-4 * np.abs(expected_logits).max())


@pytest.mark.parametrize("format", FILES)
def test_the_file_carries_all_that_is_needed(
    exported: Callable[..., Path],
    segmenter: Segmenter,
    frame: NDArray[np.uint8],
    format: str,
    tmp_path: Path,
) -> None:
    folder = exported(format)
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    for file in folder.iterdir():
        if file.suffix in (".onnx", ".xml", ".bin"):
            shutil.copy(file, alone / f"renamed{file.suffix}")
    file = alone / f"renamed{Path(FILES[format]).suffix}"
    for name in (file, folder):
        loaded = dashseg.load(str(name), device="cpu")
        assert loaded.classes == segmenter.classes
        assert loaded.input == segmenter.input
        assert (loaded.name, loaded.run) == (str(name), None)
        assert loaded.weights is not None and loaded.weights.suffix in (".onnx", ".bin")
        assert loaded.weights.is_file()
        assert_same(loaded(frame), segmenter(frame))


@pytest.mark.parametrize("format", FILES)
def test_a_file_of_fixed_size_takes_frames_of_any(
    exported: Callable[..., Path], segmenter: Segmenter, format: str
) -> None:
    loaded = load(exported(format, size=(48, 80)), device="cpu")
    assert loaded.runtime.size == (48, 80)
    squashing = segmenter.input.model_copy(update={"size": (48, 80), "resize": "squash"})
    reference = Segmenter(segmenter.runtime, squashing, segmenter.classes, "reference")
    for size in ((40, 56), (97, 61)):
        assert_same(loaded(frame_of(size)), reference(frame_of(size)))


@pytest.mark.parametrize("format", FILES)
def test_augmentation_works_in_every_runtime(
    exported: Callable[..., Path], segmenter: Segmenter, frame: NDArray[np.uint8], format: str
) -> None:
    tta = ("flip", "multiscale")
    trained = Segmenter(segmenter.runtime, segmenter.input, segmenter.classes, "tta", tta=tta)
    loaded = load(exported(format), device="cpu", tta=tta)
    assert np.allclose(loaded(frame).probabilities, trained(frame).probabilities, atol=1e-3)


def test_a_fixed_size_has_no_multiscale(exported: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"takes frames of 48×80 .* --size dynamic"):
        load(exported("onnx", size=(48, 80)), tta=("multiscale",))


@pytest.mark.parametrize("format", FILES)
def test_the_first_label_needs_no_pytorch(
    exported: Callable[..., Path], format: str, frame: NDArray[np.uint8], tmp_path: Path
) -> None:
    import PIL.Image

    PIL.Image.fromarray(frame).save(tmp_path / "frame.png")
    command = [
        sys.executable,
        "-c",
        FIRST_LABEL,
        str(exported(format)),
        str(tmp_path / "frame.png"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout == "(40, 56) False\n"


@pytest.mark.parametrize("format", FILES)
def test_an_exported_model_has_no_layers(exported: Callable[..., Path], format: str) -> None:
    loaded = load(exported(format), device="cpu")
    for ask in (lambda: loaded.network, lambda: loaded.config):
        with pytest.raises(InputError, match=r"an exported model.*name the run"):
            ask()


def test_threads_are_those_that_the_user_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_limit() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 2}, raising=False)
    assert thread_limit() == 2
    for wrong in ("²", "-1", "0", "x", "9" * 5000):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        assert thread_limit() == 2
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert thread_limit() is None


@pytest.mark.parametrize("format", FILES)
def test_a_device_that_the_runtime_has_not_is_an_error(
    exported: Callable[..., Path], format: str
) -> None:
    with pytest.raises(InputError, match=r"device 'mps'"):
        load(exported(format), device="mps")


@pytest.mark.parametrize("format", FILES)
def test_a_damaged_file_is_an_error_that_names_it(
    exported: Callable[..., Path], format: str, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(exported(format), tmp_path / "copy"))
    file = copy / FILES[format]
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=rf"{FILES[format]}: cannot be read as an"):
        load(file, device="cpu")


def test_an_openvino_model_without_its_weights_is_an_error(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copy(exported("openvino") / "model.xml", tmp_path)
    with pytest.raises(InputError, match=r"its weights model.bin are not beside it"):
        load(tmp_path / "model.xml", device="cpu")


def test_an_openvino_model_cut_in_its_weights_is_an_error(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(exported("openvino"), tmp_path / "copy"))
    (copy / "model.bin").write_bytes((copy / "model.bin").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model.xml: cannot be read as an OpenVINO model"):
        load(copy, device="cpu")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.onnx", "no such file"),
        ("nowhere/model.onnx", "no such file"),
        ("notes.txt", "not a model; name a run"),
    ],
)
def test_a_file_that_is_no_model_is_an_error(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=says):
        load(tmp_path / name)


def test_a_folder_of_two_exports_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    (tmp_path / "model.xml").touch()
    with pytest.raises(InputError, match=r"holds model.onnx and model.xml: name one"):
        load(tmp_path)


def test_a_missing_package_is_an_error_that_says_how_to_get_it(
    exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        InputError, match=r"the package openvino, of .* extra 'deploy'.* pip install"
    ):
        load(exported("openvino"), device="cpu")


def test_ctrl_c_is_heard_after_models_came_and_went(exported: Callable[..., Path]) -> None:
    """Not with a Core for each: the process would be gone without a word."""
    command = [sys.executable, "-c", CTRL_C, str(exported("openvino"))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("stopped\n", 0), done.stderr
