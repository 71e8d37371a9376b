"""Ctrl-C and SIGTERM: they stop the work even where a library swallows KeyboardInterrupt.

Python raises KeyboardInterrupt in whatever code runs at that moment, and some libraries catch it:
NumPy's `Generator.choice` does, while it checks whether its argument is a number. So the signal is
also remembered, and each step of long work asks for it.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

_PROCESS = os.getpid()
_asked = False


def stop_on_signals() -> None:
    """From now on SIGTERM stops the program as Ctrl-C does.

    Where Ctrl-C is ignored, as in a command that a shell starts by `&`, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _terminate)


def raise_if_stopped() -> None:
    """Call this after each step of long work.

    Raises:
        KeyboardInterrupt: a signal came, whether or not its own KeyboardInterrupt arrived.
    """
    if _asked:
        raise KeyboardInterrupt


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _PROCESS:  # a forked child, which nobody would clean up after
        os._exit(128 + number)
    handle = signal.getsignal(signal.SIGINT)  # a verb may have set its own
    (handle if callable(handle) else _stop)(number, frame)
