"""Augmentation on a GPU never waits for it: "meta", a device without memory, stands for one."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dashseg.config import AugmentConfig
from dashseg.images import encode_png
from dashseg.training.augment import Augment, Draws
from dashseg.training.augment.transfer import constant, sent

META = torch.device("meta")
# But blur, which kornia sends without waiting to a real GPU alone, and bonnets, which wait.
EVERYTHING = {
    "crop": (64, 96), "flip": 0.5, "scale": (0.5, 2), "rotate": 10, "distort": {"share": 1},
    "dropout": {"share": 1}, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1,
    "gamma": (0.7, 1.5), "noise": 0.05, "night": {"share": 0.5}, "rain": {"share": 0.5},
    "fog": {"share": 0.5},
}  # fmt: skip


class Waits(TorchDispatchMode):
    """Notes where the CPU's tensors come to the device in a way that waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.sites: list[str] = []
        self.copies = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        on_cpu = any(x.device.type == "cpu" and x.ndim > 0 for x in tensors)
        if func is torch.ops.aten._to_copy.default:
            sent = on_cpu and kwargs.get("device") == META
            self.copies += sent
            waits = sent and not kwargs.get("non_blocking")
        else:  # copy_, an index from the CPU, …
            waits = on_cpu and any(x.device == META for x in tensors)
        if waits:
            self.sites.append(traceback.format_stack()[-2])
        return func(*args, **kwargs)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: torch.ones(3).to(META),
        lambda x: x.copy_(torch.ones(3)),
        lambda x: x[torch.tensor([0, 2])],
    ],
)
def test_the_test_detects_a_wait(wait: Callable[[torch.Tensor], object]) -> None:
    with Waits() as waits:
        wait(torch.empty(3, device=META))
    assert waits.sites


@pytest.mark.parametrize("flip_alone", [True, False])
def test_augmentation_does_not_wait_for_the_device(
    monkeypatch: pytest.MonkeyPatch, flip_alone: bool, tmp_path: Path
) -> None:
    (tmp_path / "reference.png").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    style = {"style": {"share": 0.8, "frames": [tmp_path]}}
    config = AugmentConfig.model_validate({"flip": 0.5} if flip_alone else EVERYTHING | style)
    augment = Augment(config, (0.5, 0.5, 0.5))

    def refuse(*arguments: object, **settings: object) -> torch.Tensor:
        raise AssertionError("this copies, and waits")

    def on_the_cpu(
        *arguments: Any, make: Callable[..., torch.Tensor] = torch.tensor, **settings: Any
    ) -> torch.Tensor:
        assert "device" not in settings, "this copies, and waits"
        return make(*arguments, **settings)

    monkeypatch.setattr(torch.Tensor, "new_tensor", refuse)
    monkeypatch.setattr(torch, "as_tensor", refuse)
    monkeypatch.setattr(torch, "tensor", on_the_cpu)
    # There is no generator for "meta".
    monkeypatch.setattr(
        Draws, "normal", lambda draws, shape, device: torch.empty(len(draws), *shape, device=device)
    )
    image = torch.empty(8, 3, 64, 96, dtype=torch.uint8, device=META)
    label = torch.empty(8, 64, 96, dtype=torch.long, device=META)
    with Waits() as waits:  # and what reads a value back raises by itself
        ours, ids = augment(image, label, Draws.of_batch((1,), range(8)))
    assert ours.shape == image.shape and ids.shape == label.shape
    assert waits.copies > 0 and not waits.sites


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_augmentation_does_not_wait_for_a_real_gpu() -> None:
    device = torch.device("cuda")
    config = AugmentConfig.model_validate({**EVERYTHING, "blur": 0.5})
    image = torch.zeros(8, 3, 64, 96, dtype=torch.uint8, device=device)
    label = torch.zeros(8, 64, 96, dtype=torch.long, device=device)
    augment = Augment(config, (0.5, 0.5, 0.5))
    augment(image, label, Draws.of_batch((1,), range(8)))  # sends its constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment(image, label, Draws.of_batch((2,), range(8)))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_sent_values_are_equal_and_a_constant_is_sent_once() -> None:
    values = torch.arange(3.0)
    assert sent(values, torch.device("cpu")) is values
    assert constant((1.0, 2.0), torch.device("cpu")).tolist() == [1, 2]
    assert constant((1.0, 2.0), META) is constant((1.0, 2.0), META)
    assert constant((1, 2), META).dtype == torch.float32
