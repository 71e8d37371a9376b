"""A window that shows frames, by Tk, which most Pythons come with."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from dashseg.errors import InputError
from dashseg.images import resize_image
from dashseg.labels import Image


class Window:
    """Shows frames no larger than the screen. Use it in one thread: Tk allows no more.

    Raises:
        InputError: this Python has no Tk, or there is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise InputError(
                "--show needs Tk: install python3-tk (Debian, Ubuntu) or leave --show out"
            ) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise InputError(f"--show: no window can be opened here ({error})") from error
        self._tk = tkinter
        self._root.title(title)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._picture: Any = None
        self.closed = False  # by its user
        self._root.protocol("WM_DELETE_WINDOW", self._close)
        self._root.bind("<Escape>", lambda event: self._close())

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._root.destroy()

    def show(self, picture: Image | Any) -> None:
        """Show a frame: uint8 H×W×3 RGB, or an av.VideoFrame."""
        if not isinstance(picture, np.ndarray):
            picture = picture.to_ndarray(format="rgb24")
        height, width = picture.shape[:2]
        room = self._root.winfo_screenheight(), self._root.winfo_screenwidth()
        scale = min(1.0, room[0] / height, room[1] / width)
        if scale < 1:
            height, width = max(1, int(height * scale)), max(1, int(width * scale))
            picture = resize_image(picture, (height, width))
        data = b"P6 %d %d 255\n" % (width, height) + picture.tobytes()
        self._picture = self._tk.PhotoImage(data=data, format="PPM")  # Tk keeps no reference to it
        self._label.configure(image=self._picture)
        self.update()

    def update(self) -> None:
        """Draw, and take what the user did."""
        self._root.update()

    def _close(self) -> None:
        self.closed = True
