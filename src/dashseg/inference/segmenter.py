"""Segmenter: a frame of any size in, its label out at the frame's own size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from dashseg.config import SMALLEST_SIDE, InputConfig, ModelConfig
from dashseg.errors import InputError
from dashseg.images import read_image, resize_image
from dashseg.inference.runtime import Runtime
from dashseg.inference.upsampling import label_at, upsample
from dashseg.input_size import working_size
from dashseg.labels import Classes, Image, Label, encode_label

if TYPE_CHECKING:
    from torch import Tensor

    from dashseg.models import DeepLabV3

TTA = ("flip", "multiscale")
_SCALES = (0.75, 1.0, 1.25)  # of the working size; "multiscale" averages over them


@dataclass(frozen=True)
class Result:
    """What was seen in one frame."""

    image: Image  # uint8 H×W×3 RGB, the frame itself
    # float32 (C, h, w), at the decoder's stride, or with test-time augmentation at the working
    # size: a tensor of a PyTorch model, an array of an exported one, which needs no PyTorch.
    # torch.as_tensor makes either the one without a copy.
    logits: Tensor | NDArray[np.float32]
    classes: Classes

    @cached_property
    def label(self) -> Label:
        """uint8 H×W: the most likely class of each pixel, at the frame's own size."""
        return label_at(self.image.shape[:2], self.logits)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 (C, H, W), each pixel's summing to 1."""
        full = upsample(_as_tensor(self.logits), self.image.shape[:2])  # (C, H, W)
        return full.softmax(0).cpu().numpy()

    def mask(self) -> PIL.Image.Image:
        """The label in the palette's colours."""
        return PIL.Image.fromarray(encode_label(self.label, self.classes))

    def overlay(self, opacity: float = 0.5) -> PIL.Image.Image:
        """The frame with the mask laid over it; `opacity` 0 shows the frame, 1 the mask."""
        mask = encode_label(self.label, self.classes)
        blend = cv2.addWeighted(self.image, 1 - opacity, mask, opacity, 0)
        return PIL.Image.fromarray(blend)


class Segmenter:
    """A trained network together with all that is needed to use it.

    Args:
        runtime: runs the network.
        input: its size rule.
        name: what the user called the model; reports show it.
        run: the run directory that the model came from, if it did.
        tta: any of `TTA`; predictions are averaged as probabilities.
        weights: the file that the network's weights were read from, if they were.

    Raises:
        InputError: an augmentation that is none, or that the runtime cannot do.
    """

    def __init__(
        self,
        runtime: Runtime,
        input: InputConfig,
        classes: Classes,
        name: str,
        run: Path | None = None,
        tta: Sequence[str] = (),
        weights: Path | None = None,
    ) -> None:
        unknown = set(tta) - set(TTA)
        if unknown:
            raise InputError(
                f"test-time augmentation '{unknown.pop()}': choose of {', '.join(TTA)}"
            )
        if "multiscale" in tta and runtime.size is not None:
            raise InputError(
                f"{name} takes frames of {runtime.size[0]}×{runtime.size[1]} (height × width) only,"
                " and --tta multiscale needs others: export it with --size dynamic"
            )
        self.runtime = runtime
        self.input = input
        self.classes = classes
        self.name = name
        self.run = run
        self.tta = tuple(tta)
        self.weights = weights

    @property
    def network(self) -> DeepLabV3:
        """The PyTorch network.

        Raises:
            InputError: an exported model, which has none.
        """
        return self._of_pytorch("network")

    @property
    def config(self) -> ModelConfig:
        """The `model` section of the recipe that built the network.

        Raises:
            InputError: an exported model, which does not keep it.
        """
        return self._of_pytorch("config")

    def _of_pytorch(self, what: str) -> Any:
        if not hasattr(self.runtime, what):
            raise InputError(
                f"{self.name} is an exported model, which has no layers to look at or train:"
                " name the run or the model directory that it was made from"
            )
        return getattr(self.runtime, what)

    def __call__(self, frame: str | Path | PIL.Image.Image | Image) -> Result:
        """Segment one frame.

        Args:
            frame: path of an image file, PIL image, or uint8 H×W×3 RGB array.

        Raises:
            InputError: the file cannot be read, or the array is of another kind.
        """
        image = _to_array(frame)
        logits = self.logits(image) if self.tta else self._forward(image, self._size_for(image))
        return Result(image, logits, self.classes)

    def logits(self, image: Image) -> Tensor:
        """Logits of a uint8 H×W×3 RGB frame, float32 (C, h, w), as in `Result`.

        With test-time augmentation: the logarithm of the averaged probabilities, which softmax
        turns back into those.
        """
        size = self._size_for(image)
        if not self.tta:
            return _as_tensor(self._forward(image, size))
        import torch

        with torch.inference_mode():
            views = [upsample(view, size).softmax(0) for view in self._views(image, size)]
            return torch.stack(views).mean(0).clamp_min(torch.finfo(torch.float32).tiny).log()

    def _views(self, image: Image, size: tuple[int, int]) -> Iterator[Tensor]:
        """Logits (C, ·, ·) of each augmented view, turned back to the frame's orientation."""
        for scale in _SCALES if "multiscale" in self.tta else (1.0,):
            scaled = (
                max(SMALLEST_SIDE, round(size[0] * scale)),
                max(SMALLEST_SIDE, round(size[1] * scale)),
            )
            yield _as_tensor(self._forward(image, scaled))
            if "flip" in self.tta:
                mirrored = np.ascontiguousarray(image[:, ::-1])
                yield _as_tensor(self._forward(mirrored, scaled)).flip(-1)

    def _size_for(self, image: Image) -> tuple[int, int]:
        return working_size(image.shape[:2], self.input)

    def _forward(self, image: Image, size: tuple[int, int]) -> Tensor | NDArray[np.float32]:
        return self.runtime(resize_image(image, size)[None])[0]  # (C, h, w)


def _as_tensor(logits: Tensor | NDArray[np.float32]) -> Tensor:
    import torch

    return torch.as_tensor(logits)


def as_array(logits: Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of any runtime as a NumPy array."""
    return logits if isinstance(logits, np.ndarray) else logits.cpu().numpy()


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
