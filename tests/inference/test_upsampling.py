"""A label is the argmax of bilinear logits, without the memory that all of them would take."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.errors import InputError
from dashseg.inference.upsampling import _on_device, label_at

SIZES = [  # h, w -> H, W: grown, shrunk, odd, one of each, a row, unchanged
    ((437, 582), (874, 1164)),
    ((37, 51), (211, 173)),
    ((36, 64), (101, 97)),
    ((64, 48), (33, 31)),
    ((50, 40), (25, 90)),
    ((32, 32), (1, 1)),
    ((33, 47), (1, 300)),
    ((192, 256), (874, 1164)),
    ((448, 576), (871, 1163)),
    ((40, 56), (40, 56)),
]
# For how much memory the process holds at most, in MB, while it labels 19 classes at 2000×3000.
PEAK = """
import resource, sys
import numpy as np
from dashseg.errors import InputError
from dashseg.inference.upsampling import _on_device, label_at

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

logits = np.random.default_rng(0).random((19, 100, 150), np.float32)
if sys.argv[1] == "tensor":
    import torch
    logits = torch.from_numpy(logits)
label_at((200, 300), logits)
before = peak()
label = label_at((2000, 3000), logits)
print(label.shape, "torch" in sys.modules, peak() - before)
"""


def smooth_logits(classes: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Logits with regions and edges, as networks give them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, classes, size[0] // 8 + 1, size[1] // 8 + 1, generator=generator)
    return F.interpolate(4 * coarse, size=size, mode="bicubic")[0].contiguous()


def full_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("kind", ["tensor", "array"])
@pytest.mark.parametrize(("size", "new"), SIZES)
@pytest.mark.parametrize("classes", [2, 5])
def test_a_label_is_the_argmax_but_for_ties(
    size: tuple[int, int], new: tuple[int, int], classes: int, kind: str
) -> None:
    for logits in (smooth_logits(classes, size), torch.randn(classes, *size)):
        full = full_size(logits.double(), new)  # in 64 bits, where hardly anything ties
        label = label_at(new, logits if kind == "tensor" else logits.numpy())
        assert label.shape == new and label.dtype == np.uint8
        chosen = full.gather(0, torch.from_numpy(label)[None].long())[0]
        lost = full.amax(0) - chosen
        assert lost.max() < 1e-5 * logits.abs().max()  # of float32's rounding
        assert (lost > 0).float().mean() < 1e-5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_no_numbers_change_only_the_pixels_around_them(value: float) -> None:
    logits = smooth_logits(3, (36, 64))
    damaged = logits.clone()
    damaged[1, 10, 20] = value
    label, expected = (label_at((144, 256), each.numpy()) for each in (damaged, logits))
    outside = np.ones((144, 256), bool)
    outside[36:48, 76:88] = False
    assert np.array_equal(label[outside], expected[outside])


def test_the_memory_order_changes_no_pixel() -> None:
    logits = torch.randn(5, 61, 83)
    channels_last = logits.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    expected = label_at((207, 311), logits)
    assert np.array_equal(label_at((207, 311), channels_last), expected)
    assert np.array_equal(label_at((207, 311), channels_last.numpy()), expected)


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_of_equal_classes_the_first_wins(kind: str) -> None:
    logits = torch.tensor([1.0, 3.0, 3.0, 2.0]).view(4, 1, 1).expand(4, 32, 32).contiguous()
    label = label_at((50, 70), logits if kind == "tensor" else logits.numpy())
    assert (label == 1).all()


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_no_class_is_kept_at_full_size(kind: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PEAK, kind], capture_output=True, text=True, check=True, timeout=120
    )
    shape, _, rest = run.stdout.strip().rpartition(") ")
    torch_imported, megabytes = rest.split()
    assert shape == "(2000, 3000"
    assert torch_imported == str(kind == "tensor")  # an array needs no PyTorch
    assert float(megabytes) < 100  # a map of floats is 23 MB, and the logits of 19 classes 435


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_gpus_label_of_logits_that_are_not_finite_is_an_error(bad: float) -> None:
    """Its tensors are on the CPU here."""
    logits = smooth_logits(5, (36, 64))
    assert np.array_equal(_on_device(logits, (72, 128)), full_size(logits, (72, 128)).argmax(0))
    logits[3, 20, 20] = bad
    with pytest.raises(InputError, match="gives NaN or infinity"):
        _on_device(logits, (72, 128))
