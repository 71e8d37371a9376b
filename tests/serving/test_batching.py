"""Frames that arrive together are batched; a full queue, a cancelled and a failing frame."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from dashseg.inference import Result
from dashseg.inference.segmenter import as_array
from dashseg.serving.batching import Batcher, Full


def grey(value: int) -> np.ndarray:
    return np.full((40, 56, 3), value, np.uint8)


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def run(segmenter, test, **settings):
    """Run `await test(batcher)`; returns the sizes of the batches."""
    sizes: list[int] = []

    async def main() -> None:
        batcher = Batcher(segmenter, on_batch=sizes.append, **settings)
        try:
            async with asyncio.timeout(20):
                await test(batcher)
        finally:
            segmenter.runtime.open.set()
            batcher.close()

    asyncio.run(main())
    return sizes


def test_frames_that_wait_are_segmented_together_each_as_if_alone(gated, segmenter) -> None:
    frames = [np.random.default_rng(n).integers(0, 255, (40, 56, 3), np.uint8) for n in range(6)]

    async def test(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.segment(frames[0]))
        await until(gated.runtime.began.is_set)
        others = [asyncio.create_task(batcher.segment(frame)) for frame in frames[1:]]
        await until(lambda: batcher.waiting == 5)
        gated.runtime.open.set()
        for frame, result in zip(frames, await asyncio.gather(first, *others), strict=True):
            assert result.image is frame
            expected = as_array(segmenter(frame).logits)
            np.testing.assert_allclose(as_array(result.logits), expected, atol=1e-5)

    assert run(gated, test, batch=4) == [1, 4, 1]


def test_frames_of_other_shapes_are_not_batched(gated) -> None:
    async def test(batcher: Batcher) -> None:
        gated.runtime.open.set()
        shapes = [(40, 56), (40, 56), (90, 40), (40, 56)]
        frames = [np.zeros((*shape, 3), np.uint8) for shape in shapes]
        results = await asyncio.gather(*map(batcher.segment, frames))
        assert [result.label.shape for result in results] == shapes

    assert run(gated, test, wait_ms=50) == [2, 1, 1]


def test_an_idle_network_waits_for_a_batch_when_asked_to(gated) -> None:
    async def test(batcher: Batcher) -> None:
        gated.runtime.open.set()
        first = asyncio.create_task(batcher.segment(grey(1)))
        await until(lambda: batcher.waiting == 1)
        await asyncio.gather(first, batcher.segment(grey(2)))  # a full batch starts at once

    assert run(gated, test, batch=2, wait_ms=60_000) == [2]


def test_a_full_queue_refuses_one_more(gated) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = [asyncio.create_task(batcher.segment(grey(0)))]
        await until(gated.runtime.began.is_set)
        tasks += [asyncio.create_task(batcher.segment(grey(n))) for n in (1, 2)]
        await until(lambda: batcher.waiting == 2)
        with pytest.raises(Full):
            await batcher.segment(grey(3))
        gated.runtime.open.set()
        assert len(await asyncio.gather(*tasks)) == 3
        await batcher.segment(grey(4))  # there is room again

    run(gated, test, queue=2)
    assert gated.runtime.frames == [0, 1, 2, 4]


def test_a_cancelled_frame_never_reaches_the_network(gated) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = [asyncio.create_task(batcher.segment(grey(0)))]
        await until(gated.runtime.began.is_set)
        tasks += [asyncio.create_task(batcher.segment(grey(n))) for n in (1, 2, 3)]
        await until(lambda: batcher.waiting == 3)
        tasks[2].cancel()
        tasks[0].cancel()  # the network has it already
        gated.runtime.open.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(end, asyncio.CancelledError) for end in ends] == [True, False] * 2

    run(gated, test)
    assert gated.runtime.frames == [0, 1, 3]


def test_a_frame_that_fails_harms_no_other_of_its_batch(gated) -> None:
    async def test(batcher: Batcher) -> None:
        gated.runtime.open.set()
        frames = [grey(1), grey(255), grey(2)]
        ends = await asyncio.gather(*map(batcher.segment, frames), return_exceptions=True)
        assert isinstance(ends[1], RuntimeError)
        for end in (ends[0], ends[2]):
            assert isinstance(end, Result) and end.label.shape == (40, 56)
        assert (await batcher.segment(grey(3))).label.shape == (40, 56)

    run(gated, test, wait_ms=50)
