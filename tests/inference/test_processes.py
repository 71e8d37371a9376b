"""A loaded model in threads, after a fork and in another process: the labels of one thread."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.inference import Segmenter, load
from dashseg.inference.torch_runtime import TorchRuntime

RUNTIMES = ["torch", "onnx", "openvino"]
# With several threads: a child of a process that computed with them hung before its first result.
FORKED = """
import os, sys
import numpy as np
import dashseg
segment = dashseg.load(sys.argv[1], device="cpu")
frame = np.random.default_rng(0).integers(0, 256, (200, 280, 3), np.uint8)
expected = segment(frame).label
child = os.fork()
if child == 0:
    again = dashseg.load(sys.argv[1], device="cpu")
    same = all(np.array_equal(model(frame).label, expected) for model in (segment, again))
    os._exit(0 if same else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(params=RUNTIMES)
def path(
    request: pytest.FixtureRequest, model_directory: Path, exported: Callable[..., Path]
) -> Path:
    """The model in each runtime."""
    if request.param == "torch":
        return model_directory
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[request.param])
    return exported(request.param)


def frames(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (100 + n, 150, 3), np.uint8) for n in range(count)]


def test_many_threads_share_a_model(path: Path) -> None:
    segmenter = load(path, device="cpu")
    images = frames(12)
    expected = [segmenter(image).label for image in images]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: segmenter(images[n % 12]).label, range(96)))
    assert all(np.array_equal(found[n], expected[n % 12]) for n in range(96))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_computes_the_same(path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "4"}
    program = subprocess.Popen(
        [sys.executable, "-c", FORKED, str(path)], env=environment, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert program.communicate(timeout=60)[0] == "0\n"
    finally:
        if program.poll() is None:  # its child is what hangs
            os.killpg(program.pid, signal.SIGKILL)


def test_a_model_on_a_gpu_says_after_a_fork_what_to_do(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = load(model_directory, device="cpu")
    assert isinstance(segmenter.runtime, TorchRuntime)
    segmenter.runtime.device = torch.device("cuda")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(InputError, match="cannot be used after a fork: load it in each process"):
        segmenter(frames(1)[0])


def test_a_pickled_model_is_opened_again_in_another_process(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    segmenter = load(path.name, device="cpu", tta=("flip",))
    data = pickle.dumps(segmenter)
    assert len(data) < 2000  # where it is, not what it weighs
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(data)
    image = frames(1)[0]
    assert (again.name, again.tta) == (path.name, ("flip",))
    assert np.array_equal(again(image).label, segmenter(image).label)


def test_a_model_that_is_of_no_file_cannot_be_pickled(segmenter: Segmenter) -> None:
    made = Segmenter(segmenter.runtime, segmenter.input, segmenter.classes, "mine")
    with pytest.raises(InputError, match="mine was not loaded from files"):
        pickle.dumps(made)
