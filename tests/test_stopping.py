"""The signals that stop a program: none is lost."""

import signal
import subprocess
import sys

import pytest

# Swallows the exception that the signal raises, as NumPy's `Generator.choice` can.
SWALLOWS = """
import os, signal
from dashseg.progress import progress
from dashseg.stopping import stop_on_signals
stop_on_signals()
with progress("working", "steps") as advance:
    for step in range(1, 10):
        if step == 3:
            try:
                os.kill(os.getpid(), signal.{name})
            except KeyboardInterrupt:
                print("swallowed")
        print(step)
        advance(step, 9)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_swallowed_signal_stops_the_next_step(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWS.format(name=name)], capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored if run with &
    )  # fmt: skip
    assert done.stdout.split() == ["1", "2", "swallowed", "3"]
    assert "KeyboardInterrupt" in done.stderr


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWS.format(name="SIGINT")], capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert done.returncode == 0
    assert "swallowed" not in done.stdout
