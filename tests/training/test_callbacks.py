from pathlib import Path

import pytest
import torch

from dashseg.training.batches import ShuffledBatches
from dashseg.training.callbacks import KeepRun, MovingAverage
from dashseg.training.run_directory import RunDirectory


@pytest.mark.parametrize(
    ("monitor", "values", "improved"),
    [
        ("val_miou", [0.5, 0.6], True),
        ("val_miou", [0.6, 0.6], False),
        ("val_loss", [0.5, 0.6], False),
        ("val_loss", [0.6, None, 0.5], True),
        ("val_loss", [0.5, None], False),
        ("val_loss", [float("nan"), 0.5], True),
        ("val_loss", [0.5, float("nan")], False),
        ("val_loss", [0.5], True),
    ],
)
def test_the_best_epoch_is_the_one_best_by_the_monitor(monitor, values, improved):
    keep = KeepRun(RunDirectory(Path("run")), monitor, ShuffledBatches(4, 2, seed=0))
    keep.load_state_dict({"rows": [{monitor: value} for value in values]})
    assert keep._improved() == improved


@pytest.mark.parametrize(("steps", "decay"), [(1, 2 / 11), (1000, 0.9)])
def test_the_moving_average_forgets_its_random_start_soon(steps, decay):
    average = MovingAverage(0.9)._kwargs["avg_fn"]
    ours = average(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor(steps))
    assert ours.item() == pytest.approx(decay * 1 + (1 - decay) * 3)
    assert average(torch.tensor(5), torch.tensor(7), torch.tensor(steps)) == 7
