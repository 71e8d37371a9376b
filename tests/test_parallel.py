"""Work in processes: order, errors, and what becomes of the workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dashseg.errors import InputError
from dashseg.parallel import in_processes


def _square(number: int) -> int:
    return number * number


def _refuse_seven(number: int) -> int:
    if number == 7:
        raise InputError("seven")
    return number


def _die_at_seven(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 5, 61])
def test_results_come_in_the_order_of_the_items(workers: int, count: int) -> None:
    assert list(in_processes(_square, range(count), workers)) == [i * i for i in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_comes_through_as_it_is(workers: int) -> None:
    with pytest.raises(InputError, match=r"^seven$"):
        list(in_processes(_refuse_seven, range(20), workers))


def test_a_killed_worker_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InputError, match="fewer --workers"):
        list(in_processes(_die_at_seven, range(20), 2))


def test_no_workers_is_an_error() -> None:
    with pytest.raises(InputError, match="0 workers"):
        list(in_processes(_square, range(3), 0))


_PROGRAM = """
import os, sys, time
from dashseg.parallel import in_processes

def work(number):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once: print writes the end of a line apart
    time.sleep(60)

if __name__ == "__main__":
    list(in_processes(work, range(8), 2))
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_workers_of_a_killed_parent_do_not_live_on(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    parent = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = {int(parent.stdout.readline()) for _ in range(2)}
    parent.kill()
    deadline = time.monotonic() + 20
    while any(_lives(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_lives(worker) for worker in workers)


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
