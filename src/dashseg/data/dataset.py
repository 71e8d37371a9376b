"""The interface of every data set, and the data set of image files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from dashseg.errors import InputError
from dashseg.files import natural_key
from dashseg.images import image_size, read_image
from dashseg.labels import Classes, Image, Label, read_mask, require_same_classes

if TYPE_CHECKING:
    from dashseg.data.tensors import TensorFrames

_SHOWN = 5  # names listed in an error before "and N more"


class Sample(NamedTuple):
    """One labelled frame: image uint8 H×W×3 RGB, label uint8 H×W (255 = ignore), its name."""

    image: Image
    label: Label
    name: str


class Dataset(Protocol):
    """Labelled frames in a fixed order: a sequence of (image, label, name).

    A PyTorch map-style data set as it stands: `DataLoader(frames)` batches frames of one size.
    `tensors` gives what a training loop wants.
    """

    @property
    def root(self) -> str:
        """Where the frames come from, as the user named it."""

    @property
    def kind(self) -> str:
        """Which source reads them: "comma10k", "camvid", "folder" or "synthetic"."""

    @property
    def split(self) -> str:
        """Which part this is: "train", "val", "all", or the path of a split file."""

    @property
    def resized(self) -> bool:
        """Whether frames and labels were resized, as a pack may hold them."""

    @property
    def classes(self) -> Classes:
        """The classes that labels hold."""

    @property
    def names(self) -> Sequence[str]:
        """The frames' names, unique within the data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Read one frame. Raises InputError that names the file if it cannot be read."""

    def __iter__(self) -> Iterator[Sample]:
        """Read one frame after the other."""

    def label(self, index: int) -> Label:
        """Read one label without its image."""

    def fingerprint(self) -> str:
        """Hex digest that changes when the set of frames does."""

    def select(self, names: Iterable[str], split: str) -> Dataset:
        """The frames called `names`, in this data set's order."""

    def check(self) -> None:
        """Raise InputError for what can be found wrong without decoding pixels."""

    def tensors(self, size: tuple[int, int] | None = None) -> TensorFrames:
        """A PyTorch map-style data set of these frames, for a `DataLoader` and its workers.

        Args:
            size: (H, W) that every frame is resized to, so that frames can be batched; None:
                their own size.

        Returns:
            Items (image, label): uint8 (3, H, W) RGB and int64 (H, W), 255 = ignore. A network
            takes the image through `dashseg.models.Normalise`.

        >>> import dashseg
        >>> frames = dashseg.open_dataset("synthetic:10:1", split="val")
        >>> image, label = frames.tensors(size=(60, 80))[0]
        >>> image.shape, image.dtype, label.shape, label.dtype
        (torch.Size([3, 60, 80]), torch.uint8, torch.Size([60, 80]), torch.int64)
        """


@dataclass(frozen=True)
class Frame:
    """Where one labelled frame lies on disk."""

    name: str
    image: Path
    mask: Path


class AsTensors:
    """Gives a data set its `tensors`, and iteration."""

    def __iter__(self: Dataset) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def tensors(self: Dataset, size: tuple[int, int] | None = None) -> TensorFrames:
        """As (image, label) tensors for a `DataLoader`; see `Dataset.tensors`."""
        from dashseg.data.tensors import TensorFrames  # torch: only when needed

        return TensorFrames(self, size)


@dataclass(frozen=True)
class FileDataset(AsTensors):
    """A `Dataset` of image and mask files."""

    root: str
    kind: str
    split: str
    classes: Classes
    frames: tuple[Frame, ...]
    resized: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(frame.name for frame in self.frames)

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        image, label = read_image(frame.image), read_mask(frame.mask, self.classes)
        if image.shape[:2] != label.shape:
            raise InputError(_size_mismatch(frame, image.shape[:2], label.shape))
        return Sample(image, label, frame.name)

    def label(self, index: int) -> Label:
        return read_mask(self.frames[index].mask, self.classes)

    def fingerprint(self) -> str:
        """Digest of names and file sizes: quick, the same wherever the files lie."""
        digest = hashlib.sha256()
        for frame in self.frames:
            sizes = _file_size(frame.image), _file_size(frame.mask)
            digest.update(f"{frame.name} {sizes[0]} {sizes[1]}\n".encode())
        return digest.hexdigest()[:16]

    def select(self, names: Iterable[str], split: str) -> FileDataset:
        """The frames called `names`, in this data set's order."""
        wanted = set(names)
        chosen = tuple(frame for frame in self.frames if frame.name in wanted)
        return replace(self, frames=chosen, split=split)

    def check(self) -> None:
        """Compare the sizes of every image and mask, from the file headers alone.

        Raises:
            InputError: files that are no images, and pairs whose sizes differ, listed.
        """
        with ThreadPoolExecutor(8) as pool:  # waits for the disk, not for the processor
            problems = [text for text in pool.map(_pair_problem, self.frames) if text]
        if problems:
            raise InputError(
                f"{self.root}: {len(problems)} pairs cannot be used: {listed(problems)}"
            )


def check_classes(dataset: Dataset, classes: Classes, model: str) -> None:
    """Raise InputError unless the data has frames, and the classes that `model` was trained for."""
    require_same_classes(dataset.classes, dataset.root, classes, model)
    if len(dataset) == 0:
        raise InputError(f"{dataset.root}: no frames in split '{dataset.split}'")


def by_name(files: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Name -> file.

    Raises:
        InputError: two files of one name, such as a.jpg and a.png.
    """
    named: dict[str, Path] = {}
    for name, path in files:
        if name in named:
            first, second = sorted((named[name], path))
            raise InputError(f"{first} and {second} have the same name: keep one of them")
        named[name] = path
    return named


def pair_files(root: Path, images: dict[str, Path], masks: dict[str, Path]) -> tuple[Frame, ...]:
    """Join images and masks by name.

    Raises:
        InputError: no frames at all, an image without a mask or a mask without an image, listed.
    """
    if not images and not masks:
        raise InputError(f"{root}: no images found")
    problems = [
        f"{len(names)} {what}: {listed(names)}"
        for what, names in (
            ("images without a mask", sorted(images.keys() - masks.keys())),
            ("masks without an image", sorted(masks.keys() - images.keys())),
        )
        if names
    ]
    if problems:
        raise InputError(f"{root}: " + "; ".join(problems))
    ordered = sorted(images, key=natural_key)
    return tuple(Frame(name, images[name], masks[name]) for name in ordered)


def listed(items: Sequence[str]) -> str:
    """The first few items, and how many more there are."""
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # deleted since it was listed; reading it is the error that says so
        return -1


def _pair_problem(frame: Frame) -> str:
    try:
        sizes = image_size(frame.image), image_size(frame.mask)
    except InputError as error:
        return str(error)
    return "" if sizes[0] == sizes[1] else _size_mismatch(frame, *sizes)


def _size_mismatch(frame: Frame, image: tuple[int, ...], mask: tuple[int, ...]) -> str:
    return f"{frame.mask}: mask is {mask[1]}×{mask[0]}, its image {image[1]}×{image[0]}"
