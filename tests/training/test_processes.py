from pathlib import Path
from typing import Any

import pytest

from dashseg.errors import InputError
from dashseg.training.processes import ALONE, Processes, from_first, launched

LAUNCH = {
    "TORCHELASTIC_RUN_ID": "7", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
}  # fmt: skip


def test_without_torchrun_there_is_one_process_which_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in LAUNCH:
        monkeypatch.delenv(name, raising=False)
    assert launched() == Processes(0, 1, 1)
    assert launched().first


def test_torchruns_environment_gives_rank_processes_and_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in LAUNCH.items():
        monkeypatch.setenv(name, value)
    place = launched()
    assert (place.rank, place.world, place.nodes, place.per_node) == (5, 8, 2, 4)
    assert place.local == 1
    assert not place.first
    assert place.share(16) == 2


_ASK = """
import os, sys, time
from pathlib import Path
from dashseg.training.processes import launched, from_first

place, start = launched(), os.environ["TORCHELASTIC_RESTART_COUNT"]

if place.first:
    time.sleep(1)
word = from_first(place, "start " + start if place.first else "")
if start == "0":
    sys.exit(1)
Path(sys.argv[1], str(place.rank)).write_text(word)
"""


@pytest.mark.parametrize("own_store", ["0", "1"])
def test_all_processes_get_the_first_ones_text_after_a_restart_too(
    tmp_path: Path, own_store: str, monkeypatch: pytest.MonkeyPatch, forks: Any
) -> None:
    script = tmp_path / "ask.py"
    script.write_text(_ASK)
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", own_store)
    torchrun = Path(__file__).with_name("torchrun.py")
    done = forks.run(torchrun, 1, script, tmp_path, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {(tmp_path / rank).read_text() for rank in "01"} == {"start 1"}


def test_a_single_process_gets_its_own_text() -> None:
    assert from_first(ALONE, "here") == "here"


def test_machines_must_run_the_same_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**LAUNCH, "WORLD_SIZE": "7"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="same --nproc-per-node on every machine"):
        launched()
