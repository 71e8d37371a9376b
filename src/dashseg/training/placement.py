"""Where a training reads its frames from: the GPU's memory, main memory, or their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dashseg.config import Placement
from dashseg.errors import InputError
from dashseg.progress import progress
from dashseg.training.batches import Batches, Order, from_device, from_files, from_memory
from dashseg.training.frames import WorkingFrames
from dashseg.training.memory import free_memory
from dashseg.training.processes import launched

# Shares of the free memory that "auto" gives to a split. The rest is for the network and its
# activations; in main memory also for the other split and the user's programs.
_DEVICE_SHARE = 0.5
_MEMORY_SHARE = 0.25

_PLACES = {
    "device": "on the GPU",
    "memory": "in memory",
    "files": "read from their files at every epoch",
}


@dataclass(frozen=True)
class Placed:
    """Frames, and where they are."""

    frames: WorkingFrames
    where: Placement  # "device", "memory" or "files"
    device: torch.device  # of the training
    on_device: int = 0  # bytes of the device's memory that they need

    def batches(self, order: Order, workers: int | None = None) -> Batches:
        """Make the batches; copies the frames to the device if that is their place.

        Args:
            workers: number of loader processes, if frames are read from files.

        Raises:
            InputError: they do not fit on the device.
        """
        pin = self.device.type == "cuda"
        if self.where == "device":
            try:
                return from_device(self.frames, order, self.device)
            except torch.OutOfMemoryError as error:
                raise _too_large(self.on_device, "there is room for") from error
        if self.where == "memory":
            return from_memory(self.frames, order, pin)
        return from_files(self.frames, order, pin, workers)


def place(
    frames: WorkingFrames,
    side: str,
    wanted: Placement,
    device: torch.device,
    say: Callable[[str], None],
    promised: int = 0,
) -> Placed:
    """Choose where frames are read from, and read them into memory if need be.

    Args:
        side: "training" or "validation", for messages.
        wanted: "auto" is the fastest place that they fit in.
        device: of the training.
        say: takes a line with the place and the reason.
        promised: bytes of the device's free memory that other frames will need.

    Raises:
        InputError: "device" is wanted, but there is no GPU, the frames do not fit, or they are of
            several sizes.
    """
    if wanted == "device" and device.type != "cuda":
        raise InputError(
            "data.placement=device: there is no GPU here; --set data.placement=memory keeps the"
            " frames in the computer's own memory"
        )
    need = frames.nbytes() if wanted != "files" else 0
    where, why = _choose(frames, wanted, need, device, promised)
    if where != "files" and not frames.quick_to_read:
        if launched().first:
            with progress(f"reading {side} frames into memory", "frames") as advance:
                frames.keep(advance)
        else:
            frames.keep()
    if where == "device" and not frames.one_size:
        if wanted == "device":
            raise InputError(
                "data.placement=device: the frames are of several sizes; give one with"
                " model.input.size and model.input.resize=squash, or --set data.placement=memory"
            )
        where, why = "memory", "of several sizes"
    say(f"{side} frames: {_PLACES[where]} ({why})")
    return Placed(frames, where, device, need if where == "device" else 0)


def _choose(
    frames: WorkingFrames, wanted: Placement, need: int, device: torch.device, promised: int
) -> tuple[Placement, str]:
    """The place and the reason for it.

    Args:
        need: bytes of the frames.
    """
    size = f"{need / 1e9:.2g} GB"
    if wanted in ("memory", "files"):
        return wanted, "data.placement"
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        if wanted == "device":
            if need + promised > free:
                raise _too_large(need, f"the {max(0, free - promised) / 1e9:.3g} GB that are free")
            return wanted, "data.placement"
        on_the_way = frames.quick_to_read or fits_in_memory(need)
        if need + promised <= _DEVICE_SHARE * free and on_the_way:
            return "device", f"{size} of {free / 1e9:.3g} GB free there"
    if frames.packed:
        return "memory", f"packed at working size, {size}"
    if fits_in_memory(need):
        return "memory", size
    return "files", f"{size} would not fit in memory: `dashseg data pack` makes them quick to read"


def fits_in_memory(need: int) -> bool:
    """Whether `need` bytes fit; this machine's processes share its memory."""
    return need < _MEMORY_SHARE / launched().per_node * free_memory()


def _too_large(need: int, room: str) -> InputError:
    return InputError(
        f"the frames take {need / 1e9:.3g} GB, more than {room} on the GPU:"
        " --set data.placement=memory"
    )
