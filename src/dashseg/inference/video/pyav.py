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
    av.logging.set_level(av.logging.PANIC)  # what is broken is counted; FFmpeg would print it all
    return av
