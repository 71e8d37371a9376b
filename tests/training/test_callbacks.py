from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dashseg.run_directory import RunDirectory
from dashseg.training.batches import ShuffledBatches
from dashseg.training.callbacks import KeepRun, MovingAverage, TrainLoss


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


def test_what_processes_share_at_a_save_lies_where_they_train():
    """NCCL sends nothing that is not on a GPU; "meta" stands for one."""
    shared = []

    class Strategy:
        root_device = torch.device("meta")

        def reduce(self, tensor, reduce_op):
            shared.append(tensor.device.type)
            return torch.zeros(())

    trainer = SimpleNamespace(strategy=Strategy(), accumulate_grad_batches=1)
    module = SimpleNamespace(log=lambda name, value: None)
    loss = TrainLoss(ShuffledBatches(4, 2, seed=0))
    loss.on_save_checkpoint(trainer, module, {})  # before the first batch
    loss.on_train_batch_end(trainer, module, {"loss": torch.zeros((), device="meta")}, None, 0)
    loss.on_save_checkpoint(trainer, module, {})
    loss.on_train_epoch_end(trainer, module)
    loss.on_save_checkpoint(trainer, module, {})  # as at an epoch's end
    assert shared == 4 * ["meta"]


def _averaging(network):
    average = MovingAverage(0.9)
    average._average_model = AveragedModel(network, use_buffers=True)
    return average


def test_the_moving_average_forgets_its_random_start_soon():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    average, rng, want = _averaging(network), np.random.default_rng(0), None
    for step in range(100):
        values = rng.normal(size=3)
        with torch.no_grad():
            network[0].bias.copy_(torch.from_numpy(values))
        network[1].running_mean.copy_(torch.from_numpy(2 * values))
        network[1].num_batches_tracked.fill_(7 * step)
        decay = min(0.9, (1 + step) / (10 + step))
        want = values if want is None else decay * want + (1 - decay) * values
        average._update(network)
        conv, norm = average._average_model.module
        assert torch.allclose(conv.bias.double(), torch.from_numpy(want), atol=1e-6)
        assert torch.allclose(norm.running_mean.double(), torch.from_numpy(2 * want), atol=1e-6)
        assert norm.num_batches_tracked == 7 * step
    assert average._average_model.n_averaged == 100  # in checkpoints, as Lightning has it


def test_the_moving_average_goes_on_from_the_checkpoints_count():
    network = nn.Linear(1, 1, bias=False)
    average = _averaging(network)
    average._average_model.n_averaged.fill_(1)
    ours, theirs = average._average_model.module.weight.item(), 3.0
    nn.init.constant_(network.weight, theirs)
    average._update(network)
    now = average._average_model.module.weight.item()
    assert now == pytest.approx(2 / 11 * ours + 9 / 11 * theirs)


def test_the_moving_average_reads_nothing_back_from_a_device():
    """A device without memory, "meta", stands for the GPU: it cannot be read."""
    average = _averaging(nn.Conv2d(2, 3, 1, device="meta"))
    average._done = 5
    average._update(nn.Conv2d(2, 3, 1, device="meta"))
    assert average._done == 6
