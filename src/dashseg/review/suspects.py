"""Models + labelled frames -> every frame's score and regions, and the worst frames, in one pass.

Memory grows by one number a frame: results are written to a file and read back worst first.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dashseg.data import Dataset, Sample
from dashseg.data.dataset import check_classes
from dashseg.errors import InputError
from dashseg.images import decode_pixels, encode_png
from dashseg.inference import Result, Segmenter
from dashseg.inference.pipeline import run
from dashseg.inference.upsampling import label_at, upsample
from dashseg.labels import IGNORE, Image, Label
from dashseg.review.regions import SURE, Box, Found, Region, find_regions
from dashseg.review.scores import drawn_probability, frame_score
from dashseg.shrink import shrink_label


class Part(NamedTuple):
    """Frames, and the model that reviews them."""

    segmenter: Segmenter
    dataset: Dataset
    fold: int | None = None  # their fold; None: the model may have been trained on them


@dataclass(frozen=True)
class Suspect:
    """A frame, how well model and label agree on it, and where they do not."""

    name: str
    fold: int | None
    score: float | None  # 0-1, low is bad; None: no pixel is labelled
    mean: float | None  # mean probability of the class drawn, for comparison
    regions: tuple[Region, ...]  # the one that weighs most first


@dataclass(frozen=True)
class Shown:
    """A suspect with its pictures, kept as PNGs: some 20 kB; the arrays have 2 MB."""

    suspect: Suspect
    part: int
    index: int  # in that part's data set
    prediction_png: bytes
    numbers_png: bytes

    @property
    def prediction(self) -> Label:
        """uint8 H×W class ids."""
        return _decoded(self.prediction_png)

    @property
    def found(self) -> Found:
        """The suspect's regions."""
        return Found(self.suspect.regions, _decoded(self.numbers_png))


class Suspects:
    """All frames, worst first; those without a labelled pixel last.

    Args:
        file: open for writing and reading in binary; holds a line for each frame.
        top: how many of the worst keep their pictures.
        classes: how many classes there are.
    """

    def __init__(self, file: IO[bytes], top: int, classes: int) -> None:
        self._file = file
        self._top = top
        self._worst: list[tuple[float, int, Shown]] = []  # heap, the least suspect on top
        self._scores: list[float] = []
        self._offsets: list[int] = []
        self._confidence = np.zeros(classes)
        self._pixels = np.zeros(classes)

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def unlabelled(self) -> int:
        """How many frames have no labelled pixel."""
        return sum(score == np.inf for score in self._scores)

    def add(
        self,
        suspect: Suspect,
        confidence: NDArray[np.float64],
        pixels: NDArray[np.float64],
        show: Callable[[], Shown],
    ) -> None:
        """Take one frame.

        Args:
            confidence: (C,), the probabilities of the class drawn, added up by class.
            pixels: (C,), how many they are.
            show: makes its pictures; called only if the frame is among the worst so far.
        """
        self._confidence += confidence
        self._pixels += pixels
        rank = np.inf if suspect.score is None else suspect.score
        order = len(self._scores)
        self._scores.append(rank)
        self._offsets.append(self._file.tell())
        self._file.write(json.dumps(_to_json(suspect)).encode() + b"\n")
        entry = (-rank, -order)
        if suspect.score is None or self._top == 0:
            return
        if len(self._worst) < self._top or entry > self._worst[0][:2]:
            heapq.heappush(self._worst, (*entry, show()))
            if len(self._worst) > self._top:
                heapq.heappop(self._worst)

    def thresholds(self) -> NDArray[np.float64]:
        """(C,): the model's mean confidence in a class where that class is drawn.

        Where its confidence in another class exceeds that class's threshold, the model disagrees
        (confident learning, Northcutt et al. 2021, arXiv 1911.00068). At least `SURE`, also for a
        class that nobody drew.
        """
        return np.maximum(self._confidence / np.maximum(self._pixels, 1), SURE)

    def in_order(self) -> Iterator[Suspect]:
        """Every frame, worst first, with the regions that the model is sure enough of."""
        for order in np.argsort(self._scores, kind="stable"):
            self._file.seek(self._offsets[order])
            yield self._sure(_from_json(json.loads(self._file.readline())))

    def worst(self) -> list[Shown]:
        """The `top` worst, worst first."""
        ordered = sorted(self._worst, key=lambda entry: entry[:2], reverse=True)
        return [replace(shown, suspect=self._sure(shown.suspect)) for _, _, shown in ordered]

    def _sure(self, suspect: Suspect) -> Suspect:
        # Minus a little: two means of the same numbers may differ in the last digit.
        least = self.thresholds() - 1e-6
        sure = (region for region in suspect.regions if region.confidence >= least[region.seen])
        return replace(suspect, regions=tuple(sure))


class Judged(NamedTuple):
    """What is found in a frame: the arguments of `Suspects.add`."""

    suspect: Suspect
    confidence: NDArray[np.float64]
    pixels: NDArray[np.float64]
    show: Callable[[], Shown]


# (part, its number, how many of the worst frames will be shown) -> each frame of the part in order,
# or why it cannot be read
Judge = Callable[[Part, int, int], Generator[Judged | InputError, None, None]]


def judge_here(part: Part, number: int, top: int) -> Generator[Judged | InputError, None, None]:
    """A `Judge`, of this process."""
    return judge_frames(part, number, range(len(part.dataset)))


def find_suspects(
    parts: Sequence[Part],
    file: IO[bytes],
    top: int,
    on_progress: Callable[[int, int], None] | None = None,
    judge: Judge = judge_here,
) -> Suspects:
    """Review every frame of every part.

    Args:
        file: open for writing and reading in binary; gets a line for each frame.
        top: how many of the worst keep their pictures.
        on_progress: called with (frames done, frames in all).
        judge: does the work.

    Raises:
        InputError: model and data have different classes; no frames; a frame that cannot be read;
            logits that are not finite.
    """
    for part in parts:
        check_classes(part.dataset, part.segmenter.classes, part.segmenter.name)
    count = sum(len(part.dataset) for part in parts)
    suspects = Suspects(file, top, len(parts[0].dataset.classes))
    for number, part in enumerate(parts):
        with closing(judge(part, number, top)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, InputError):
                    raise outcome
                suspects.add(*outcome)
                if on_progress:
                    on_progress(len(suspects), count)
    return suspects


def judge_frames(
    part: Part, number: int, indices: Sequence[int]
) -> Generator[Judged | InputError, None, None]:
    """Review some frames of a part; yield each in order, or why it cannot be read.

    Args:
        number: of the part.

    Raises:
        InputError: logits that are not finite.
    """

    def read(index: int) -> tuple[Image, tuple[int, Sample]]:
        sample = part.dataset[index]
        return sample.image, (index, sample)

    def judge(of: tuple[int, Sample], result: Result) -> Judged:
        return _judge(part, number, *of, torch.as_tensor(result.logits))

    return run(part.segmenter, indices, read, judge)


class Seen(NamedTuple):
    """What a model sees in a frame, beside its label."""

    probabilities: NDArray[np.float32]  # (C, h, w), at the working size
    small: Label  # (h, w): the label, as the model saw labels in training
    prediction: Label  # at the label's size
    found: Found


def look_at(segmenter: Segmenter, image: Image, label: Label, name: str = "the frame") -> Seen:
    """Compare a label with what a model sees.

    Args:
        image: uint8 H×W×3 RGB.
        label: uint8 H×W, 255 = ignore.

    Raises:
        InputError: logits that are not finite.
    """
    return _compare(segmenter, segmenter.logits(image), Sample(image, label, name))


def _compare(segmenter: Segmenter, logits: Tensor, sample: Sample) -> Seen:
    """As `look_at`, of logits (C, h, w) of any size."""
    image, label, name = sample
    if not torch.isfinite(logits).all():
        raise InputError(f"{segmenter.name}: logits that are not finite for {name}")
    working = upsample(logits, segmenter.size_for(image))
    prediction = label_at((label.shape[0], label.shape[1]), logits)
    probabilities = working.softmax(0).cpu().numpy()  # (C, h, w)
    small = shrink_label(label, (probabilities.shape[1], probabilities.shape[2]))
    return Seen(
        probabilities, small, prediction, find_regions(probabilities, small, prediction, label)
    )


def _judge(part: Part, number: int, index: int, sample: Sample, logits: Tensor) -> Judged:
    """Score a frame and find its regions."""
    name = sample.name
    probabilities, small, prediction, found = _compare(part.segmenter, logits, sample)
    counted = small != IGNORE
    values = drawn_probability(probabilities, small)[counted]
    suspect = Suspect(
        name,
        part.fold,
        frame_score(probabilities, small),
        float(values.mean()) if values.size else None,
        found.regions,
    )
    return Judged(
        suspect,
        confidence=np.bincount(small[counted], values, minlength=len(probabilities)).astype(float),
        pixels=np.bincount(small[counted], minlength=len(probabilities)).astype(float),
        show=lambda: Shown(
            suspect,
            number,
            index,
            encode_png(prediction, flat=True),
            encode_png(found.numbers, flat=True),
        ),
    )


def _decoded(data: bytes) -> Label:
    return decode_pixels(data, "kept picture")


def _to_json(suspect: Suspect) -> dict[str, Any]:
    return vars(suspect) | {"regions": [vars(region) for region in suspect.regions]}


def _from_json(values: dict[str, Any]) -> Suspect:
    regions = (Region(**region | {"box": Box(*region["box"])}) for region in values["regions"])
    return Suspect(**values | {"regions": tuple(regions)})
