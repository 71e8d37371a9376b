"""One pass over the frames: the worst first, with the class drawn and the class seen."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dashseg.data import Dataset, Sample
from dashseg.errors import InputError
from dashseg.labels import COMMA10K_DRIVER
from dashseg.review.suspects import Part, find_suspects


def review(frames, oracle, top=10):
    return find_suspects([Part(oracle, frames)], io.BytesIO(), top)


def test_the_frame_whose_vehicle_was_overlooked_comes_first(frames: Dataset, oracle: Any) -> None:
    ordered = list(review(frames, oracle).in_order())
    assert (ordered[0].name, ordered[-1].name) == ("c", "b")
    assert {suspect.name for suspect in ordered} == set(frames.names)
    worst = ordered[0]
    assert worst.score < 0.2 < 0.9 < ordered[1].score <= ordered[2].score <= ordered[3].score
    # The vehicle stands on the road and against what is undrivable: a region of each.
    pairs = [(region.drawn, region.seen, region.area) for region in worst.regions]
    assert pairs == [(0, 3, 12 * 20), (2, 3, 4 * 20)]
    assert worst.regions[0].box == (48, 24, 68, 36)
    assert all(suspect.regions == () for suspect in ordered[1:])


def test_frames_without_a_labelled_pixel_come_last_and_are_not_shown(
    frames: Dataset, oracle: Any
) -> None:
    suspects = review(frames, oracle)
    last = list(suspects.in_order())[-1]
    assert (last.name, last.score, last.mean) == ("b", None, None)
    assert suspects.unlabelled == 1
    assert suspects.worst()[0].suspect.name == "c"
    assert {shown.suspect.name for shown in suspects.worst()} == set("acde")


def test_what_is_seen_under_ignored_pixels_changes_nothing(
    write_scenes: Callable[..., Dataset], scene: NDArray[np.uint8], oracle: Any
) -> None:
    label = scene.copy()
    label[:, :40] = 255
    other = scene.copy()
    other[:, :40] = 3
    same, differs = review(
        write_scenes({"a": label, "b": label}, shown={"b": other}), oracle
    ).in_order()
    assert {same.name, differs.name} == {"a", "b"}
    assert same.score == differs.score and same.mean == differs.mean
    assert same.regions == differs.regions == ()


def test_the_pictures_kept_are_the_prediction_and_the_regions(frames: Dataset, oracle: Any) -> None:
    shown = review(frames, oracle, top=1).worst()
    assert len(shown) == 1
    image, label, _ = frames[shown[0].index]
    seen = oracle.logits(image).argmax(0).numpy()
    assert np.array_equal(shown[0].prediction, seen)
    wrong = (shown[0].prediction == 3) & (label != 3)
    assert np.array_equal(shown[0].found.numbers > 0, wrong)


def test_only_the_worst_are_kept_whatever_the_order(
    write_scenes: Callable[..., Dataset], scene: NDArray[np.uint8], oracle: Any
) -> None:
    labels = {}
    for n in (3, 0, 4, 1, 2, 5):
        label = scene.copy()
        label[40 : 40 + 3 * n, 30:45] = 3  # a vehicle that is not there, larger and larger
        labels[f"{n}"] = label
    suspects = review(write_scenes(labels), oracle, top=3)
    assert [s.suspect.name for s in suspects.worst()] == ["5", "4", "3"]
    assert [s.name for s in suspects.in_order()] == ["5", "4", "3", "2", "1", "0"]
    assert suspects.worst()[0].suspect.regions[0].seen == 0


def test_a_class_s_threshold_is_the_mean_probability_where_it_is_drawn(
    frames: Dataset, oracle: Any
) -> None:
    sums, pixels = np.zeros(5), np.zeros(5)
    for index in range(len(frames)):
        image, label, _ = frames[index]
        probabilities = oracle.logits(image).softmax(0).numpy()
        for class_id in range(5):
            sums[class_id] += probabilities[class_id][label == class_id].sum()
            pixels[class_id] += (label == class_id).sum()
    thresholds = review(frames, oracle).thresholds()
    np.testing.assert_allclose(thresholds[:4], np.maximum(sums[:4] / pixels[:4], 0.5), atol=0.01)
    assert thresholds[4] == 0.5  # no frame has "my car"


def test_coarse_logits_are_enlarged_to_the_size_at_which_labels_are_compared(
    frames: Dataset, oracle: Any
) -> None:
    base: Any = type(oracle)

    class Coarse(base):  # type: ignore[misc]
        def logits(self, image):
            return super().logits(image)[:, ::4, ::4]

    image, label, name = frames[0]
    coarse = Coarse().logits(image)
    full = F.interpolate(coarse[None], size=label.shape, mode="bilinear")[0].softmax(0).numpy()
    expected = np.take_along_axis(full, label[None].astype(int), 0).mean()
    (suspect,) = (found for found in review(frames, Coarse()).in_order() if found.name == name)
    assert suspect.mean == pytest.approx(expected, rel=1e-5)


def test_a_model_less_sure_than_usual_has_no_say(frames: Dataset, oracle: Any) -> None:
    """In frame c it sees the vehicle with little confidence, elsewhere with much."""

    base: Any = type(oracle)

    class Hesitant(base):  # type: ignore[misc]
        calls = 0

        def logits(self, image):
            logits = super().logits(image)
            self.calls += 1
            if self.calls == 3:  # frame c
                logits[3] *= 0.55
            return logits

    hesitant = Hesitant()
    (worst, *_) = review(frames, hesitant).in_order()
    assert worst.name == "c" and worst.regions == ()


def test_other_classes_are_an_error_that_names_both(frames: Dataset, oracle: Any) -> None:
    with pytest.raises(InputError, match="movable in my car"):
        review(frames, replace(oracle, classes=COMMA10K_DRIVER))


def test_logits_that_are_no_numbers_are_an_error_that_names_the_frame(
    frames: Dataset, oracle: Any
) -> None:
    oracle.logits = lambda image: torch.full((5, 30, 40), torch.nan)
    with pytest.raises(InputError, match="not finite for a"):
        review(frames, oracle)


def test_memory_does_not_grow_with_the_frames(scene: NDArray[np.uint8], oracle: Any) -> None:
    class Repeated:
        """The same frame again and again, of which every tenth lacks its vehicle."""

        root, kind, split, classes = "repeated", "folder", "all", oracle.classes

        def __init__(self, count: int) -> None:
            self.count = count

        def __len__(self) -> int:
            return self.count

        def __getitem__(self, index: int) -> Sample:
            label = scene.copy()
            if index % 10 == 0:
                label[label == 3] = 0
            image = np.array(oracle.classes.colours, np.uint8)[scene]
            return Sample(image, label, f"frame {index}")

    def peak(count: int, path: Path) -> int:
        with path.open("w+b") as file:
            tracemalloc.start()
            frames: Any = Repeated(count)
            find_suspects([Part(oracle, frames)], file, top=5)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    with tempfile.TemporaryDirectory() as folder:
        few, many = (peak(count, Path(folder) / f"{count}") for count in (50, 550))
    # Bytes; one frame's label alone has 4800. Threads that read ahead take now more, now less.
    assert many - few < 500 * 1000
