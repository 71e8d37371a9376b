import pytest

from dashseg.errors import InputError
from dashseg.training.processes import Processes, launched

LAUNCH = {
    "TORCHELASTIC_RUN_ID": "7", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
}  # fmt: skip


def test_a_process_without_torchrun_is_alone_and_writes(monkeypatch):
    for name in LAUNCH:
        monkeypatch.delenv(name, raising=False)
    assert launched() == Processes(0, 1, 1)
    assert launched().first


def test_torchrun_says_which_of_how_many_on_how_many_machines(monkeypatch):
    for name, value in LAUNCH.items():
        monkeypatch.setenv(name, value)
    place = launched()
    assert (place.rank, place.world, place.nodes, place.per_node) == (5, 8, 2, 4)
    assert place.local == 1
    assert not place.first
    assert place.share(16) == 2


def test_machines_must_run_the_same_number_of_processes(monkeypatch):
    for name, value in {**LAUNCH, "WORLD_SIZE": "7"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="same --nproc-per-node"):
        launched()
