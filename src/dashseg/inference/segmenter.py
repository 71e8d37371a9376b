"""Segmenter: a frame of any size in, its label out at the frame's own size."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
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
from dashseg.images import encode_jpeg, read_image, resize_image, to_rgb
from dashseg.inference.pipeline import READERS, in_batches, reader, run
from dashseg.inference.runtime import Runtime
from dashseg.inference.upsampling import label_at, upsample
from dashseg.input_size import working_size
from dashseg.labels import Classes, Image, Label, count_ids, encode_label
from dashseg.overlap import AHEAD, ahead

if TYPE_CHECKING:
    from torch import Tensor

    from dashseg.models import DeepLabV3

TTA = ("flip", "multiscale")
_SCALES = (0.75, 1.0, 1.25)  # of the working size; "multiscale" averages over them
_SHOWN = 960  # pixels that a notebook shows of a frame's longer side

Frame = str | Path | PIL.Image.Image | Image  # path of an image file, or uint8 H×W×3 RGB


@dataclass(frozen=True, repr=False)
class Result:
    """The prediction for one frame. A notebook shows it as a picture.

    >>> import numpy as np
    >>> import dashseg
    >>> result = dashseg.load("small", device="cpu")(np.full((120, 160, 3), 128, np.uint8))
    >>> result.label.shape, result.label.dtype, result.probabilities.shape
    ((120, 160), dtype('uint8'), (5, 120, 160))
    >>> result.overlay().size  # a PIL image
    (160, 120)
    >>> float(round(sum(result.shares.values()), 6))
    1.0
    """

    image: Image  # uint8 H×W×3 RGB, the frame itself
    # float32 (C, h, w), at the decoder's stride, or with test-time augmentation at the working
    # size: a tensor for a PyTorch model, an array for an exported one, which needs no PyTorch.
    # torch.as_tensor turns both into a tensor without a copy.
    logits: Tensor | NDArray[np.float32]
    classes: Classes

    @cached_property
    def label(self) -> Label:
        """uint8 H×W: the most likely class of each pixel, at the frame's own size."""
        return label_at(self.image.shape[:2], self.logits)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 (C, H, W) at the frame's own size; each pixel's sum to 1."""
        full = upsample(_as_tensor(self.logits), self.image.shape[:2])  # (C, H, W)
        return full.softmax(0).cpu().numpy()

    @cached_property
    def shares(self) -> dict[str, float]:
        """Class name -> its share of the frame's pixels, 0 to 1."""
        shares = count_ids(self.label)[: len(self.classes)] / self.label.size
        return dict(zip(self.classes.names, shares.tolist(), strict=True))

    def mask(self) -> PIL.Image.Image:
        """The label in the palette's colours."""
        return PIL.Image.fromarray(encode_label(self.label, self.classes))

    def overlay(self, opacity: float = 0.5) -> PIL.Image.Image:
        """The frame with the mask laid over it; `opacity` 0 shows the frame, 1 the mask."""
        mask = encode_label(self.label, self.classes)
        blend = cv2.addWeighted(self.image, 1 - opacity, mask, opacity, 0)
        return PIL.Image.fromarray(blend)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        found = sorted(self.shares.items(), key=lambda entry: -entry[1])
        parts = ", ".join(f"{name} {share:.1%}" for name, share in found if share)
        return f"Result({height}×{width}: {parts})"

    def _repr_html_(self) -> str:
        """The overlay over a legend of the classes found, for notebooks."""
        height, width = self.image.shape[:2]
        scale = min(1.0, _SHOWN / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        picture = encode_jpeg(resize_image(np.asarray(self.overlay()), size))
        colours = dict(zip(self.classes.names, self.classes.colours, strict=True))
        legend = "".join(
            f'<span style="margin-right:1em"><span style="color:rgb{colours[name]}">■</span>'
            f" {html.escape(name)} {share:.1%}</span>"
            for name, share in self.shares.items()
            if share
        )
        source = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
        return (
            f'<figure><img src="{source}" alt="{html.escape(repr(self))}" style="max-width:100%">'
            f"<figcaption>{legend}</figcaption></figure>"
        )


class Segmenter:
    """A trained network with all that is needed to use it; `load` returns one.

    Args:
        runtime: runs the network.
        input: its size rule.
        name: what the user called the model; reports show it.
        run: the run directory that the model came from, if any.
        tta: any of `TTA`; predictions are averaged as probabilities.
        weights: the file that the network's weights were read from, if any.
        reopen: makes the same segmenter in another process, for pickle.

    Raises:
        InputError: an unknown augmentation, or one that the runtime cannot do.

    >>> import numpy as np
    >>> import dashseg
    >>> segment = dashseg.load("small", device="cpu")
    >>> grey, dark = np.full((120, 160, 3), 128, np.uint8), np.zeros((90, 160, 3), np.uint8)
    >>> segment(grey).label.shape
    (120, 160)
    >>> [result.label.shape for result in segment.many([grey, dark])]
    [(120, 160), (90, 160)]
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
        reopen: Callable[[], Segmenter] | None = None,
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
        self._reopen = reopen

    def __reduce__(self) -> tuple[Callable[[], Segmenter], tuple[()]]:
        """Pickle where it was loaded from: the process that unpickles it opens the files."""
        if self._reopen is None:
            raise InputError(f"{self.name} was not loaded from files: pickle what it was made from")
        return self._reopen, ()

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

    @property
    def on_gpu(self) -> bool:
        """Whether PyTorch runs it on something other than a CPU."""
        device = getattr(self.runtime, "device", None)
        return device is not None and device.type != "cpu"

    def _of_pytorch(self, what: str) -> Any:
        if not hasattr(self.runtime, what):
            raise InputError(
                f"{self.name} is an exported model, which has no layers to look at or train:"
                " name the run or the model directory that it was made from"
            )
        return getattr(self.runtime, what)

    def __call__(self, frame: Frame) -> Result:
        """Segment one frame.

        Args:
            frame: path of an image file, PIL image, or uint8 array, H×W×3 RGB or H×W grey. Files
                and PIL images are turned upright as their EXIF orientation says.

        Raises:
            InputError: the file cannot be read, or the array is of another kind.
        """
        image = _to_array(frame)
        return Result(image, self._logits([image])[0], self.classes)

    def many(self, frames: Iterable[Frame], batch_size: int = 8) -> Iterator[Result]:
        """Segment frames lazily and in order: the next ones are read while the network works.

        Args:
            frames: paths, PIL images and arrays, mixed, of any sizes; iterated in a thread, a
                little ahead of the results.
            batch_size: how many neighbours of one working size the network gets at once. On a CPU
                1 is as fast and takes less memory. A model loaded with `many` gets one.

        Yields:
            What calling the segmenter with each frame returns. Batches can change the last bits of
            the logits, and so the label where two classes tie.

        Raises:
            InputError: a frame cannot be read, when its turn comes; or `batch_size` is below 1.

        >>> import numpy as np
        >>> import dashseg
        >>> segment = dashseg.load("small", device="cpu")
        >>> frames = (np.full((90, 160, 3), grey, np.uint8) for grey in (0, 128, 255))
        >>> for result in segment.many(frames, batch_size=2):
        ...     print(result.label.shape)
        (90, 160)
        (90, 160)
        (90, 160)
        """
        with closing(self.try_many(frames, batch_size)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, InputError):
                    raise outcome
                yield outcome

    def try_many(
        self, frames: Iterable[Frame], batch_size: int = 8
    ) -> Generator[Result | InputError, None, None]:
        """As `many`, but a frame that cannot be read yields its error, and the next ones follow."""
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size}: 1 or more frames at a time")
        owned = map(_own, frames)
        if self.runtime.parallel > 1:
            yield from run(self, owned, _read, lambda _, result: result)
            return
        size = max(AHEAD, batch_size)
        loaded = ahead(owned, reader(self, _read), size=size, threads=READERS)
        with closing(in_batches(self, loaded, batch_size)) as results:
            for entry in results:
                yield entry if isinstance(entry, InputError) else entry[1]

    def batch(
        self, images: Sequence[Image], resized: Sequence[Image] | None = None
    ) -> list[Result]:
        """Segment frames of one working size at once.

        Args:
            images: uint8 H×W×3 RGB, one or more; see `size_for`.
            resized: the same by `resize`, if that has been done.
        """
        logits = self._logits(images, resized)
        return [Result(*each, self.classes) for each in zip(images, logits, strict=True)]

    def size_for(self, image: Image) -> tuple[int, int]:
        """The working size (h, w) of a frame."""
        return working_size(image.shape[:2], self.input)

    def resize(self, image: Image) -> Image:
        """A frame as `batch` takes it: at working size, or as it is for test-time augmentation."""
        return image if self.tta else resize_image(image, self.size_for(image))

    def wait(self) -> None:
        """Wait until a GPU is done: calls return before that."""
        if self.on_gpu:
            import torch

            torch.accelerator.synchronize(self._of_pytorch("device"))

    def logits(self, image: Image) -> Tensor:
        """Logits of a uint8 H×W×3 RGB frame, float32 (C, h, w), as in `Result`.

        With test-time augmentation: the logarithm of the averaged probabilities, which softmax
        turns back into those.
        """
        return _as_tensor(self._logits([image])[0])

    def _logits(
        self, images: Sequence[Image], resized: Sequence[Image] | None = None
    ) -> list[Tensor | NDArray[np.float32]]:
        """Logits (C, h, w) of each of some frames of one working size; as `batch`."""
        if self.tta:  # a frame has up to six views: more at once would only take memory
            return [self._augmented(image) for image in images]
        return [*self._forward(resized or images, self.size_for(images[0]))] if images else []

    def _augmented(self, image: Image) -> Tensor:
        import torch

        size = self.size_for(image)
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
            yield _as_tensor(self._forward([image], scaled)[0])
            if "flip" in self.tta:
                mirrored = np.ascontiguousarray(image[:, ::-1])
                yield _as_tensor(self._forward([mirrored], scaled)[0]).flip(-1)

    def _forward(
        self, images: Sequence[Image], size: tuple[int, int]
    ) -> Tensor | NDArray[np.float32]:
        """Logits (B, C, h', w') of B frames at one size (h, w)."""
        logits = self.runtime(np.stack([resize_image(image, size) for image in images]))
        _check(logits, (len(images), len(self.classes)), self.name)
        return logits


def _check(logits: Tensor | NDArray[np.float32], expected: tuple[int, int], name: str) -> None:
    """Raise InputError unless they are finite, and (B, C, ·, ·) of the expected B and C.

    On a GPU only the shape is checked: the numbers would have to be waited for.
    """
    if logits.ndim != 4 or tuple(logits.shape[:2]) != expected or 0 in logits.shape:
        raise InputError(
            f"{name}: the network gives {tuple(logits.shape)}; expected (B, {expected[1]}, h, w):"
            f" logits of {expected[1]} classes for {expected[0]} frames"
        )
    if isinstance(logits, np.ndarray) or logits.device.type == "cpu":
        with np.errstate(all="ignore"):
            finite = np.isfinite(as_array(logits).sum())
        if not finite:
            raise InputError(f"{name}: the network gives NaN or infinity: its weights are damaged")


def _as_tensor(logits: Tensor | NDArray[np.float32]) -> Tensor:
    import torch

    return torch.as_tensor(logits)


def as_array(logits: Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of any runtime as a NumPy array."""
    return logits if isinstance(logits, np.ndarray) else logits.cpu().numpy()


def _own(frame: Frame) -> Path | Image | InputError:
    """A path, or a copy of what its owner may change before its turn comes."""
    return Path(frame) if isinstance(frame, str | Path) else _try_to_array(frame)


def _read(frame: Path | Image | InputError) -> tuple[Image, None]:
    if isinstance(frame, InputError):
        raise frame
    return _to_array(frame) if isinstance(frame, Path) else frame, None


def _try_to_array(frame: Frame) -> Image | InputError:
    try:
        return _to_array(frame)
    except InputError as error:
        return error


def _to_array(frame: Frame) -> Image:
    return read_image(Path(frame)) if isinstance(frame, str | Path) else to_rgb(frame)
