"""Some frames of a data set, or of a folder of images: spread over it, or its brightness."""

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
from dashseg.images import is_image_file, read_image
from dashseg.labels import Classes, Image, require_same_classes

T = TypeVar("T")

_LOOKED_AT = 3  # frames for each one chosen: enough that night has its share where it is rare


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
        """At most `limit` of them, at equal distances."""
        return self._those(list(_evenly(range(self.count), limit)))

    def stratified(self, limit: int) -> Frames:
        """At most `limit` of them: as many dark ones as bright ones, as far as there are.

        Frames at equal distances are looked at, which gives every drive its share, since its
        frames follow each other; of these, each group of brightness gives as many as the others,
        again at equal distances.
        """
        if self.count <= limit:
            return self
        looked_at = list(_evenly(range(self.count), _LOOKED_AT * limit))
        groups: dict[str, list[int]] = {}
        for index in looked_at:
            groups.setdefault(brightness_group(luminance(self[index])), []).append(index)
        chosen: list[int] = []
        smallest_first = sorted(groups.values(), key=len)
        for done, group in enumerate(smallest_first):  # what a small one lacks, larger ones give
            share = (limit - len(chosen)) // (len(groups) - done)
            chosen += _evenly(group, share)
        return self._those(sorted(chosen))

    def _those(self, indices: Sequence[int]) -> Frames:
        return Frames(lambda index: self.read(indices[index]), len(indices))


def spread(dataset: Dataset, limit: int) -> Dataset:
    """At most `limit` frames at equal distances in the data set's order.

    Frames of one drive follow each other there, so that every drive gives its share.
    """
    return dataset.select(_evenly(dataset.names, limit), dataset.split)


def images_of(dataset: Dataset) -> Frames:
    """A data set without its labels."""
    return Frames(lambda index: dataset[index].image, len(dataset))


def calibration_frames(config: DataConfig, classes: Classes, limit: int) -> Frames:
    """Frames to calibrate a model on: of the training side of a data set, or images in a folder.

    They are chosen from all drives, and as many of the night as of the day.

    Args:
        config: `root` is a data set, or a folder with images right in it, which need no masks.
        classes: the model's.
        limit: how many at most.

    Raises:
        InputError: nothing there, no images, or a data set of other classes.
    """
    root = config.root or ""
    if not root.startswith(PREFIX):
        try:
            find_layout(root, config.dataset)
        except InputError:
            folder = Path(root)
            files = sorted(filter(is_image_file, folder.iterdir())) if folder.is_dir() else []
            if not files or config.dataset is not None:
                raise
            return Frames(lambda index: read_image(files[index]), len(files)).stratified(limit)
    dataset = open_dataset(config, "train")
    require_same_classes(dataset.classes, root, classes, "the model")
    return images_of(dataset).stratified(limit)


def _evenly(items: Sequence[T], limit: int) -> Iterable[T]:
    count = min(limit, len(items))
    return (items[index * len(items) // count] for index in range(count))
