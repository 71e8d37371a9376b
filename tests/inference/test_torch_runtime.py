"""PyTorch's runtime: half precision only where labels stay, and a GPU that is full."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from dashseg.config import load_recipe
from dashseg.errors import InputError
from dashseg.inference import load
from dashseg.inference.torch_runtime import AGREEMENT, TorchRuntime
from dashseg.models import build_model
from dashseg.scenes import render_scene


@pytest.fixture
def runtime(model_directory: Path) -> TorchRuntime:
    """A tiny network on the CPU."""
    found = load(model_directory, device="cpu").runtime
    assert isinstance(found, TorchRuntime)
    return found


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    scenes = [render_scene(0, number, (109, 145)).image for number in range(2)]
    return np.stack(scenes)


def test_half_precision_is_used_where_it_keeps_the_label(
    runtime: TorchRuntime, frames: np.ndarray
) -> None:
    whole = runtime(frames)
    runtime.try_half()
    assert runtime.half is None  # until there is a batch to compare
    half = runtime(frames)
    assert runtime.half is torch.float16 and half.dtype == torch.float32
    assert not torch.equal(whole, half)
    assert (whole.argmax(1) == half.argmax(1)).float().mean() >= AGREEMENT


def test_half_precision_is_not_used_where_it_overflows(frames: np.ndarray) -> None:
    config = load_recipe("real-time", ["model.encoder.width=0.25", "model.aspp.channels=8"]).model
    network = build_model(config).eval()
    with torch.no_grad():
        network.decoder.classifier.weight.mul_(1e7)  # more than float16 holds
    runtime = TorchRuntime(copy.deepcopy(network), config)
    whole = runtime(frames)
    runtime.try_half()
    assert torch.equal(runtime(frames), whole)
    assert runtime.half is None
    assert torch.equal(runtime(frames), whole)  # it is tried once


def test_half_precision_is_not_used_where_it_changes_labels(
    runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch, frames: np.ndarray
) -> None:
    monkeypatch.setattr("dashseg.inference.torch_runtime.AGREEMENT", 1.0)
    runtime.try_half(torch.bfloat16)  # eight bits: some pixels of every frame change
    runtime(frames)
    assert runtime.half is None


def test_a_cpu_computes_in_float32_also_where_half_is_allowed(model_directory: Path) -> None:
    runtime = load(model_directory, device="cpu", half=True).runtime
    assert isinstance(runtime, TorchRuntime)
    runtime(np.zeros((1, 36, 64, 3), np.uint8))
    assert runtime.half is None


def test_a_full_gpu_is_an_error_that_says_what_to_lower(
    runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch, frames: np.ndarray
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(runtime.network, "coarse_logits", full)
    with pytest.raises(InputError, match="memory is full at 2 frames of 109×145: lower --batch"):
        runtime(frames)


def test_a_call_of_the_network_does_not_wait_for_a_gpu(
    runtime: TorchRuntime, frames: np.ndarray
) -> None:
    """The device "meta" has no values: reading one back, which is what waits, raises an error."""
    runtime.device = torch.device("meta")
    runtime.network.to("meta")
    runtime._normalise.to("meta")
    assert runtime(frames).is_meta
