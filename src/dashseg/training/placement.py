"""Where a training's frames lie: on its device, in memory, or in their files; and the loaders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dashseg.config import Placement
from dashseg.errors import InputError
from dashseg.progress import progress
from dashseg.training.batches import Batches, Order, from_device, from_files, from_memory
from dashseg.training.frames import WorkingFrames
from dashseg.training.processes import launched

_DEVICE_SHARE = 0.5  # of a GPU's free memory: the other half is for the network and its activations


@dataclass(frozen=True)
class Placed:
    """Frames, and where they lie."""

    frames: WorkingFrames
    where: Placement  # "device", "memory" or "files"
    device: torch.device
    on_device: int = 0  # bytes that they take, or will, of the device's memory

    def batches(self, order: Order, workers: int | None = None) -> Batches:
        """Their batches.

        Args:
            workers: loader processes, where frames are read from files.

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
    """Bring frames to where they are wanted, or, for "auto", to the fastest place they fit in.

    Args:
        side: "training" or "validation", for `say`, which is told the place and why.
        promised: bytes that other frames will take of what is free on the device.

    Raises:
        InputError: "device" is asked for without a GPU, or of frames that are too many for it or
            of several sizes.
    """
    if wanted == "device" and device.type != "cuda":
        raise InputError(
            "data.placement=device: there is no GPU here; --set data.placement=memory keeps the"
            " frames in the computer's own memory"
        )
    need = frames.nbytes() if wanted != "files" else 0
    where, why = _choose(frames, wanted, need, device, promised)
    if where != "files" and not frames.at_hand:
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


_PLACES = {
    "device": "on the GPU",
    "memory": "in memory",
    "files": "read from their files at every epoch",
}


def _too_large(need: int, room: str) -> InputError:
    return InputError(
        f"the frames take {need / 1e9:.3g} GB, more than {room} on the GPU:"
        " --set data.placement=memory"
    )


def _choose(
    frames: WorkingFrames, wanted: Placement, need: int, device: torch.device, promised: int = 0
) -> tuple[Placement, str]:
    """Where to, and why."""
    size = f"{need / 1e9:.2g} GB"
    if wanted in ("memory", "files"):
        return wanted, "data.placement"
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        if wanted == "device":
            if need + promised > free:
                raise _too_large(need, f"the {max(0, free - promised) / 1e9:.3g} GB that are free")
            return wanted, "data.placement"
        if need + promised <= _DEVICE_SHARE * free and (frames.at_hand or frames.fits_in_memory()):
            return "device", f"{size} of {free / 1e9:.3g} GB free there"
    if frames.packed:
        return "memory", f"packed at working size, {size}"
    if frames.fits_in_memory():
        return "memory", size
    return "files", f"{size} would not fit in memory: `dashseg data pack` makes them quick to read"
