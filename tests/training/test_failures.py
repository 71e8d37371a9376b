import gc
from collections.abc import Callable
from pathlib import Path
from weakref import ref

import pytest
import torch

from dashseg.config import Recipe
from dashseg.errors import InputError
from dashseg.training.failures import Interrupted, explained, release
from dashseg.training.loop import Loop
from dashseg.training.run import train_run


def test_the_tensors_of_a_failed_step_are_freed() -> None:
    alive = []

    def fail() -> None:
        tensor = torch.zeros(3)
        alive.append(ref(tensor))
        raise torch.OutOfMemoryError("simulated")

    try:
        fail()
    except torch.OutOfMemoryError as error:
        gc.collect()
        assert alive[0]() is not None
        release(error)
        assert alive[0]() is None


@pytest.mark.parametrize("where", ["train_batch", "validate"])
def test_out_of_memory_is_an_error_that_names_what_to_lower(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*arguments: object) -> None:
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(Loop, where, fail)
    recipe = tiny_recipe("loss.auxiliary=0.4", "training.epochs=1", "training.ema_decay=0.9")
    with pytest.raises(InputError, match=r"memory is full: lower training.batch_size .*crop$"):
        train_run(recipe, tmp_path / "run", say=lambda text: None)


def test_unknown_exceptions_are_not_translated(tmp_path: Path) -> None:
    for error in (ValueError("other"), RuntimeError("other"), OSError("other")):
        with pytest.raises(type(error), match="other"), explained(tmp_path):
            raise error


def test_a_killed_loader_process_is_an_error_that_names_data_workers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.workers=0"), explained(tmp_path):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")


def test_ctrl_c_raises_interrupted(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), explained(tmp_path):
        raise KeyboardInterrupt
