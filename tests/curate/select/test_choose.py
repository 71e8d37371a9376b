"""Which frames are chosen, and in which order."""

import numpy as np
import pytest

from dashseg.curate.select import Candidate, choose


def frame(name: str, feature: np.ndarray, unsure: float = 0.5) -> Candidate:
    unit = (feature / np.linalg.norm(feature)).astype(np.float16)
    return Candidate(name, f"{name}.png", None, unsure, unsure, (0, 0, 1, 1), unit)


@pytest.fixture
def clusters() -> list[Candidate]:
    """Four looks, ten near copies of each; the model is most unsure of the first look."""
    rng = np.random.default_rng(0)
    looks = np.eye(4, 16)
    return [
        frame(f"{look}-{copy}", looks[look] + rng.normal(0, 0.01, 16), 0.9 - look / 10 - copy / 100)
        for look in range(4)
        for copy in range(10)
    ]


def looks(picks) -> list[str]:
    return [pick.candidate.name.split("-")[0] for pick in picks]


@pytest.mark.parametrize("by", ["uncertainty", "diversity", "both"])
def test_near_copies_come_last(clusters, by) -> None:
    picks = choose(clusters, [""] * 40, 40, by)
    assert sorted(looks(picks)[:4]) == ["0", "1", "2", "3"]
    assert picks[0].candidate.name == "0-0" and picks[0].distance is None
    assert len({pick.candidate.name for pick in picks}) == 40


def test_what_is_labelled_is_not_chosen_nor_what_looks_like_it(clusters) -> None:
    labelled = [clusters[0], frame("old", np.eye(4, 16)[2])]
    picks = choose(clusters, [""] * 40, 2, "both", labelled)
    assert looks(picks) == ["1", "3"]
    assert "0-0" not in {
        p.candidate.name for p in choose(clusters, [""] * 40, 40, "both", labelled)
    }


def test_diversity_is_the_farthest_point_of_the_k_centre_method() -> None:
    """Against the method written out, in float64."""
    rng = np.random.default_rng(3)
    frames = [frame(str(i), rng.random(6), float(rng.random())) for i in range(60)]
    labelled = [frame(f"l{i}", rng.random(6)) for i in range(5)]
    vectors = {one.name: one.feature.astype(float) for one in (*frames, *labelled)}
    chosen = [one.name for one in labelled]
    picks = choose(frames, [""] * 60, 12, "diversity", labelled)
    for pick in picks:
        free = [one.name for one in frames if one.name not in chosen]
        far = {
            name: min(np.linalg.norm(vectors[name] - vectors[other]) for other in chosen)
            for name in free
        }
        assert far[pick.candidate.name] == pytest.approx(max(far.values()), abs=2e-3)
        assert pick.distance == pytest.approx(far[pick.candidate.name], abs=2e-2)
        chosen.append(pick.candidate.name)


def test_uncertainty_takes_the_highest_scores() -> None:
    rng = np.random.default_rng(4)
    frames = [frame(str(i), np.eye(40)[i], float(rng.random())) for i in range(40)]
    picks = choose(frames, [""] * 40, 5, "uncertainty")
    scores = [pick.candidate.score for pick in picks]
    assert scores == sorted((one.score for one in frames), reverse=True)[:5]
    assert [pick.share for pick in picks] == [39 / 40, 38 / 40, 37 / 40, 36 / 40, 35 / 40]


def test_no_group_has_more_than_its_most(clusters) -> None:
    groups = ["a"] * 30 + ["b"] * 10
    picks = choose(clusters, groups, 40, "both", most=6)
    assert [pick.group for pick in picks].count("a") == 6
    assert [pick.group for pick in picks].count("b") == 6


def test_nothing_to_choose_from_gives_nothing() -> None:
    assert choose([], [], 5) == []
    rng = np.random.default_rng(0)
    one = frame("a", rng.random(4))
    assert [pick.candidate.name for pick in choose([one], [""], 5)] == ["a"]
