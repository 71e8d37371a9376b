"""Ray: a connection to a cluster, and shards of work spread over its actors."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import pyarrow

from dashseg.errors import InputError

_BLOCKS = 4096  # Ray keeps some 4 kilobytes of each, and takes 1.5 ms of a core to make it
_QUEUED = 2  # blocks an actor has: the one at hand and the next, so that it never waits for it
_PATIENCE = 10  # seconds
_LONGEST = 24 * 3600  # seconds without a result; one video may take longer than Ray's half hour
_NOISE = ("ray", "ray.data")
_NUMBER, _SHARD, _MADE = "number", "shard", "made"  # columns
_BYTES = pyarrow.large_binary()


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
    from ray._private import worker

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
    # It would print on stdout which machines died, into what --json prints, and has no option.
    printing = worker._worker_logs_enabled
    worker._worker_logs_enabled = False
    try:
        yield ray
    finally:
        ray.shutdown()
        worker._worker_logs_enabled = printing


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


def work(
    ray: ModuleType,
    make: Callable[[], Callable[[Any], Any]],
    shards: Sequence[Any],
    sizing: Sizing,
    tries: int | None = None,
    ordered: bool = False,
) -> Generator[tuple[int, Any]]:
    """Yield (number of a shard, what was made of it), as they are done or in order.

    Ray gives the shards of a dead process or machine to others. Closing this generator stops the
    actors.

    Args:
        make: picklable; called in each actor, gives the function that is called with a shard.
        shards: picklable, as what is made of them.
        tries: processes that may die of one shard before this gives up; None: any number.
        ordered: in the order of the shards. What is done early waits in Ray's object stores, and
            while they are full no shard is begun; this process holds what it yields.

    Raises:
        InputError: the function, or `make`, raised it.
        DeadlyShard: so many processes died of it.
    """
    if not len(shards):
        return
    from ray import cloudpickle, data  # which pickles what a notebook defines too

    for name in _NOISE:
        logging.getLogger(name).setLevel(logging.ERROR)
    # By reference, as a dead actor's successor needs it too; here it is held until the end.
    sent = ray.put(cloudpickle.dumps(make))
    guard = None if tries is None else _Guard(_tally(ray), tries)
    blocks = min(len(shards), _BLOCKS)
    actors = min(sizing.actors, blocks)
    items = [{_NUMBER: number, _SHARD: pickle.dumps(shard)} for number, shard in enumerate(shards)]
    dataset = data.from_items(items, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(sizing.cores, [sent], guard),
        batch_size=1,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(
            min_size=1,
            initial_size=actors,
            max_size=blocks,
            max_tasks_in_flight_per_actor=_QUEUED,
        ),
        num_cpus=sizing.cores,
        num_gpus=sizing.gpus or None,
    )
    context = dataset.context  # a copy: that of the program that calls this stays as it is
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = ordered
    context.execution_no_progress_timeout_s = _LONGEST
    try:
        for batch in dataset.iter_batches(
            batch_size=None, prefetch_batches=0, batch_format="pyarrow"
        ):
            for row in batch.to_pylist():
                made = pickle.loads(row[_MADE])
                if isinstance(made, InputError):
                    raise made
                yield row[_NUMBER], made
    finally:
        if guard is not None:
            ray.kill(guard.tally)


class DeadlyShard(InputError):
    """Processes died of a shard; its number is in `args`."""


class _Tally:
    """An actor of Ray's that counts how often each shard was begun."""

    def __init__(self) -> None:
        self._begun = Counter[int]()

    def begin(self, number: int) -> int:
        self._begun[number] += 1
        return self._begun[number]


def _tally(ray: ModuleType) -> Any:
    """One on the driver's machine: while that lives, it does."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(_Tally).options(num_cpus=0, scheduling_strategy=here).remote()


class _Guard(NamedTuple):
    """Refuses shards that too many processes have died of."""

    tally: Any
    tries: int

    def pass_on(self, number: int) -> None:
        import ray

        if ray.get(self.tally.begin.remote(number)) > self.tries:
            raise DeadlyShard(number)


class _Actor:
    """Ray Data makes one in each process and calls it with batches of one shard."""

    def __init__(self, cores: int, make: Sequence[Any], guard: _Guard | None) -> None:
        os.environ["OMP_NUM_THREADS"] = str(cores)  # before `make` imports PyTorch
        self._make, self._guard = make, guard

    @cached_property
    def _do(self) -> Callable[[Any], Any]:
        import cv2
        import ray

        cv2.setNumThreads(1)  # frames are worked on at once already
        function: Callable[[Any], Any] = pickle.loads(ray.get(self._make[0]))()
        return function

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        (row,) = batch.to_pylist()
        made: Any
        try:
            if self._guard is not None:
                self._guard.pass_on(row[_NUMBER])
            made = self._do(pickle.loads(row[_SHARD]))
        except InputError as error:
            made = error
        columns = {_NUMBER: [row[_NUMBER]], _MADE: pyarrow.array([pickle.dumps(made)], _BYTES)}
        return pyarrow.table(columns)
