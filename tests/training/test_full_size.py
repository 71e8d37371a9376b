"""The loss at full size is plain PyTorch's, and holds a few frames at once."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dashseg.config import LossConfig, LossTerm
from dashseg.training import full_size
from dashseg.training.full_size import summed_over_frames
from dashseg.training.losses import build_loss


def _case(dtype=torch.float64, size=(21, 30)):
    torch.manual_seed(0)
    logits = torch.randn(5, 4, 3, 4, dtype=dtype, requires_grad=True)
    label = torch.randint(0, 4, (5, *size))
    label[torch.rand(label.shape) < 0.2] = 255
    label[3] = 255  # a frame of which nothing counts
    return logits, label


def _plain(logits, label, weights=None):
    full = F.interpolate(logits, label.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(full, label, weights, ignore_index=255, reduction="sum")


@pytest.mark.parametrize("pixels", [1, 2 * 21 * 30, 10**6])  # one frame at a time, two, all
def test_value_and_gradient_equal_plain_pytorchs(
    monkeypatch: pytest.MonkeyPatch, pixels: Any
) -> None:
    monkeypatch.setattr(full_size, "PIXELS_AT_A_TIME", pixels)
    logits, label = _case()
    want = _plain(logits, label)
    (slope,) = torch.autograd.grad(3 * want, logits)
    ours = summed_over_frames(
        lambda full, frames: _plain(full, label[frames]), logits, label.shape[-2:]
    )
    (own,) = torch.autograd.grad(3 * ours, logits)
    assert torch.allclose(ours, want, rtol=1e-12)
    assert torch.allclose(own, slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pixels", [1, 10**6])
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "lovasz", "dice", "ohem"])
def test_every_term_has_the_same_value_for_coarse_and_enlarged_logits(
    monkeypatch: pytest.MonkeyPatch, name: str, pixels: Any
) -> None:
    logits, label = _case(torch.float32)
    monkeypatch.setattr(full_size, "PIXELS_AT_A_TIME", 10**6)
    term = LossTerm.model_validate({"name": name, "weight": 0.7})
    loss = build_loss(LossConfig(terms=(term,)), [1.0, 5.0, 0.5, 2.0])
    full = F.interpolate(logits, label.shape[-2:], mode="bilinear", align_corners=False)
    want = loss(full, label)  # there is nothing to enlarge
    monkeypatch.setattr(full_size, "PIXELS_AT_A_TIME", pixels)
    ours = loss(logits, label)
    assert ours.item() == pytest.approx(want.item(), rel=1e-5)
    grads = [torch.autograd.grad(value, logits)[0] for value in (want, ours)]
    assert torch.allclose(grads[0], grads[1], rtol=1e-4, atol=1e-7)


def test_half_precision_logits_keep_tiny_gradients() -> None:
    logits, label = _case(torch.float32, size=(437, 582))
    scale = 2.0**16  # as fp16 training scales its loss
    halves = logits.detach().half().requires_grad_()
    loss = build_loss(LossConfig(), None)
    (loss(halves, label) * scale).backward()
    (want,) = torch.autograd.grad(loss(logits, label) * scale, logits)
    assert torch.allclose(halves.grad.float(), want, rtol=0.02, atol=0.02 * want.abs().max())


def test_only_a_few_frames_have_full_size_logits_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_size, "PIXELS_AT_A_TIME", 1)
    largest = []

    def part(full, frames):
        largest.append(full.numel())
        return _plain(full, label[frames])

    logits, label = _case()
    value = summed_over_frames(part, logits, label.shape[-2:])
    assert largest == [4 * 21 * 30] * 5
    function: Any = value.grad_fn
    (kept,) = function.saved_tensors
    assert kept.shape == logits.shape  # the gradient, at the logits' own size
