"""Functions called on a real Ray cluster: an actor on this machine."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from dashseg.cli.main import main
from dashseg.errors import InputError
from dashseg.scale import spread
from dashseg.scale.cluster import Sizing
from dashseg.scale.record import code_digest
from dashseg.scale.spread import Spread, _Job, roots


@pytest.fixture(autouse=True)
def importable() -> Iterator[None]:
    """Actors cannot import this module: what it defines is sent to them."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def square(marker: Path, large: str, number: int) -> int:
    """Kills its process at 5, unless the marker says that it has done so."""
    if number == 5 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def refuse(number: int) -> int:
    raise InputError(f"refused: {number}")


def test_a_killed_process_harms_nothing(cluster: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    work = partial(square, tmp_path / "killed", "a" * 1_000_000)  # the next process gets that too
    results = Spread(cluster, (str(tmp_path),))(
        work, range(10), on_progress=lambda *counts: told.append(counts)
    )
    assert list(results) == [number * number for number in range(10)]
    assert told == [(done, 10) for done in range(1, 11)]
    assert (tmp_path / "killed").exists()


def test_an_error_stops_the_work(in_process: list[int]) -> None:
    with pytest.raises(InputError, match=r"^refused: 0$"):
        list(Spread("auto")(refuse, range(4)))


def test_frames_that_kill_each_process_are_named(in_process: list[int]) -> None:
    in_process[0] = 4  # processes died of each shard
    says = "4 processes of the cluster died of frames 1 to 4 of 7"
    with pytest.raises(InputError, match=says):
        list(Spread("auto")(len, [""] * 7))
    in_process[0] = 3
    assert list(Spread("auto")(len, [""] * 7)) == [0] * 7


def test_without_items_there_is_nothing_to_do(cluster: str) -> None:
    assert list(Spread(cluster)(refuse, [])) == []


def of_late_first(begun: Path, number: int) -> tuple[int, bytes]:
    """2 MB. That of 0 comes once no other is begun for five seconds, or after a minute."""
    (begun / str(number)).touch()
    seen, since = 1, time.monotonic()
    deadline = since + 60
    while number == 0 and time.monotonic() < (deadline if seen <= 2 else min(deadline, since + 5)):
        time.sleep(0.05)
        if (now := len([*begun.iterdir()])) != seen:
            seen, since = now, time.monotonic()
    return number, os.urandom(2 << 20)


def test_while_the_first_is_late_the_others_wait_outside_the_driver(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half: Any = 0.5  # of the one core of this cluster, whose object store has 80 MB
    monkeypatch.setattr(spread, "size", lambda *_: Sizing(cores=half, gpus=0, actors=2))
    process = psutil.Process()
    before = process.memory_full_info().uss
    results = Spread(cluster, largest=1)(partial(of_late_first, tmp_path), range(80))
    assert next(results)[0] == 0
    begun = len([*tmp_path.iterdir()])
    assert begun < 60  # the store is not exceeded either
    assert begun > 2
    assert process.memory_full_info().uss - before < 20 << 20  # and not twice as many MB as begun
    assert [number for number, _ in results] == [*range(1, 80)]


def test_several_shards_of_a_block_keep_their_order_and_the_callers_settings_stay(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.data import DataContext

    monkeypatch.setattr("dashseg.scale.cluster._BLOCKS", 3)
    mine = DataContext.get_current()
    before = copy.deepcopy((mine.execution_options, mine.enable_progress_bars))
    assert list(Spread(cluster, largest=1)(str, range(10))) == [str(n) for n in range(10)]
    assert (mine.execution_options, mine.enable_progress_bars) == before
    assert not mine.execution_options.preserve_order


def test_a_machine_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it is left for the driver's folder
    job = of(tmp_path, str(tmp_path))
    assert job()([3]) == 1
    with pytest.raises(InputError, match="another version of dashseg"):
        replace(job, code="another")()
    with pytest.raises(InputError, match="does not see frames/of/mine"):
        replace(job, sees=("frames/of/mine",))()


def test_relative_paths_are_the_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "frames").mkdir()
    assert of(tmp_path, "frames")()([3]) == 1


def of(folder: Path, sees: str) -> _Job[int, int]:
    return _Job(len, str(folder), (sees,), code_digest())


@pytest.fixture
def data(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scenes with an image that was cut off, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHSEG_CACHE", str(tmp_path / "cache"))
    shutil.copytree(scenes, "data")
    damaged = sorted(Path("data/imgs").iterdir())[3]
    damaged.write_bytes(damaged.read_bytes()[:2000])
    return damaged


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(list(arguments))
    return code, capsys.readouterr().out


def test_check_and_stats_say_what_one_machine_says(
    data: Path, in_process: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    many = "--cluster", "auto", "--json"
    code, found = printed(capsys, "data", "check", "data", *many)
    assert (code, found) == printed(capsys, "data", "check", "data", "--workers", "1", "--json")
    assert data.name in found
    shutil.copy(data.with_name(sorted(os.listdir("data/imgs"))[4]), data)
    stats = "data", "stats", "data", "--no-cache"
    code, found = printed(capsys, *stats, *many)
    assert (code, found) == printed(capsys, *stats, "--workers", "1", "--json")
    assert json.loads(found)["data"]["images"] == 20


def test_a_pack_is_that_of_one_machine(
    data: Path, in_process: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    pack = "data", "pack", "data"
    assert main([*pack, "many", "--size", "54x72", "--cluster", "auto"]) == 2  # resumes
    assert data.name in capsys.readouterr().err
    shutil.copy(data.with_name(sorted(os.listdir("data/imgs"))[4]), data)
    assert main([*pack, "many", "--size", "54x72", "--cluster", "auto"]) == 0
    assert main([*pack, "one", "--size", "54x72", "--workers", "1"]) == 0
    names = sorted(os.listdir("one"))
    assert names == sorted(os.listdir("many")) and len(names) == 3
    for name in names:
        assert Path("many", name).read_bytes() == Path("one", name).read_bytes(), name


def test_drawn_scenes_need_no_folder() -> None:
    from dashseg.data.synthetic import open_scenes

    assert roots(open_scenes("synthetic:3")) == ()
