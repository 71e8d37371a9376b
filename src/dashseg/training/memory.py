"""How much memory a training may still take."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

CONTAINER_LIMITS = (  # files of cgroups 2 and 1, which hold a number of bytes
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def free_memory(container_limits: Sequence[str | Path] = CONTAINER_LIMITS) -> int:
    """Bytes of memory that this machine has free; at most the container's limit.

    In a container, Linux reports the memory of the host. Without /proc/meminfo (not Linux), half of
    the machine's memory counts as free.
    """
    return min([_free_on_machine(), *_limits(container_limits)])


def _limits(files: Sequence[str | Path]) -> Iterator[int]:
    for file in files:
        with suppress(OSError, ValueError):  # no such file, or "max" for no limit
            yield int(Path(file).read_text(encoding="ascii"))


def _free_on_machine() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
