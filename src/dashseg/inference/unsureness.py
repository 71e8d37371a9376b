"""Frames -> how unsure the model is of each, and what each looks like to its encoder."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.inference.pipeline import usual_batch
from dashseg.inference.segmenter import Frame, Result, Segmenter, as_array

_REGION = 8  # the worst region is this part of the frame's height and width
_GRID = 4  # rows and columns of what stands for the features of an exported model
RAREST = 0.01  # of the frame: a class with a smaller share counts as if it had this

Floats = NDArray[np.float32]


class Unsureness(NamedTuple):
    """Of one frame.

    Args:
        mean: 0 (sure everywhere) to 1, over the pixels weighted by class.
        worst: the same of the most unsure region.
        box: that region in pixels of the frame: left, top, right, bottom (exclusive).
        map: float32 (h, w) at the decoder's stride: 1 − (p of the likeliest class − p of the next).
    """

    mean: float
    worst: float
    box: tuple[int, int, int, int]
    map: Floats


def unsureness(result: Result) -> Unsureness:
    """How unsure the model is of a frame.

    Pixels count by class, as in the review of labels: a class that fills little of the frame counts
    more, so that a doubtful lane marking is not lost beside a clear road.
    """
    probabilities = softmax(as_array(result.logits))  # (C, h, w)
    first_two = np.partition(probabilities, -2, axis=0)[-2:]
    unsure = 1 - (first_two[1] - first_two[0])  # (h, w)
    weights = _weights(probabilities.argmax(0), len(probabilities))
    height, width = unsure.shape
    rows, columns = max(1, round(height / _REGION)), max(1, round(width / _REGION))
    # Means over all windows that lie in the frame whole.
    means = cv2.boxFilter(unsure, -1, (columns, rows), anchor=(0, 0))
    means = means[: height - rows + 1, : width - columns + 1]
    top, left = np.unravel_index(int(means.argmax()), means.shape)
    down, across = result.image.shape[0] / height, result.image.shape[1] / width
    box = (
        int(left * across), int(top * down),
        round((left + columns) * across), round((top + rows) * down),
    )  # fmt: skip
    mean = float(np.average(unsure, weights=weights))
    return Unsureness(mean, float(means.max()), box, unsure)


class Seen(NamedTuple):
    """A frame, what the model sees in it, and its feature: float16 (D,) of length 1."""

    result: Result
    feature: NDArray[np.float16]


def with_features(
    segmenter: Segmenter, frames: Iterable[Frame], need_encoder: bool = False
) -> Generator[Seen | InputError, None, None]:
    """Segment frames in order and keep their features; a frame that cannot be read is its error.

    The feature is the encoder's output, averaged over the frame. An exported model does not give
    it: there, the probabilities stand for it, averaged over 4×4 cells.

    Args:
        need_encoder: an exported model will not do.

    Raises:
        InputError: an exported model with `need_encoder`, or test-time augmentation.
    """
    if segmenter.tta:  # the encoder then sees a frame several times
        raise InputError("features are of one look at a frame: load the model without tta")
    exported = not hasattr(segmenter.runtime, "network")
    if exported and not need_encoder:
        for outcome in segmenter.try_many(frames, batch_size=1):
            yield outcome if isinstance(outcome, InputError) else Seen(outcome, _layout(outcome))
        return
    with _encoder_outputs(segmenter.network.encoder) as features:
        for outcome in segmenter.try_many(frames, usual_batch(segmenter)):
            yield outcome if isinstance(outcome, InputError) else Seen(outcome, features.popleft())


@contextmanager
def _encoder_outputs(encoder: Any) -> Iterator[deque[NDArray[np.float16]]]:
    """Fills with a feature of each frame that goes through the encoder, in order."""
    features: deque[NDArray[np.float16]] = deque()

    def keep(module: Any, inputs: Any, output: Any) -> None:
        means = output[0].float().mean((2, 3)).cpu().numpy()  # (B, D)
        features.extend(_unit(row) for row in means)

    handle = encoder.register_forward_hook(keep)
    try:
        yield features
    finally:
        handle.remove()


def rarity(pixels: NDArray[np.intp], size: int) -> NDArray[np.float64]:
    """Weights (C,) of the classes' pixels in a frame: 1 / share, of at least `RAREST`."""
    return 1 / np.maximum(pixels / size, RAREST)


def _weights(seen: NDArray[np.intp], classes: int) -> NDArray[np.float64]:
    return rarity(np.bincount(seen.ravel(), minlength=classes), seen.size)[seen]


def _layout(result: Result) -> NDArray[np.float16]:
    probabilities = softmax(as_array(result.logits)).transpose(1, 2, 0)
    small = cv2.resize(probabilities, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    return _unit(np.asarray(small, np.float32).ravel())


def _unit(values: Floats) -> NDArray[np.float16]:
    length = float(np.linalg.norm(values))
    return (values / (length or 1)).astype(np.float16)


def softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(0, keepdims=True))
    return np.asarray(shifted / shifted.sum(0, keepdims=True), np.float32)
