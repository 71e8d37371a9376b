"""PyAV as dashseg sets it up."""

import pytest

from dashseg.inference.video.pyav import load_av


def test_ffmpeg_is_silent_without_a_callback_that_takes_pythons_lock(
    capfd: pytest.CaptureFixture[str],
) -> None:
    av = load_av()
    assert av.logging.get_level() is None  # the one setting under which no callback is installed
    codec = av.codec.CodecContext.create("h264", "r")
    with pytest.raises(av.error.FFmpegError):
        codec.decode(av.packet.Packet(b"\0\0\1\x65" + b"\xff" * 64))
    assert capfd.readouterr() == ("", "")
