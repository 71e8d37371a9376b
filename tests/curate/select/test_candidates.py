"""The pool of candidates: bounded, spread over time, and the better ones stay."""

import numpy as np
import pytest

from dashseg.curate.select import Candidate, Pool


def frame(number: int, unsure: float = 0.5) -> Candidate:
    feature = np.full(4, 0.5, np.float16)
    return Candidate(f"{number:05d}", "video.mp4", number, unsure, unsure, (0, 0, 1, 1), feature)


def test_few_frames_all_stay_in_order() -> None:
    pool = Pool(lambda one: one.score, size=8)
    for number in range(8):
        pool.offer(frame(number))
    assert [one.frame for one in pool] == list(range(8))


@pytest.mark.parametrize("count", [9, 100, 1000, 4321])
def test_many_frames_are_thinned_out_evenly(count: int) -> None:
    pool = Pool(lambda one: 0.0, size=64)
    for number in range(count):
        pool.offer(frame(number))
    kept = np.array([one.frame for one in pool])
    assert len(kept) <= 64 and pool.offered == count
    assert kept[0] == 0
    steps = np.diff(kept)
    assert (steps == steps[0]).all() and steps[0] * len(kept) >= count


def test_of_each_window_the_most_unsure_frame_stays() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(256)
    pool = Pool(lambda one: one.score, size=16)
    for number, score in enumerate(scores):
        pool.offer(frame(number, float(score)))
    window = 256 // len(pool)
    expected = [start + int(scores[start:][:window].argmax()) for start in range(0, 256, window)]
    assert [one.frame for one in pool] == expected
