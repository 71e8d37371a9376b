"""Stops a training whose loss or weights become NaN or infinite, and names the step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dashseg.errors import InputError

_EVERY = 20  # batches between checks on a GPU, each of which waits for it


class FiniteCheck:
    """Remembers the first step with a loss that is not finite, and raises an error for it.

    The step is kept on the device and read only now and then, because reading waits for the GPU. On
    a CPU it is read after each batch. Loss and weights are always checked before a checkpoint.
    """

    def __init__(self, device: torch.device) -> None:
        self._first_bad = torch.tensor(-1, device=device)  # the step
        self._every = 1 if device.type == "cpu" else _EVERY
        self._noted = 0

    def note(self, loss: Tensor, steps: int, epoch: int) -> None:
        """Check the loss of a batch, now or within the next `_EVERY` batches.

        Args:
            loss: float scalar on the device.
            steps: of the optimiser, including this batch's.

        Raises:
            InputError: this or an earlier loss is not finite.
        """
        bad = ~torch.isfinite(loss) & (self._first_bad < 0)
        self._first_bad = torch.where(bad, max(0, steps - 1), self._first_bad)
        self._noted += 1
        if self._noted % self._every == 0:
            self._check_losses(epoch)

    def check_validation(self, loss: float, steps: int, epoch: int) -> None:
        """Raise InputError if a training loss so far, or this validation loss, is not finite."""
        self._check_losses(epoch)
        if not math.isfinite(loss):
            raise _not_finite("validation loss", steps - 1, epoch)

    def check_weights(self, model: nn.Module, steps: int, epoch: int) -> None:
        """Raise InputError if a training loss so far, or a weight, is not finite."""
        self._check_losses(epoch)
        norms = torch._foreach_norm([p.detach() for p in model.parameters()])
        if not torch.isfinite(torch.stack(norms)).all():
            raise _not_finite("weights", steps - 1, epoch)

    def _check_losses(self, epoch: int) -> None:
        step = int(self._first_bad)
        if step >= 0:
            raise _not_finite("loss", step, epoch)


def warn_if_worse_than_a_guess(loss: float, classes: int, say: Callable[[str], None]) -> None:
    """Say so where a validation loss is above that of a uniform guess, ln(classes)."""
    guess = math.log(classes)
    if loss > guess:
        say(
            f"warning: val CE {loss:.3g} is worse than guessing, {guess:.3g}: train for more"
            " epochs, or on more frames"
        )


def _not_finite(what: str, step: int, epoch: int) -> InputError:
    return InputError(
        f"{what} became NaN or infinite at step {step} (epoch {epoch}); earlier checkpoints are"
        " kept. Lower optimizer.learning_rate, set training.gradient_clip, or use"
        " training.precision=float32"
    )
