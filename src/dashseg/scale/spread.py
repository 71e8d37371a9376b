"""`dashseg.parallel.in_processes` on a cluster: the same results in the same order.

Items go to the actors and results come back through Ray: nothing is kept on disks, so that a rerun
begins anew. A dead process or machine costs the shards that it had at hand. While one shard is
late, results that come before their turn wait in Ray's object stores, not in the driver.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.scale.cluster import DeadlyShard, connected, size, work
from dashseg.scale.record import code_digest, require_same_code

_LARGEST = 32  # items of a shard: some seconds of work, so that what a dead process loses is little
_LEAST, _FEW = 4, 64  # as in a plan: of few items each shard has few, to spread them
_TRIES = 4  # processes that may die of one shard

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Spread:
    """Calls functions on a cluster; an instance stands for `in_processes`.

    Args:
        address: of the cluster, see `cluster.connected`.
        sees: folders and files that every machine must have under the same name.
        device: "auto" takes the cluster's GPUs if it has any.
        largest: items of a shard.
    """

    address: str
    sees: tuple[str, ...] = ()
    device: str = "cpu"
    largest: int = _LARGEST

    def __call__(
        self,
        function: Callable[[Item], Made],
        items: Sequence[Item],
        workers: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Generator[Made, None, None]:
        """Yield `function(item)` for each item, in order.

        Args:
            function: must be picklable; it is sent to each machine once.
            workers: cores of each actor, see `cluster.size`.
            on_progress: called with (items done, items) after the caller has taken each result.

        Raises:
            InputError: no cluster, a machine without what it must see, a shard that processes die
                of; what `function` raises.
        """
        done = 0
        work = partial(_each, function)
        with closing(self.shards(work, self.split(items), workers)) as shards:
            for results in shards:
                for result in results:
                    yield result
                    done += 1
                    if on_progress:
                        on_progress(done, len(items))

    def split(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """Neighbours, as many as a shard has."""
        length = min(self.largest, max(_LEAST, -(-len(items) // _FEW)))
        return [items[start : start + length] for start in range(0, len(items), length)]

    def shards(
        self,
        function: Callable[[Sequence[Item]], Made],
        shards: Sequence[Sequence[Item]],
        cores: int | None = None,
    ) -> Generator[Made, None, None]:
        """Yield what `function` makes of each shard, in order.

        Arguments and errors are those of `__call__`.
        """
        job = _Job(function, os.getcwd(), self.sees, code_digest())
        with connected(self.address) as ray:
            sizing = size(ray, self.device, cores)
            with closing(work(ray, job, shards, sizing, _TRIES, ordered=True)) as outcomes:
                try:
                    for expected, (number, made) in enumerate(outcomes):
                        if number != expected:
                            raise RuntimeError(f"Ray gave shard {number} instead of {expected}")
                        yield made
                except DeadlyShard as error:
                    sizes = list(map(len, shards))
                    first, last = (sum(sizes[: error.args[0] + more]) for more in (0, 1))
                    raise InputError(
                        f"{_TRIES} processes of the cluster died of frames {first + 1} to {last} of"
                        f" {sum(sizes)}, as happens when memory is full: give each actor more cores"
                        " (--workers), or leave --cluster out to see which frame it is"
                    ) from error


@dataclass(frozen=True)
class _Job(Generic[Item, Made]):
    """What an actor is sent; called there, it gives the function.

    Args:
        folder: the driver's working folder: relative paths hold there.
        code: digest of dashseg's source on the driver.
    """

    function: Callable[[Sequence[Item]], Made]
    folder: str
    sees: tuple[str, ...]
    code: str

    def __call__(self) -> Callable[[Sequence[Item]], Made]:
        require_same_code(self.code)
        with suppress(OSError):  # a machine without this folder needs absolute paths
            os.chdir(self.folder)
        for name in self.sees:
            if not Path(name).exists():
                raise InputError(
                    f"{platform.node()} does not see {name}: name a path that all machines share"
                )
        return self.function


def _each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]


def roots(dataset: Dataset) -> tuple[str, ...]:
    """What a machine must see to read a data set's frames."""
    return (dataset.root,) if os.path.isdir(dataset.root) else ()
