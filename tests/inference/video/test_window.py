"""The window shows frames, on a screen of its own (Xvfb)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import PIL.ImageGrab
import pytest

from dashseg.errors import InputError
from dashseg.inference.video.window import Window

pytest.importorskip("tkinter")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
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
            display = f":{number.readline().strip()}"
        if display == ":":
            pytest.skip("Xvfb does not start here")
        monkeypatch.setenv("DISPLAY", display)
        yield display
    finally:
        server.terminate()
        server.wait()


def test_a_frame_is_shown_and_one_larger_than_the_screen_is_shrunk(screen: str) -> None:
    frame = np.zeros((60, 100, 3), np.uint8)
    frame[:, :50] = 255, 0, 0
    frame[:, 50:] = 0, 0, 255
    with Window("test") as window:
        window.show(frame)
        pixels = np.asarray(PIL.ImageGrab.grab(xdisplay=screen).convert("RGB"))
        assert (pixels[:60, :100] == frame).all()
        window.show(frame.repeat(12, 0).repeat(12, 1))
        window.update()
        pixels = np.asarray(PIL.ImageGrab.grab(xdisplay=screen).convert("RGB"))
        assert (pixels[:190, :155] == frame[0, 0]).all()
        assert (pixels[:190, 165:] == frame[0, -1]).all()
        assert not window.closed


def test_escape_closes_it(screen: str) -> None:
    with Window("test") as window:
        window.show(np.zeros((60, 100, 3), np.uint8))
        window._root.focus_force()
        window.update()
        window._root.event_generate("<Escape>")
        window.update()
        assert window.closed


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_no_display_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(InputError, match="--show: no window can be opened here"):
        Window("test")
