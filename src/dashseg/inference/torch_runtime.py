"""A network in PyTorch, on any of its devices."""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from dashseg.config import ModelConfig
from dashseg.errors import InputError
from dashseg.inference.description import Description
from dashseg.inference.model_directory import load_model
from dashseg.inference.runtime import Batch
from dashseg.models import DeepLabV3
from dashseg.models.input import Normalise, to_batch

AGREEMENT = 0.999  # share of a label that half precision must keep, or it is not used

if hasattr(os, "register_at_fork"):  # not on Windows
    # A fork copies none of the threads that OpenMP waits for: computing with several would hang.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class TorchRuntime:
    """Runs `network` (in eval mode) as `config` says that its input is made.

    Args:
        channels_last: the memory format; faster than PyTorch's default on CPUs and on GPUs with
            tensor cores.

    Attributes:
        half: the type that convolutions are computed in, if it is not float32; see `try_half`.

    Raises:
        InputError: no such device, see `find_device`.
    """

    name = "torch"
    size = None
    precision = "fp32"
    parallel = 1

    def __init__(
        self,
        network: DeepLabV3,
        config: ModelConfig,
        device: str = "cpu",
        channels_last: bool = True,
    ) -> None:
        self.device = find_device(device)
        self._process = os.getpid()
        self.config = config
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(self.device).to(memory_format=self._layout)  # type: ignore[call-overload]
        self._normalise = Normalise(config.input).to(self.device)
        self.half: torch.dtype | None = None
        self._candidate: torch.dtype | None = None
        self._trying = threading.Lock()

    def try_half(self, dtype: torch.dtype = torch.float16) -> None:
        """Compute in half precision if that keeps `AGREEMENT` of the label of the next batch."""
        self._candidate = dtype

    @torch.inference_mode()
    def __call__(self, frames: Batch) -> Tensor:
        if self.device.type != "cpu" and os.getpid() != self._process:
            raise InputError(
                f"a model on {self.device} cannot be used after a fork: load it in each process,"
                ' and start processes with multiprocessing.get_context("spawn")'
            )
        try:
            batch = to_batch(self._sent(torch.from_numpy(frames)))  # uint8 (B, 3, h, w)
            image = self._normalise(batch).contiguous(memory_format=self._layout)
            if self._candidate is not None:
                self._compare(image)
            return self._logits(image, self.half)
        except torch.OutOfMemoryError:
            raise InputError(
                f"the GPU's memory is full at {len(frames)} frames of {frames.shape[1]}×"
                f"{frames.shape[2]}: lower --batch (batch_size), or use --device cpu"
            ) from None  # the error would keep the tensors alive

    def _sent(self, frames: Tensor) -> Tensor:
        """Copy to the device; from pinned memory a GPU copies while it computes earlier frames."""
        if self.device.type == "cuda":
            frames = frames.pin_memory()
        return frames.to(self.device, non_blocking=True)

    def _logits(self, image: Tensor, half: torch.dtype | None) -> Tensor:
        with nullcontext() if half is None else torch.autocast(self.device.type, half):
            logits = self.network.coarse_logits(image)
        return logits.float().contiguous()  # (B, C, h', w')

    def _compare(self, image: Tensor) -> None:
        """Settle whether half precision is used, by one batch."""
        with self._trying:
            if self._candidate is None:  # another thread was first
                return
            whole, half = self._logits(image, None), self._logits(image, self._candidate)
            same = (whole.argmax(1) == half.argmax(1)).float().mean()
            if bool(half.isfinite().all()) and float(same) >= AGREEMENT:
                self.half = self._candidate
            self._candidate = None


def open_torch(folder: Path, device: str = "auto") -> tuple[TorchRuntime, Description]:
    """Load a model directory.

    Raises:
        InputError: as `load_model` and `find_device`.
    """
    network, config, classes = load_model(folder)
    runtime = TorchRuntime(network, config, device)
    return runtime, Description(classes, config.input, runtime.precision)


def find_device(name: str) -> torch.device:
    """The device called "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1", "mps", ….

    Raises:
        InputError: this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        value = torch.zeros(1, device=name)
        value.cpu()  # fails on "meta", which computes nothing
        return value.device
    except (RuntimeError, AssertionError, ImportError) as error:
        raise InputError(f"device '{name}' is not available on this machine") from error
