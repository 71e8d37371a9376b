import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dashseg.errors import InputError
from dashseg.run_directory import RunDirectory
from dashseg.training.checkpoints import (
    clear_unfinished,
    fitting,
    new_checkpoint,
    newest_checkpoint,
    read_checkpoint,
)

NOBODY = lambda text: None  # noqa: E731


def _content(value: float, epoch: int = 1, batch: int = 0):
    weights = {"network.weight": torch.full((999,), value)}
    return {"model": weights, "average": None, "optimizer": {}, "epoch": epoch, "batch": batch}


def _save(run, value):
    with new_checkpoint(run, _content(value)) as path:
        assert path.is_file()


def _value(checkpoint):
    return checkpoint.network["weight"][0].item()


@pytest.fixture
def run(tmp_path: Path):
    run = RunDirectory(tmp_path)
    run.last.parent.mkdir()
    return run


def test_the_checkpoint_before_the_last_is_kept(run: Any) -> None:
    assert newest_checkpoint(run, NOBODY) is None
    for value in (1, 2, 3):
        _save(run, value)
    assert _value(newest_checkpoint(run, NOBODY)) == 3
    assert read_checkpoint(run.previous)["model"]["network.weight"][0] == 2


def test_a_failed_write_leaves_the_old_checkpoints(run: Any) -> None:
    for value in (1, 2):
        _save(run, value)
    with (
        pytest.raises(InputError, match=r"cannot write .*last.ckpt"),
        new_checkpoint(run, _content(3)) as path,
    ):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert _value(newest_checkpoint(run, NOBODY)) == 2
    assert sorted(p.name for p in run.last.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_a_process_killed_between_the_two_moves_leaves_the_previous_checkpoint(run: Any) -> None:
    for value in (1, 2):
        _save(run, value)
    run.last.replace(run.previous)  # the first of the moves
    (run.last.parent / ".last.ckpt.7.tmp").write_bytes(b"the third")
    assert _value(newest_checkpoint(run, NOBODY)) == 2
    clear_unfinished(run.root, run.last.parent)
    assert [path.name for path in run.last.parent.iterdir()] == ["previous.ckpt"]


def test_a_truncated_checkpoint_is_damaged(run: Any) -> None:
    _save(run, 1)
    whole = run.last.read_bytes()
    for length in (0, 1, 1000, len(whole) // 2, len(whole) - 1):
        run.last.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(run.last)


def test_a_flipped_bit_is_detected_or_harmless(run: Any) -> None:
    _save(run, 1)
    whole = run.last.read_bytes()
    rng = np.random.default_rng(0)
    found = 0
    for place in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        run.last.write_bytes(damaged)
        try:
            content = read_checkpoint(run.last)
        except InputError:
            found += 1
        else:  # in the padding between the parts, which nobody reads
            assert str(content) == str(_content(1))
            assert torch.equal(content["model"]["network.weight"], torch.ones(999))
    assert found > 200


def test_a_damaged_checkpoint_is_renamed_and_the_previous_one_used_with_a_warning(run: Any) -> None:
    for value in (1, 2):
        _save(run, value)
    broken = bytearray(run.last.read_bytes())
    broken[len(broken) // 2] ^= 1
    run.last.write_bytes(broken)
    said: list[Any] = []
    assert _value(newest_checkpoint(run, said.append)) == 1
    assert len(said) == 1 and said[0].startswith("warning: ") and "last.ckpt: damaged" in said[0]
    assert (run.last.parent / "last.damaged").read_bytes() == broken
    _save(run, 3)  # must not push the good one out for the damaged one
    assert read_checkpoint(run.previous)["model"]["network.weight"][0] == 1


def test_only_damaged_checkpoints_are_an_error(run: Any) -> None:
    for value in (1, 2):
        _save(run, value)
    for path in (run.last, run.previous):
        path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"previous.ckpt: damaged"):
        newest_checkpoint(run, NOBODY)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", [1]),
        ("model", {"network.weight": torch.empty(3, device="meta")}),
        ("model", {"network.weight": torch.eye(3).to_sparse()}),
        ("model", {"network.weight": {1 + 2j}}),
        ("optimizer", None),
        ("epoch", "1"),
        ("batch", None),
        ("step", 1.5),
        ("history", {}),
    ],
)
def test_a_part_of_another_kind_is_damaged(run: Any, part: str, value: Any) -> None:
    torch.save({**_content(1), part: value}, run.last)
    with pytest.raises(InputError, match=r"last.ckpt: damaged"):
        read_checkpoint(run.last)


def test_content_that_does_not_fit_is_damage_and_full_memory_is_not(run: Any) -> None:
    for error in (KeyError("state"), TypeError("int"), RuntimeError("shape"), AttributeError("x")):
        with pytest.raises(InputError, match=r"last.ckpt: damaged"), fitting(run.last):
            raise error
    with pytest.raises(torch.OutOfMemoryError), fitting(run.last):
        raise torch.OutOfMemoryError


def test_another_programs_file_is_an_error_and_its_code_is_not_run(
    run: Any, tmp_path: Path
) -> None:
    torch.save({"model": {}}, run.last)
    with pytest.raises(InputError, match="not a checkpoint of dashseg"):
        read_checkpoint(run.last)
    trap = tmp_path / "trap"
    torch.save({**_content(1), "extra": _Trap(trap)}, run.last)
    with pytest.raises(InputError, match="not a checkpoint of dashseg"):
        read_checkpoint(run.last)
    assert not trap.exists()
    torch.load(run.last, weights_only=False)
    assert trap.exists()  # so it would have been


class _Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return shutil.copyfile, (__file__, str(self.path))


def test_the_network_of_an_averaging_run_is_the_average(run: Any) -> None:
    content = _content(1) | {"average": {"network": {"weight": torch.full((999,), 2.0)}}}
    content["model"]["auxiliary.weight"] = torch.zeros(3)
    with new_checkpoint(run, content):
        pass
    assert _value(newest_checkpoint(run, NOBODY)) == 2
    _save(run, 1)
    newest = newest_checkpoint(run, NOBODY)
    assert newest is not None and list(newest.network) == ["weight"]
