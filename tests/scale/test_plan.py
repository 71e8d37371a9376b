"""Rows in shards."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from dashseg.errors import InputError
from dashseg.scale.plan import Plan, extend, read_plan
from dashseg.scale.row import Row
from dashseg.scale.storage import Storage


def rows(numbers: Iterable[int]) -> list[Row]:
    return [Row(f"drive/{number:07d}", f"s3://fleet/{number}.png") for number in numbers]


def all_rows(plan: Plan) -> list[Row]:
    return [row for shard in range(len(plan.sizes())) for row in plan.shard(shard)]


@pytest.mark.parametrize("count", [1, 3, 200, 5000])
def test_every_row_is_in_one_shard_in_order(tmp_path: Path, count: int) -> None:
    storage = Storage(str(tmp_path))
    extend(Plan(storage), rows(range(count)), largest=8)
    plan = read_plan(storage)
    assert all_rows(plan) == rows(range(count))
    assert [len(plan.shard(number)) for number in range(len(plan.sizes()))] == plan.sizes().tolist()
    assert plan.sizes().max() <= 8


def test_later_rows_are_appended_and_shards_stay(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    before = extend(Plan(storage), rows(range(0, 100, 2)), largest=8)
    after = extend(read_plan(storage), rows(range(101)), largest=8)
    count = len(before.sizes())
    assert [after.shard(n) for n in range(count)] == [before.shard(n) for n in range(count)]
    assert sorted(all_rows(after)) == rows(range(101))
    assert extend(read_plan(storage), rows(range(101)), largest=8) == after


def test_two_rows_of_one_name_are_refused_and_no_plan_is_left(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    twins = [*rows(range(50)), Row("drive/0000007", "elsewhere.png")]
    with pytest.raises(InputError, match="drive/0000007"):
        extend(Plan(storage), twins, largest=8)
    assert read_plan(storage).parts == ()


def test_a_plan_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))

    def killed() -> Iterable[Row]:
        yield from rows(range(4000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extend(Plan(storage), killed(), largest=8)
    assert read_plan(storage).parts == ()
    plan = extend(read_plan(storage), rows(range(3000, 6000)), largest=8)
    assert all_rows(plan) == rows(range(3000, 6000))


def test_memory_does_not_hold_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashseg.scale.plan._BATCH", 64)

    def peak(count: int) -> int:
        tracemalloc.start()
        many = (Row(f"drive/{n:0100d}", "") for n in range(count))
        extend(Plan(Storage(str(tmp_path / str(count)))), many, largest=8)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(4_000), peak(14_000)
    assert many - few < 10_000 * 60  # of 150 bytes and more that a row's name takes
