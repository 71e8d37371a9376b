import pytest
import torch
from torch import nn

from dashseg.errors import InputError
from dashseg.training.finite import FiniteCheck

CPU = torch.device("cpu")


def test_the_first_step_with_a_nan_loss_is_named() -> None:
    check = FiniteCheck(CPU)
    check.note(torch.tensor(1.0), steps=1, epoch=0)
    with pytest.raises(InputError, match=r"loss became NaN or infinite at step 1 \(epoch 0\)"):
        check.note(torch.tensor(float("nan")), steps=2, epoch=0)


def test_a_nan_weight_is_found_before_it_is_saved() -> None:
    layer = nn.Linear(2, 2)
    check = FiniteCheck(CPU)
    check.check_weights(layer, steps=3, epoch=0)
    nn.init.constant_(layer.bias, float("inf"))
    with pytest.raises(InputError, match=r"weights became NaN or infinite at step 2 \(epoch 0\)"):
        check.check_weights(layer, steps=3, epoch=0)


def test_a_nan_validation_loss_is_an_error() -> None:
    check = FiniteCheck(CPU)
    check.check_validation(0.5, steps=3, epoch=0)
    with pytest.raises(InputError, match="validation loss became NaN or infinite at step 2"):
        check.check_validation(float("nan"), steps=3, epoch=0)


def test_the_check_does_not_wait_for_the_gpu_at_every_step() -> None:
    """A device without memory, "meta", stands for the GPU: reading it is an error."""
    check = FiniteCheck(torch.device("meta"))
    for step in range(19):
        check.note(torch.zeros((), device="meta"), steps=step + 1, epoch=0)
