"""Where and in which precision a training computes: the device, and Lightning Fabric on it."""

from __future__ import annotations

import logging
import warnings
from typing import Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from dashseg.errors import InputError
from dashseg.inference.torch_runtime import find_device
from dashseg.training.processes import ALONE, Processes

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]  # Fabric's names


def training_device(name: str, processes: Processes = ALONE) -> torch.device:
    """Where this process trains.

    Args:
        name: "auto" (the GPU if there is one), "cpu", "cuda", or "cuda:1" for one process alone;
            of several, each trains on the GPU of its number.

    Raises:
        InputError: no such device, or none for training.
    """
    of_several = processes.world > 1
    if of_several and name not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"device '{name}': {processes.world} processes each take a GPU of their own; say"
            " auto, cuda or cpu"
        )
    on_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    device = find_device(f"cuda:{processes.local}" if of_several and on_gpu else name)
    if device.type not in ("cpu", "cuda"):  # losses are added up in double precision
        raise InputError(f"device '{name}': training runs on cpu or cuda")
    return device


def training_precision(name: str, device: torch.device) -> Precision:
    """Fabric's name of `training.precision`; "auto" is bfloat16 where hardware computes in it.

    Raises:
        InputError: float16 on a CPU.
    """
    if name == "float16":
        if device.type == "cpu":
            raise InputError(
                "training.precision=float16 is for GPUs: here, auto, bfloat16 or float32"
            )
        return "16-mixed"
    if name == "bfloat16" or (name == "auto" and _has_bfloat16(device)):
        return "bf16-mixed"
    return "32-true"


def make_fabric(device: torch.device, processes: Processes, precision: Precision) -> Fabric:
    """Fabric for this process: alone, or as one of those that torchrun started."""
    _quieten()
    alone_on_gpu = device.type == "cuda" and processes.world == 1
    # Norms' statistics are the same in all processes, or are shared before each validation; a
    # broadcast at every forward would wait for processes that have fewer held-out frames.
    ddp = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    return Fabric(
        accelerator=device.type,
        devices=[device.index] if alone_on_gpu else processes.per_node,
        num_nodes=processes.nodes,
        strategy="auto" if processes.world == 1 else ddp,
        precision=precision,
    )


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported())


def _quieten() -> None:
    """Lightning's hints are for those who write training code, not for those who run it."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # What takes its place is new in PyTorch 2.13.
    warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated.*")
