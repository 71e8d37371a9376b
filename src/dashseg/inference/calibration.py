"""Some frames of a data set, or of a folder of images, spread evenly over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dashseg.config import DataConfig
from dashseg.data import Dataset, open_dataset
from dashseg.data.sources import find_layout
from dashseg.data.synthetic.dataset import PREFIX
from dashseg.errors import InputError
from dashseg.images import is_image_file, read_image
from dashseg.labels import Classes, Image

T = TypeVar("T")


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
        indices = list(_evenly(range(self.count), limit))
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
            return Frames(lambda index: read_image(files[index]), len(files)).spread(limit)
    dataset = open_dataset(config, "train")
    if dataset.classes.names != classes.names:
        raise InputError(
            f"{root}: its classes are {', '.join(dataset.classes.names)}, and the model's"
            f" {', '.join(classes.names)}: calibrate on frames of the kind that it was trained for"
        )
    return images_of(spread(dataset, limit))


def _evenly(items: Sequence[T], limit: int) -> Iterable[T]:
    count = min(limit, len(items))
    return (items[index * len(items) // count] for index in range(count))
