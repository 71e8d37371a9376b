import pytest

from dashseg.errors import InputError
from dashseg.training.devices import training_device
from dashseg.training.processes import Processes


@pytest.mark.parametrize(
    ("name", "world", "message"),
    [
        ("cuda:99", 1, "'cuda:99' is not available"),
        ("meta", 1, "'meta' is not available"),
        ("meta", 2, "each of 2 processes takes its own GPU"),
        ("cuda:1", 2, "each of 2 processes takes its own GPU"),
    ],
)
def test_a_device_that_training_does_not_support_is_an_error(
    name: str, world: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        training_device(name, Processes(world=world))


def test_several_processes_can_train_on_the_cpu() -> None:
    assert training_device("cpu", Processes(rank=1, world=2, local=1)).type == "cpu"
