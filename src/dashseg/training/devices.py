"""The device and precision of a training, and Lightning Fabric for them."""

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
    """The device that this process trains on.

    Args:
        name: "auto" (the GPU if there is one), "cpu" or "cuda"; "cuda:1" only for a single process.
            Each of several processes takes the GPU of its local rank.

    Raises:
        InputError: the device does not exist, or training does not support it.
    """
    several = processes.world > 1
    if several and name not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"device '{name}': each of {processes.world} processes takes its own GPU; use auto,"
            " cuda or cpu"
        )
    on_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    device = find_device(f"cuda:{processes.local}" if several and on_gpu else name)
    if device.type not in ("cpu", "cuda"):  # others lack the float64 that sums losses
        raise InputError(f"device '{name}': training runs on cpu or cuda")
    return device


def training_precision(name: str, device: torch.device) -> Precision:
    """Fabric's name of `training.precision`; "auto" is bfloat16 if the hardware supports it.

    Raises:
        InputError: float16 on a CPU.
    """
    if name == "float16":
        if device.type == "cpu":
            raise InputError(
                "training.precision=float16 is for GPUs: on a CPU, use auto, bfloat16 or float32"
            )
        return "16-mixed"
    if name == "bfloat16" or (name == "auto" and _has_bfloat16(device)):
        return "bf16-mixed"
    return "32-true"


def make_fabric(device: torch.device, processes: Processes, precision: Precision) -> Fabric:
    """Fabric for a single process, or for one of those that torchrun started."""
    _silence_lightning()
    alone_on_gpu = device.type == "cuda" and processes.world == 1
    # Batch norm's statistics are synchronised, or broadcast before each validation. A broadcast at
    # every forward would wait for processes that have fewer validation frames.
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


def _silence_lightning() -> None:
    """Its hints are for authors of training code, not for users."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Its replacement is new in PyTorch 2.13; older versions are supported.
    warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated.*")
