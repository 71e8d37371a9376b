"""Some frames of a data set or a folder of images: evenly spaced, or balanced by brightness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dashseg.config import DataConfig
from dashseg.curate.brightness import brightness_group, luminance
from dashseg.data import Dataset, open_dataset
from dashseg.data.sources import find_layout
from dashseg.data.synthetic import PREFIX
from dashseg.errors import InputError
from dashseg.files import natural_key
from dashseg.images import is_image_file, read_image
from dashseg.labels import Image

T = TypeVar("T")

_LOOKED_AT = 3  # frames for each one chosen: enough to find night frames where they are rare


@dataclass(frozen=True)
class Frames:
    """uint8 H×W×3 RGB frames by index, each read when it is asked for."""

    read: Callable[[int], Image]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.read(index)

    def spread(self, limit: int) -> Frames:
        """At most `limit` of them, evenly spaced."""
        return self._those(list(_evenly(range(self.count), limit)))

    def stratified(self, limit: int) -> Frames:
        """At most `limit` of them, as many dark ones as bright ones if there are enough.

        It looks at evenly spaced frames, which covers every drive, since the frames of a drive
        follow each other. From these it takes the same number of each group of brightness, evenly
        spaced again.
        """
        if self.count <= limit:
            return self
        looked_at = list(_evenly(range(self.count), _LOOKED_AT * limit))
        groups: dict[str, list[int]] = {}
        for index in looked_at:
            groups.setdefault(brightness_group(luminance(self[index])), []).append(index)
        chosen: list[int] = []
        smallest_first = sorted(groups.values(), key=len)
        for done, group in enumerate(smallest_first):  # larger groups fill up for smaller ones
            share = (limit - len(chosen)) // (len(groups) - done)
            chosen += _evenly(group, share)
        return self._those(sorted(chosen))

    def _those(self, indices: Sequence[int]) -> Frames:
        return Frames(lambda index: self.read(indices[index]), len(indices))


def spread(dataset: Dataset, limit: int) -> Dataset:
    """At most `limit` evenly spaced frames of a data set.

    Frames of one drive follow each other there, so every drive is covered.
    """
    return dataset.select(_evenly(dataset.names, limit), dataset.split)


def images_of(dataset: Dataset) -> Frames:
    """A data set without its labels."""
    return Frames(lambda index: dataset[index].image, len(dataset))


def calibration_frames(config: DataConfig, limit: int) -> Frames:
    """Frames to calibrate a model on: of a data set's training split, or images in a folder.

    They cover all drives, with as many dark frames as bright ones.

    Args:
        config: `root` is a data set, of any classes, or a folder of images without masks.
        limit: how many at most.

    Raises:
        InputError: nothing there, or no images.
    """
    root = config.root or ""
    if not root.startswith(PREFIX):
        try:
            find_layout(root, config.dataset)
        except InputError:
            folder = Path(root)
            found = filter(is_image_file, folder.iterdir()) if folder.is_dir() else ()
            files = sorted(found, key=lambda path: natural_key(path.name))
            if not files or config.dataset is not None:
                raise
            return Frames(lambda index: read_image(files[index]), len(files)).stratified(limit)
    dataset = open_dataset(config, "train")
    return images_of(dataset).stratified(limit)


def _evenly(items: Sequence[T], limit: int) -> Iterable[T]:
    count = min(limit, len(items))
    return (items[index * len(items) // count] for index in range(count))
