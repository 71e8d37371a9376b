import pytest

from dashseg.errors import InputError
from dashseg.training.devices import training_device
from dashseg.training.processes import Processes


@pytest.mark.parametrize(
    ("name", "world", "message"),
    [
        ("cuda:99", 1, "'cuda:99' is not available"),
        ("meta", 1, "training runs on cpu or cuda"),
        ("meta", 2, "2 processes each take a GPU"),
        ("cuda:1", 2, "2 processes each take a GPU"),
    ],
)
def test_a_device_that_training_cannot_use_is_refused(name: str, world: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        training_device(name, Processes(world=world))


def test_several_processes_train_on_the_cpu_where_they_are_told_to() -> None:
    assert training_device("cpu", Processes(rank=1, world=2, local=1)).type == "cpu"
