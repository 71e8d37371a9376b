"""Two processes' synchronised batch norm is one batch norm over both their frames."""

import socket
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from dashseg.models.sync_batchnorm import SyncBatchNorm, synchronise_norms


def _frames():
    torch.manual_seed(0)
    return torch.randn(5, 3, 4, 6, dtype=torch.float64).float() + 100  # a mean far from 0


def _train(norm, x):
    x = x.clone().requires_grad_()
    y = norm(x)
    (y.square() * torch.arange(6.0)).sum().backward()  # a sum: what DDP makes a mean of
    return y, x.grad


def _process(rank, port, folder):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    network = nn.Sequential(nn.BatchNorm2d(3))
    synchronise_norms(network, torch.device("cpu"))
    x = _frames()[:2] if rank == 0 else _frames()[2:]  # not the same number of frames
    y, gradient = _train(network, x)
    found = {"y": y.detach(), "x": gradient, "weight": network[0].weight.grad}
    torch.save(found | {"state": network.state_dict()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_normalise_as_one_over_both_their_frames(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_process, (port, str(tmp_path)), nprocs=2)
    alone = nn.Sequential(nn.BatchNorm2d(3))
    y, gradient = _train(alone, _frames())
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.allclose(torch.cat([first["y"], second["y"]]), y, atol=1e-4)
    assert torch.allclose(torch.cat([first["x"], second["x"]]), gradient, atol=1e-3)
    weight = alone[0].weight
    assert isinstance(weight, nn.Parameter) and weight.grad is not None
    assert torch.allclose(first["weight"] + second["weight"], weight.grad, rtol=1e-4)
    for key, value in alone.state_dict().items():
        for found in (first, second):
            assert torch.allclose(found["state"][key].float(), value.float(), rtol=1e-5), key


def test_alone_or_in_evaluation_it_is_batch_norm_and_keeps_its_names() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    synced = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    synced.load_state_dict(plain.state_dict())
    synchronise_norms(synced, torch.device("cpu"))
    assert isinstance(synced[1], SyncBatchNorm)
    assert synced.state_dict().keys() == plain.state_dict().keys()
    for training in (True, False):
        x = _frames()
        assert torch.equal(synced.train(training)(x), plain.train(training)(x))


def test_a_gpu_gets_pytorchs_own() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3))
    synchronise_norms(network, torch.device("cuda"))
    assert isinstance(network[0], nn.SyncBatchNorm)
