"""The simulation of a cluster, where the answer is known without it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def simulation() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("cluster_simulation")


def test_equal_blocks_on_equal_cores_take_the_perfect_time(simulation: Any) -> None:
    cluster = simulation.Cluster(nodes=3, cores=4, block=10, spread=0)
    outcome = simulation.simulate(cluster, 12 * 10 * 5, seed=0)
    assert outcome.ratio == pytest.approx(1) and outcome.lost == 0 and outcome.repeated == 0


def test_one_block_too_many_takes_a_whole_round(simulation: Any) -> None:
    cluster = simulation.Cluster(nodes=3, cores=4, block=10, spread=0)
    outcome = simulation.simulate(cluster, (12 * 5 + 1) * 10, seed=0)
    assert outcome.ratio == pytest.approx(6 * 12 / (12 * 5 + 1))


def test_a_video_that_is_not_divided_bounds_the_run(simulation: Any) -> None:
    cluster = simulation.Cluster(nodes=10, cores=10, block=1, spread=0, long_video=0.1)
    outcome = simulation.simulate(cluster, 10_000, seed=0)  # its block is ten cores' share
    assert 10 <= outcome.ratio <= 11


def test_nodes_are_lost_as_often_as_they_live(simulation: Any) -> None:
    cluster = simulation.Cluster(nodes=50, cores=2, block=100, rate=1, replaced=0, life=1)
    outcome = simulation.simulate(cluster, 100 * 3600 * 10, seed=0)  # ten hours: 500 losses
    assert 430 < outcome.lost < 570
    # Of each loss: two cores, and half a block's time of work in the mean (a loss falls anywhere).
    assert outcome.repeated == pytest.approx(500 * 2 * 50 / (100 * 3600 * 10), rel=0.25)
    safe = simulation.simulate(replace(cluster, life=float("inf")), 100 * 3600 * 10, seed=0)
    assert outcome.ratio > safe.ratio
