"""PyAV, which carries FFmpeg: only video needs it."""

from __future__ import annotations

from types import ModuleType

from dashseg.errors import InputError


def load_av() -> ModuleType:
    """Import PyAV and silence FFmpeg.

    Raises:
        InputError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("video needs PyAV: pip install av") from error
    # What is broken is counted; FFmpeg would print it all. Not by a level, be it the highest: PyAV
    # would take Python's lock for every error in a decoder's thread, and hang where the main thread
    # holds it and waits for that thread.
    av.logging.set_level(None)
    return av
