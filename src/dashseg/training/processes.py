"""Which of a training's processes this is: one alone, or one of those that torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from dashseg.errors import InputError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_LONGEST_WAIT = timedelta(minutes=30)  # for the first process's word: as PyTorch's own


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together.

    rank: 0 to world - 1; only rank 0 writes. world: how many there are, over `nodes` machines.
    local: rank on this machine, and the number of its GPU.
    """

    rank: int = 0
    world: int = 1
    nodes: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and talks."""
        return self.rank == 0

    @property
    def per_node(self) -> int:
        return self.world // self.nodes

    def share(self, batch_size: int) -> int:
        """This process's part of a batch of `batch_size` frames.

        Raises:
            InputError: the batch cannot be dealt out evenly.
        """
        if batch_size % self.world:
            near = max(1, batch_size // self.world) * self.world
            raise InputError(
                f"training.batch_size is {batch_size}, which {self.world} processes cannot share"
                f" evenly (it is the batch of all of them together): set it to {near}"
            )
        return batch_size // self.world


ALONE = Processes()


def word_of_first(processes: Processes, word: str) -> str:
    """The first process's `word`, in all of them: the others, whose own is nothing, wait for it.

    By the store through which torchrun's processes find each other; once in each of their starts.
    """
    if processes.world == 1:
        return word
    store = _store()
    key = f"dashseg/{os.environ['TORCHELASTIC_RESTART_COUNT']}/word"  # the store outlives a restart
    if processes.first:
        store.set(key, word)
    return str(store.get(key).decode())


@cache
def _store() -> Store:
    """torchrun's store, kept: where the first process is its server, the others need it to live."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", timeout=_LONGEST_WAIT))
    return store


def launched() -> Processes:
    """The place that torchrun gave this process in its environment; one alone without it.

    Raises:
        InputError: machines that run different numbers of processes.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    rank, world, local = (int(os.environ[k]) for k in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if world % local:
        raise InputError(
            f"torchrun started {local} of {world} processes here: give every machine the same"
            " --nproc-per-node"
        )
    return Processes(rank, world, world // local, int(os.environ["LOCAL_RANK"]))
