"""This process's place in a training: the only process, or one that torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from dashseg.errors import InputError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_LONGEST_WAIT = timedelta(minutes=30)  # for the first process; as PyTorch's default


@dataclass(frozen=True)
class Processes:
    """This process's place among the processes of a training.

    rank: 0 to world - 1; only rank 0 writes. world: number of processes. nodes: number of machines.
    local: rank on this machine, which is also the index of its GPU.
    """

    rank: int = 0
    world: int = 1
    nodes: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    @property
    def per_node(self) -> int:
        """Processes on each machine."""
        return self.world // self.nodes

    def share(self, batch_size: int) -> int:
        """Each process's number of frames in a batch of `batch_size`.

        Raises:
            InputError: the processes cannot share the batch evenly.
        """
        if batch_size % self.world:
            near = max(1, batch_size // self.world) * self.world
            raise InputError(
                f"training.batch_size is {batch_size}, which {self.world} processes cannot share"
                f" evenly (it is the batch of all of them together): set it to {near}"
            )
        return batch_size // self.world


ALONE = Processes()


def from_first(processes: Processes, text: str) -> str:
    """The first process's `text`, in every process; the others wait for it.

    It goes through torchrun's store, before there is a process group. Call it once in a process.
    """
    if processes.world == 1:
        return text
    store = _store()
    key = f"dashseg/{os.environ['TORCHELASTIC_RESTART_COUNT']}/text"  # the store survives restarts
    if processes.first:
        store.set(key, text)
    return str(store.get(key).decode())


@cache
def _store() -> Store:
    """torchrun's store, kept alive by the cache: the first process may be its server."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", timeout=_LONGEST_WAIT))
    return store


def launched() -> Processes:
    """Read this process's place from torchrun's environment variables; `ALONE` without them.

    Raises:
        InputError: the machines run different numbers of processes.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    rank, world, local = (int(os.environ[k]) for k in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if world % local:
        raise InputError(
            f"torchrun started {local} of {world} processes on this machine: use the same"
            " --nproc-per-node on every machine"
        )
    return Processes(rank, world, world // local, int(os.environ["LOCAL_RANK"]))
