"""`Segmenter.many`: what one call for each frame gives, in order, with little in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.inference import Result, Segmenter, load

Array = NDArray[np.uint8]
SIZES = [(40, 56), (40, 56), (40, 56), (33, 70), (40, 56), (48, 48), (48, 48), (96, 96)]


def frame_of(seed: int, size: tuple[int, int] = (40, 56)) -> Array:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-size[0] // 8), -(-size[1] // 8), 3), np.uint8)
    return np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]])


def frames_of_several_sizes() -> list[Array]:
    return [frame_of(seed, size) for seed, size in enumerate(SIZES)]


def assert_same(result: Result, alone: Result) -> None:
    """The same frame, and the same label but where classes tie up to float32's rounding."""
    assert np.array_equal(result.image, alone.image)
    logits, expected = torch.as_tensor(result.logits), torch.as_tensor(alone.logits)
    assert torch.allclose(logits, expected, atol=1e-5 * float(expected.abs().max()))
    different = result.label != alone.label
    first, second = torch.from_numpy(alone.probabilities).topk(2, dim=0).values
    assert (first - second).numpy()[different].max(initial=0) < 1e-4


@pytest.mark.parametrize("kind", ["torch", "onnx", "openvino"])
@pytest.mark.parametrize("size", [None, (48, 80)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_results_are_those_of_one_call_for_each_frame(
    exported: Callable[..., Path],
    segmenter: Segmenter,
    kind: str,
    size: tuple[int, int] | None,
    batch_size: int,
) -> None:
    if kind != "torch":
        pytest.importorskip("onnxruntime" if kind == "onnx" else "openvino")
        segmenter = load(exported(kind, size=size), device="cpu")
    frames = frames_of_several_sizes()
    results = list(segmenter.many(frames, batch_size=batch_size))
    assert len(results) == len(frames)
    for result, frame in zip(results, frames, strict=True):
        assert_same(result, segmenter(frame))
        if batch_size == 1:
            assert np.array_equal(result.label, segmenter(frame).label)


def test_augmented_results_are_those_of_one_call_for_each_frame(segmenter: Segmenter) -> None:
    augmented = Segmenter(
        segmenter.runtime, segmenter.input, segmenter.classes, "tta", tta=("flip", "multiscale")
    )
    frames = frames_of_several_sizes()[:4]
    for result, frame in zip(augmented.many(frames), frames, strict=True):
        assert np.array_equal(result.logits, augmented(frame).logits)


def test_neighbours_of_one_working_size_go_together(segmenter: Segmenter) -> None:
    seen: list[tuple[int, ...]] = []
    hook = segmenter.network.get_submodule("encoder").register_forward_pre_hook(
        lambda _, inputs: seen.append((len(inputs[0]), *inputs[0].shape[2:]))
    )
    list(segmenter.many(frames_of_several_sizes(), batch_size=2))
    hook.remove()
    # 48×48 and 96×96 come to one working size.
    assert seen == [(2, 36, 50), (1, 36, 50), (1, 32, 64), (1, 36, 50), (2, 36, 36), (1, 36, 36)]


def test_paths_pictures_and_arrays_can_be_mixed(segmenter: Segmenter, tmp_path: Path) -> None:
    frame = frame_of(0)
    picture = PIL.Image.fromarray(frame)
    picture.save(tmp_path / "frame.png")
    same: list[Any] = [frame, picture, tmp_path / "frame.png", str(tmp_path / "frame.png"), picture]
    results = list(segmenter.many(same))
    assert len(results) == 5
    for result in results:
        assert_same(result, segmenter(frame))


def test_a_frame_that_cannot_be_read_is_an_error_at_its_turn(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    frames: list[Any] = [frame_of(0), frame_of(1), tmp_path / "gone.png", frame_of(2)]
    results = segmenter.many(frames)
    assert_same(next(results), segmenter(frame_of(0)))
    assert_same(next(results), segmenter(frame_of(1)))
    with pytest.raises(InputError, match=r"gone\.png: cannot be read"):
        next(results)
    with pytest.raises(InputError, match=r"a frame is a path, .* not NoneType"):
        list(segmenter.many([frame_of(0), None]))  # type: ignore[list-item]


def test_what_cannot_be_read_can_be_skipped(segmenter: Segmenter, tmp_path: Path) -> None:
    frames: list[Any] = [tmp_path / "a.png", frame_of(0), b"", frame_of(1), tmp_path / "b.png"]
    outcomes = list(segmenter.try_many(frames, batch_size=3))
    assert [isinstance(outcome, Result) for outcome in outcomes] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert "a.png: cannot be read" in str(outcomes[0])
    assert "not bytes" in str(outcomes[2])
    assert isinstance(outcomes[3], Result)
    assert_same(outcomes[3], segmenter(frame_of(1)))


def test_an_error_of_the_iterable_comes_after_the_frames_before_it(segmenter: Segmenter) -> None:
    def camera() -> Iterator[Array]:
        yield frame_of(0)
        raise ConnectionError("the camera is gone")

    results = segmenter.many(camera(), batch_size=1)
    assert_same(next(results), segmenter(frame_of(0)))
    with pytest.raises(ConnectionError, match="the camera is gone"):
        next(results)


@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_no_more_frames_are_taken_than_fit_in_a_batch_or_two(
    segmenter: Segmenter, batch_size: int
) -> None:
    taken = 0

    def count() -> Iterator[Array]:
        nonlocal taken
        for seed in range(1000):
            taken += 1
            yield frame_of(seed)

    results = segmenter.many(count(), batch_size=batch_size)
    for done in range(1, 12):
        next(results)
        assert taken <= done + 2 * max(4, batch_size)


def test_a_stopped_consumer_leaves_no_thread(segmenter: Segmenter) -> None:
    before = threading.active_count()
    results = segmenter.many(frame_of(seed) for seed in range(1000))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_frames_may_come_in_one_array_that_is_filled_again(segmenter: Segmenter) -> None:
    def reused() -> Iterator[Array]:
        shared = np.empty((40, 56, 3), np.uint8)
        for seed in range(10):
            shared[:] = frame_of(seed)
            yield shared

    for seed, result in enumerate(segmenter.many(reused(), batch_size=3)):
        assert np.array_equal(result.image, frame_of(seed))


def test_a_batch_of_none_is_an_error(segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match="batch_size 0: 1 or more"):
        list(segmenter.many([frame_of(0)], batch_size=0))


def test_no_frames_give_no_results(segmenter: Segmenter) -> None:
    assert list(segmenter.many([])) == []
