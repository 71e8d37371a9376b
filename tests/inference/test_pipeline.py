"""Frames through read, network and finish: order, errors by frame, bounds, and an end at Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dashseg.cli import main
from dashseg.config import InputConfig
from dashseg.errors import InputError
from dashseg.images import encode_png, resize_image
from dashseg.inference import Result, Segmenter, load
from dashseg.inference.pipeline import Pace, run
from dashseg.inference.runtime import Batch
from dashseg.labels import COMMA10K, Image

SIZE = 32, 40
PACES = [Pace(), Pace(workers=1), Pace(batch_size=4, workers=3)]


class Brightness:
    """A network whose logits hold its frames' first value; it counts what runs at once."""

    name, size, precision = "brightness", None, "fp32"

    def __init__(self, parallel: int) -> None:
        self.parallel = parallel
        self.batches: list[int] = []
        self.most = self._inside = 0
        self._counting = threading.Lock()
        self.together: threading.Barrier | None = None

    def __call__(self, frames: Batch) -> NDArray[np.float32]:
        with self._counting:
            self._inside += 1
            self.most = max(self.most, self._inside)
            self.batches.append(len(frames))
        if self.together:
            self.together.wait()
        with self._counting:
            self._inside -= 1
        logits = np.zeros((len(frames), len(COMMA10K), 4, 5), np.float32)
        logits += frames[:, :1, :1, 0][:, None]
        return logits


class Computing:
    """A network that a function computes."""

    name, size, precision, parallel = "computing", None, "fp32", 1

    def __init__(self, compute: Callable[[Batch], NDArray[np.float32]]) -> None:
        self.compute = compute

    def __call__(self, frames: Batch) -> NDArray[np.float32]:
        return self.compute(frames)


def segmenter_of(network: Brightness) -> Segmenter:
    return Segmenter(network, InputConfig(size=None), COMMA10K, "brightness")


@pytest.fixture(params=[1, 3], ids=["one at a time", "three at once"])
def network(request: pytest.FixtureRequest) -> Brightness:
    return Brightness(request.param)


def read(value: int) -> tuple[Image, int]:
    if value == 5:
        raise InputError("five cannot be read")
    return np.full((*SIZE, 3), value, np.uint8), value


def values(value: int, result: Result) -> tuple[int, float]:
    return value, float(np.asarray(result.logits).max())


@pytest.mark.parametrize("pace", PACES)
def test_each_frame_comes_in_order_with_its_own_logits(network: Brightness, pace: Pace) -> None:
    items = [value for value in range(40) if value != 5]
    made = list(run(segmenter_of(network), items, read, values, pace))
    assert made == [(value, value) for value in items]


@pytest.mark.parametrize("pace", PACES)
def test_a_frame_that_cannot_be_read_is_its_error_at_its_place(
    network: Brightness, pace: Pace
) -> None:
    made = list(run(segmenter_of(network), range(9), read, values, pace))
    assert str(made[5]) == "five cannot be read" and isinstance(made[5], InputError)
    assert made[:5] + made[6:] == [(value, value) for value in (0, 1, 2, 3, 4, 6, 7, 8)]


@pytest.mark.parametrize("pace", PACES)
def test_what_finish_raises_is_raised_also_if_it_is_an_input_error(
    network: Brightness, pace: Pace
) -> None:
    def refuse(value: int, result: Result) -> int:
        if value == 3:
            raise InputError("the disk is full")
        return value

    made = []
    before = threading.active_count()
    with pytest.raises(InputError, match="the disk is full"):
        for value in run(segmenter_of(network), range(30), read, refuse, pace):
            made.append(value)
    assert made == [0, 1, 2]
    assert threading.active_count() == before


@pytest.mark.parametrize("pace", PACES)
def test_leaving_early_ends_the_threads_and_closes_the_items(
    network: Brightness, pace: Pace
) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    before = threading.active_count()
    made = run(segmenter_of(network), endless(), read, values, pace)
    assert next(made) == (1, 1)
    made.close()
    assert threading.active_count() == before
    assert closed.is_set()


@pytest.mark.parametrize("pace", PACES)
def test_the_network_does_not_wait_for_frames_to_be_resized(
    pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Brightness(1)
    threads: dict[str, set[int]] = {"resize": set(), "network": set()}

    def noted(image: Image, size: tuple[int, int]) -> Image:
        if image.shape[:2] != size:
            threads["resize"].add(threading.get_ident())
        return resize_image(image, size)

    def compute(frames: Batch) -> NDArray[np.float32]:
        threads["network"].add(threading.get_ident())
        return network(frames)

    monkeypatch.setattr("dashseg.inference.segmenter.resize_image", noted)
    segmenter = segmenter_of(network)
    segmenter.input = InputConfig(size=(64, 64))
    monkeypatch.setattr(segmenter, "runtime", Computing(compute))
    assert len(list(run(segmenter, [1, 2, 3], read, values, pace))) == 3
    assert threads["resize"] and not threads["resize"] & threads["network"]


@pytest.mark.parametrize("pace", PACES)
def test_a_slow_consumer_holds_the_rest_back(network: Brightness, pace: Pace) -> None:
    taken = 0

    def count() -> Iterator[int]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield 1

    made = run(segmenter_of(network), count(), read, values, Pace(pace.batch_size, 2))
    for done in range(1, 60):
        next(made)
        assert taken <= done + 20
    made.close()


def test_a_network_for_many_frames_computes_several_at_once() -> None:
    network = Brightness(parallel=2)
    network.together = threading.Barrier(2, timeout=20)  # broken unless two meet
    made = list(run(segmenter_of(network), [1, 2, 3, 4], read, values, Pace(workers=2)))
    assert len(made) == 4 and network.most == 2


def test_any_other_network_gets_one_batch_at_a_time() -> None:
    network = Brightness(parallel=1)
    list(run(segmenter_of(network), [1] * 10, read, values, Pace(batch_size=4, workers=3)))
    assert network.batches == [4, 4, 2]
    assert network.most == 1


def test_results_are_finished_by_several_threads_at_once(network: Brightness) -> None:
    together = threading.Barrier(2, timeout=20)

    def meet(value: int, result: Result) -> int:
        together.wait()
        return value

    made = list(run(segmenter_of(network), [1, 2, 3, 4], read, meet, Pace(workers=2)))
    assert made == [1, 2, 3, 4]


def test_the_networks_time_is_told_for_each_batch(network: Brightness) -> None:
    seconds: list[float] = []
    list(run(segmenter_of(network), [1] * 6, read, values, Pace(batch_size=3), seconds.append))
    assert len(seconds) == 2 and min(seconds) > 0


@pytest.mark.parametrize("pace", [{"batch_size": 0}, {"workers": 0}])
def test_a_pace_of_nothing_is_an_error(pace: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"(batch_size|workers) 0: 1 or more"):
        Pace(**pace)


@pytest.mark.parametrize(("batch", "parallel"), [("auto", 2), ("1", 2), ("3", 1)])
def test_predict_computes_batches_on_all_cores_and_single_frames_on_one_each(
    exported: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: str,
    parallel: int,
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = []
    real = Segmenter.batch

    def spy(self: Segmenter, images: Sequence[Image], resized: Sequence[Image]) -> list[Result]:
        found.append((len(images), self.runtime.parallel))
        return real(self, images, resized)

    monkeypatch.setattr(Segmenter, "batch", spy)
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encode_png(np.zeros((*SIZE, 3), np.uint8)))
    path, out = exported("onnx", size=(48, 80)), tmp_path / "out"
    assert main(["predict", str(path), str(tmp_path), "--out", str(out), "--batch", batch]) == 0
    size = int(batch) if batch != "auto" else 1
    assert found == [(size, parallel)] * (3 // size)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_a_model_for_many_frames_gives_the_same_labels(
    exported: Callable[..., Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime" if kind == "onnx" else "openvino")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    path = exported(kind, size=(48, 80))
    one, many = load(path, device="cpu"), load(path, device="cpu", many=True)
    assert one.runtime.parallel == 1
    assert many.runtime.parallel > 1 or kind == "openvino"  # OpenVINO decides by the processor
    rng = np.random.default_rng(0)
    frames: Sequence[Image] = [rng.integers(0, 256, (40, 56, 3), np.uint8) for _ in range(7)]
    for result, frame in zip(many.many(frames), frames, strict=True):
        assert np.array_equal(result.image, frame)
        expected = np.asarray(one(frame).logits)
        np.testing.assert_allclose(np.asarray(result.logits), expected, atol=1e-4)
