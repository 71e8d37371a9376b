"""Segmenter: a frame of any size in, its label out at the frame's own size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import SMALLEST_SIDE, ModelConfig
from dashseg.errors import InputError
from dashseg.images import read_image, resize_image
from dashseg.labels import Classes, Image, Label, encode_label
from dashseg.models import DeepLabV3
from dashseg.models.input import Normalise, to_batch, working_size

TTA = ("flip", "multiscale")
_SCALES = (0.75, 1.0, 1.25)  # of the working size; "multiscale" averages over them


def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of logits (C, h, w) -> (C, H, W)."""
    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]


@dataclass(frozen=True)
class Result:
    """What was seen in one frame."""

    image: Image  # uint8 H×W×3 RGB, the frame itself
    logits: Tensor  # float32 (C, h, w), at the network's working size
    classes: Classes

    @cached_property
    def label(self) -> Label:
        """uint8 H×W: the most likely class of each pixel, at the frame's own size."""
        full = upsample(self.logits, self.image.shape[:2])  # (C, H, W)
        best = full.max(0).indices  # argmax, but ten times as fast on a CPU
        return best.to(torch.uint8).cpu().numpy()

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 (C, H, W), each pixel's summing to 1."""
        return upsample(self.logits, self.image.shape[:2]).softmax(0).cpu().numpy()

    def mask(self) -> PIL.Image.Image:
        """The label in the palette's colours."""
        return PIL.Image.fromarray(encode_label(self.label, self.classes))

    def overlay(self, opacity: float = 0.5) -> PIL.Image.Image:
        """The frame with the mask laid over it; `opacity` 0 shows the frame, 1 the mask."""
        return PIL.Image.blend(PIL.Image.fromarray(self.image), self.mask(), opacity)


class Segmenter:
    """A trained network together with all that is needed to use it.

    Args:
        network: in eval mode.
        name: what the user called the model; reports show it.
        run: the run directory that the model came from, if it did.
        tta: any of `TTA`; predictions are averaged as probabilities.
    """

    def __init__(
        self,
        network: DeepLabV3,
        config: ModelConfig,
        classes: Classes,
        name: str,
        run: Path | None = None,
        device: torch.device | str = "cpu",
        tta: Sequence[str] = (),
    ) -> None:
        unknown = set(tta) - set(TTA)
        if unknown:
            raise InputError(
                f"test-time augmentation '{unknown.pop()}': choose of {', '.join(TTA)}"
            )
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalise = Normalise(config.input).to(device)
        self.config = config
        self.classes = classes
        self.name = name
        self.run = run
        self.tta = tuple(tta)
        self.device = torch.device(device)

    def __call__(self, frame: str | Path | PIL.Image.Image | Image) -> Result:
        """Segment one frame.

        Args:
            frame: path of an image file, PIL image, or uint8 H×W×3 RGB array.

        Raises:
            InputError: the file cannot be read, or the array is of another kind.
        """
        image = _to_array(frame)
        return Result(image, self.logits(image), self.classes)

    @torch.inference_mode()
    def logits(self, image: Image) -> Tensor:
        """Logits of a uint8 H×W×3 RGB frame, float32 (C, h, w) at the network's working size.

        With test-time augmentation: the logarithm of the averaged probabilities, which softmax
        turns back into those.
        """
        if not self.tta:
            return self._forward(image, working_size(image.shape[:2], self.config.input))
        size = working_size(image.shape[:2], self.config.input)
        views = [upsample(view, size).softmax(0) for view in self._views(image, size)]
        return torch.stack(views).mean(0).clamp_min(torch.finfo(torch.float32).tiny).log()

    def _views(self, image: Image, size: tuple[int, int]) -> Iterator[Tensor]:
        """Logits (C, ·, ·) of each augmented view, turned back to the frame's orientation."""
        for scale in _SCALES if "multiscale" in self.tta else (1.0,):
            scaled = (
                max(SMALLEST_SIDE, round(size[0] * scale)),
                max(SMALLEST_SIDE, round(size[1] * scale)),
            )
            yield self._forward(image, scaled)
            if "flip" in self.tta:
                yield self._forward(np.ascontiguousarray(image[:, ::-1]), scaled).flip(-1)

    def _forward(self, image: Image, size: tuple[int, int]) -> Tensor:
        batch = to_batch(resize_image(image, size)).to(self.device)  # uint8 (1, 3, h, w)
        return self.network(self.normalise(batch))[0].float()  # (C, h, w)


def _to_array(frame: str | Path | PIL.Image.Image | Image) -> Image:
    if isinstance(frame, str | Path):
        return read_image(Path(frame))
    if isinstance(frame, PIL.Image.Image):
        return np.array(frame.convert("RGB"))
    if (
        isinstance(frame, np.ndarray)
        and frame.dtype == np.uint8
        and frame.shape[2:] == (3,)
        and frame.size > 0
    ):
        return frame.copy()  # the caller may read the next frame into the same array
    what = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
    raise InputError(f"a frame is a path, a PIL image or a uint8 H×W×3 RGB array, not {what}")
