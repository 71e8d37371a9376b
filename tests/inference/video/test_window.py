"""The window shows frames, on a screen of its own (Xvfb)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dashseg.errors import InputError
from dashseg.inference.video.window import Window

pytest.importorskip("tkinter")

PROGRAM = """
import numpy as np, os, PIL.ImageGrab
from dashseg.inference.video.window import Window

def grab():
    return np.asarray(PIL.ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).convert("RGB"))

frame = np.zeros((60, 100, 3), np.uint8)
frame[:, :50] = 255, 0, 0
frame[:, 50:] = 0, 0, 255
with Window("test") as window:
    window.show(frame)
    assert (grab()[:60, :100] == frame).all()
    window.show(frame.repeat(12, 0).repeat(12, 1))  # larger than the screen
    window.update()
    assert (grab()[:190, :155] == frame[0, 0]).all()
    assert (grab()[:190, 165:] == frame[0, -1]).all()
    assert not window.closed
    window._root.event_generate("<Escape>")
    window.update()
    assert window.closed
"""


@pytest.fixture
def screen() -> Iterator[str]:
    """An X server of 320×240 pixels."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("no Xvfb: install xvfb")
    read, write = os.pipe()
    command = [program, "-displayfd", str(write), "-screen", "0", "320x240x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as number:
            display = number.readline().strip()
        if not display:
            pytest.skip("Xvfb does not start here")
        yield f":{display}"
    finally:
        server.terminate()
        server.wait()


def test_frames_are_shown_shrunk_to_the_screen_until_escape_closes_it(screen: str) -> None:
    """In a process of its own: Xlib ends those whose server is gone."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"DISPLAY": screen}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_no_display_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(InputError, match="--show: no window can be opened here"):
        Window("test")
