"""Frames without labels: `data.unlabelled` -> a data set, and their places in each batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from dashseg.config import DataConfig, InputConfig, Recipe
from dashseg.data import Dataset, Sample
from dashseg.data.dataset import AsTensors
from dashseg.data.mixture import Mixture, merged_labels, parts_of
from dashseg.data.pack import is_pack
from dashseg.data.pack.dataset import open_pack
from dashseg.data.partial import Relabelled
from dashseg.data.sources import find_layout
from dashseg.errors import InputError
from dashseg.images import image_files, image_size, read_image
from dashseg.inference.video.read import is_video_file, open_clip
from dashseg.input_size import to_working_size
from dashseg.labels import IGNORE, Classes, Image, Label
from dashseg.training.batches import ShuffledBatches
from dashseg.training.placement import fits_in_memory
from dashseg.training.processes import ALONE, Processes


@dataclass(frozen=True)
class UnlabelledFrames(AsTensors):
    """A `Dataset` of frames whose labels are 255 everywhere.

    Args:
        frames: image files, and frames of videos, uint8 H×W×3 RGB.
        digest: of the sources.
    """

    root: str
    classes: Classes
    names: tuple[str, ...]
    frames: tuple[Path | Image, ...]
    digest: str
    split: str = "train"
    kind: str = "unlabelled"
    resized: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        image = read_image(frame) if isinstance(frame, Path) else frame
        return Sample(image, _ignored(image.shape[:2]), self.names[index])

    def label(self, index: int) -> Label:
        frame = self.frames[index]
        return _ignored(image_size(frame) if isinstance(frame, Path) else frame.shape[:2])

    def fingerprint(self) -> str:
        return self.digest

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def select(self, names: Iterable[str], split: str) -> UnlabelledFrames:
        """The frames called `names`, in this data set's order."""
        chosen = sorted(self._numbers[name] for name in {*names} & self._numbers.keys())
        own = tuple(self.names[i] for i in chosen)
        frames = tuple(self.frames[i] for i in chosen)
        digest = hashlib.sha256(repr((self.digest, own)).encode()).hexdigest()[:16]
        return replace(self, names=own, frames=frames, digest=digest, split=split)

    def check(self) -> None:
        """Files are read when their turn comes."""


def _ignored(size: tuple[int, ...]) -> Label:
    return np.full(size, IGNORE, np.uint8)


def open_unlabelled(config: DataConfig, input: InputConfig, classes: Classes) -> Dataset | None:
    """Open the packs and folders in `data.unlabelled`, and decode its videos; None: no source.

    Of a pack all frames are used, and no labels. Videos are decoded once: their frames stay in
    memory, at working size.

    Args:
        classes: of the training.

    Raises:
        InputError: a source is neither a pack, nor a folder with images and no masks, nor a video
            that can be read; or the frames of videos do not fit in memory.
    """
    parts: list[Dataset] = []
    for source in config.unlabelled:
        if is_pack(Path(source)):
            pack, _ = open_pack(Path(source))
            pack.check()
            parts.append(Relabelled(pack, classes, bytes([IGNORE] * 256), "unlabelled"))
    files = _open_files(config, input, classes)
    if files is not None:
        parts.insert(0, files)
    return Mixture(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None


def _open_files(
    config: DataConfig, input: InputConfig, classes: Classes
) -> UnlabelledFrames | None:
    """The images of folders, and the frames of videos."""
    names: list[str] = []
    frames: list[Path | Image] = []
    digest = hashlib.sha256(f"{config.video_step} {input.size} {input.resize}\n".encode())
    sources = [path for path in map(Path, config.unlabelled) if not is_pack(path)]
    for number, source in enumerate(sources):
        if source.is_dir():
            _require_no_masks(source)
            found = image_files(source)
            own = [path.relative_to(source).as_posix() for path in found]
            frames += found
            sizes = [path.stat().st_size for path in found]
        elif is_video_file(source):
            own = []
            for name, image in _decoded(source, config.video_step, input):
                own.append(name)
                frames.append(image)
            sizes = [source.stat().st_size]
        else:
            problem = "neither a folder nor a video" if source.exists() else "no such folder"
            raise InputError(f"data.unlabelled: {source}: {problem}")
        if not own:
            raise InputError(f"data.unlabelled: {source}: no images in this folder")
        digest.update(f"{number} {own} {sizes}\n".encode(errors="surrogateescape"))
        names += [f"{number}/{name}" for name in own]
    if not frames:
        return None
    root = " + ".join(map(str, sources))
    return UnlabelledFrames(root, classes, tuple(names), tuple(frames), digest.hexdigest()[:16])


def _require_no_masks(folder: Path) -> None:
    """Raise InputError for a data set: its masks would be taken for frames."""
    masks = folder / "masks"
    with suppress(InputError):  # no layout that dashseg knows, or incomplete
        _, layout = find_layout(str(folder))
        masks = layout.folders(folder, DataConfig())[0].masks
    if masks.is_dir():
        raise InputError(
            f"data.unlabelled: {folder}: {masks.name}/ holds masks: name the folder of frames"
            " beside it"
        )


def _decoded(path: Path, step: int, input: InputConfig) -> Iterator[tuple[str, Image]]:
    """Name and image of every `step`th frame, at working size."""
    clip = open_clip(path, every=step)
    held = 0
    try:
        for frame in clip.frames():
            image = to_working_size(frame.image, input)
            held += image.nbytes
            if not fits_in_memory(held):
                raise InputError(
                    f"data.unlabelled: the frames of {path} do not fit in memory: raise"
                    " data.video_step, or write them to a folder first"
                )
            yield frame.name, image
    finally:
        clip.close()


class MixedBatches:
    """`ShuffledBatches` of labelled frames, with unlabelled ones at fixed places of each batch.

    An epoch is a pass over the labelled frames. The unlabelled ones continue through the epochs,
    in an order that is random anew in each pass over them. Seed and epoch alone decide.

    Args:
        labelled: number of frames with labels; they have the numbers from 0 on.
        unlabelled: number of frames without; they have the numbers from `labelled` on.
        share: of the unlabelled frames in a batch; at least one frame of each kind is in it.
        batch_size, seed, processes: as of `ShuffledBatches`.

    Raises:
        InputError: as `ShuffledBatches`, or a batch has no room for both kinds.
    """

    def __init__(
        self,
        labelled: int,
        unlabelled: int,
        share: float,
        batch_size: int,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        if batch_size < 2:
            raise InputError(
                "data.unlabelled needs two frames in a batch or more: raise training.batch_size"
            )
        count = min(max(1, round(share * batch_size)), batch_size - 1)
        if labelled < batch_size - count:
            raise InputError(
                f"training.batch_size is {batch_size}, of which {batch_size - count} frames have"
                f" labels, but there are only {labelled} such frames: lower it, or raise"
                " data.unlabelled_share"
            )
        # Evenly spread, so that each process gets its part of them.
        steps = [place * count // batch_size for place in range(batch_size + 1)]
        self._places = [p for p in range(batch_size) if steps[p + 1] > steps[p]]
        self._labelled = ShuffledBatches(labelled, batch_size - count, seed)
        self._count, self._unlabelled = labelled, unlabelled
        self._batch_size, self._seed, self._first = batch_size, seed, 0
        part = processes.share(batch_size)
        self._mine = slice(processes.rank * part, (processes.rank + 1) * part)

    @property
    def places(self) -> list[int]:
        """Where the unlabelled frames are in this process's part of every batch."""
        mine = self._mine
        return [p - mine.start for p in self._places if mine.start <= p < mine.stop]

    def __len__(self) -> int:
        return len(self._labelled)

    def __iter__(self) -> Iterator[list[int]]:
        draws = self._drawn(self._first * len(self._places))
        for labelled in self._labelled:
            left = iter(labelled)
            batch = [
                next(draws) if place in self._places else next(left)
                for place in range(self._batch_size)
            ]
            yield batch[self._mine]

    def begin(self, epoch: int, batch: int = 0) -> None:
        """Choose the epoch of the next iteration, and its first batch."""
        self._labelled.begin(epoch, batch)
        self._first = epoch * len(self) + batch

    def _drawn(self, first: int) -> Iterator[int]:
        """Numbers of unlabelled frames, from the `first` drawn one in all epochs on."""
        turn, start = divmod(first, self._unlabelled)
        while True:
            # Three numbers: another stream than the labelled frames' of any epoch.
            order = np.random.default_rng([self._seed, turn, 1]).permutation(self._unlabelled)
            yield from (self._count + order[start:]).tolist()
            turn, start = turn + 1, 0


def training_order(
    recipe: Recipe, train: Dataset, unlabelled: Dataset | None, processes: Processes
) -> tuple[ShuffledBatches | MixedBatches, Dataset]:
    """The training batches, and the data set whose frames they number.

    Raises:
        InputError: as `ShuffledBatches` and `MixedBatches`.
    """
    size, seed = recipe.training.batch_size, recipe.training.seed
    if unlabelled is None:
        return ShuffledBatches(len(train), size, seed, processes), train
    share = recipe.data.unlabelled_share
    order = MixedBatches(len(train), len(unlabelled), share, size, seed, processes)
    return order, Mixture((*parts_of(train), *parts_of(unlabelled)), merged_labels(train))
