"""Augmentation on a GPU never waits for it: "meta", a device without memory, stands for one."""

from __future__ import annotations

import traceback

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dashseg.config import AugmentConfig
from dashseg.training.augment import Augment, Draws
from dashseg.training.augment.transfer import constant, sent

META = torch.device("meta")
EVERYTHING = {
    "crop": (64, 96), "flip": 0.5, "scale": (0.5, 2), "rotate": 10, "distort": {"share": 1},
    "dropout": {"share": 1}, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1,
    "gamma": (0.7, 1.5), "noise": 0.05, "night": {"share": 0.5}, "rain": {"share": 0.5},
    "fog": {"share": 0.5},
}  # fmt: skip


class Waits(TorchDispatchMode):
    """Notes where the CPU's tensors are copied to the device in a way that waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.sites: list[str] = []
        self.copies = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu":
            self.copies += kwargs.get("device") == META
            if kwargs.get("device") == META and not kwargs.get("non_blocking"):
                self.sites.append(traceback.format_stack()[-2])
        return func(*args, **kwargs)


@pytest.mark.parametrize("flip_alone", [True, False])
def test_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch, flip_alone: bool) -> None:
    def refuse(*arguments: object, **settings: object) -> torch.Tensor:
        raise AssertionError("new_tensor copies, and waits")

    monkeypatch.setattr(torch.Tensor, "new_tensor", refuse)
    # There is no generator for "meta".
    monkeypatch.setattr(
        Draws, "normal", lambda draws, shape, device: torch.empty(len(draws), *shape, device=device)
    )
    config = AugmentConfig.model_validate({"flip": 0.5} if flip_alone else EVERYTHING)
    image = torch.empty(8, 3, 64, 96, dtype=torch.uint8, device=META)
    label = torch.empty(8, 64, 96, dtype=torch.long, device=META)
    with Waits() as waits:  # and what reads a value back raises by itself
        ours, ids = Augment(config, (0.5, 0.5, 0.5))(image, label, Draws.of_batch((1,), range(8)))
    assert ours.shape == image.shape and ids.shape == label.shape
    assert waits.copies > 0 and not waits.sites


def test_what_is_sent_is_the_same_and_a_constant_is_sent_once() -> None:
    values = torch.arange(3.0)
    assert sent(values, torch.device("cpu")) is values
    assert constant((1.0, 2.0), torch.device("cpu")).tolist() == [1, 2]
    assert constant((1.0, 2.0), META) is constant((1.0, 2.0), META)
