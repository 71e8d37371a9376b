"""Ray: a connection to a cluster, and the numbers of shards spread over its actors."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.scale.worker import Done, Job, Worker

_BLOCKS = 4096  # Ray keeps a few kilobytes of each
_QUEUED = 2  # blocks an actor has: the one at hand and the next, so that it never waits for it
_PATIENCE = 10  # seconds
_NOISE = ("ray", "ray.data")


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Connect to a cluster during the block.

    Args:
        address: HOST:PORT of a cluster's head, or "auto": the cluster that this machine belongs to,
            or that RAY_ADDRESS names; if there is none, one of this machine's cores. A process that
            is connected already stays so.

    Raises:
        InputError: nothing answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it would write over the progress
    import ray

    if ray.is_initialized():  # by the program that calls this
        yield ray
        return
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        found = address if address != "auto" else _own_cluster()
        if found is None:
            ray.init("local", include_dashboard=False, **quiet)
        else:
            _knock(found)
            ray.init(found, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--cluster {address}: no Ray cluster answers: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _own_cluster() -> str | None:
    """Address of the cluster that RAY_ADDRESS names, or that `ray start` made this machine part of.

    None: there is none, or it is gone: `ray start` leaves a note that nobody deletes after a crash.
    """
    from ray._private.services import find_bootstrap_address

    if asked := os.environ.get("RAY_ADDRESS"):
        return asked
    noted: str | None = find_bootstrap_address(None)
    if noted is not None:
        try:
            _knock(noted)
        except OSError:
            return None
    return noted


def _knock(address: str) -> None:
    """Raise OSError or ValueError unless something listens: Ray would try for minutes."""
    if "://" in address:
        raise ValueError(
            "expected HOST:PORT: run the command on a machine of the cluster, or by ray job submit"
        )
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


@dataclass(frozen=True)
class Sizing:
    """What each actor gets, and how many of them the cluster holds now."""

    cores: int
    gpus: int
    actors: int


def size(ray: ModuleType, device: str, cores: int | None) -> Sizing:
    """An actor for each core, or for each GPU with its share of the cores of its machine.

    Args:
        device: "auto" takes the GPUs, if there are any, and otherwise the cores.
        cores: of each actor, if not that.

    Raises:
        InputError: no machine has that much.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    gpus = int(device.startswith("cuda") or (device == "auto" and bool(with_gpu)))
    usable = with_gpu if gpus else nodes
    if cores is None:
        cores = 1
        if usable and gpus:
            cores = max(1, min(int(node.get("CPU", 0) // node["GPU"]) for node in usable))
    actors = sum(
        int(min(node.get("CPU", 0) // cores, node.get("GPU", 0) if gpus else cores * 1e9))
        for node in usable
    )
    if not actors:
        what = "a GPU and " * gpus + f"{cores} cores"
        raise InputError(f"no machine of the cluster has {what} for an actor")
    return Sizing(cores, gpus, actors)


def work(ray: ModuleType, job: Job, shards: NDArray[np.int64], sizing: Sizing) -> Generator[Done]:
    """Yield what became of each shard, as they are done. Ray retries those of a dead machine.

    Closing this generator stops the actors.
    """
    import ray.data as data

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in _NOISE:
        logging.getLogger(name).setLevel(logging.ERROR)
    blocks = min(len(shards), _BLOCKS)
    actors = min(sizing.actors, blocks)
    items = [{"shard": shard} for shard in shards.tolist()]
    dataset = data.from_items(items, override_num_blocks=blocks).map_batches(
        Worker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=data.ActorPoolStrategy(
            min_size=1,
            initial_size=actors,
            max_size=blocks,
            max_tasks_in_flight_per_actor=_QUEUED,
        ),
        num_cpus=sizing.cores,
        num_gpus=sizing.gpus or None,
    )
    for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
        for values in zip(*(batch[name].tolist() for name in Done._fields), strict=True):
            yield Done(*values)
