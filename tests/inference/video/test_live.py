"""Live input by real streams: the newest frame, lost connections, addresses that stay private."""

from __future__ import annotations

import socket
import traceback
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from dashseg.errors import InputError
from dashseg.inference.video import live
from dashseg.inference.video.live import LiveSource, is_live, shown
from dashseg.inference.video.read import TimedFrame

pytest.importorskip("av")


def take(source: LiveSource) -> TimedFrame:
    for _ in range(200):
        if frame := source.newest(0.1):
            return frame
    raise AssertionError("no frame came")


def grey(frame: TimedFrame) -> float:
    return float(frame.image.mean())


def test_the_newest_frame_wins_and_the_others_are_counted(senders: Any) -> None:
    with senders.mjpeg() as server:
        server.allowed = 30
        with closing(LiveSource(server.url)) as source:
            # A multipart stream shows that a frame is whole when the next one begins.
            senders.wait_until(lambda: source.dropped >= 28)
            frame = take(source)
            assert frame.image.shape == (48, 64, 3)
            assert grey(frame) == pytest.approx(40 + source.dropped, abs=1)
            assert source.newest(0) is None
            server.allowed = 10**9
            assert grey(take(source)) > grey(frame)


def test_a_frame_is_stamped_with_the_time_at_which_it_came(
    senders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now))
    with senders.mjpeg() as server, closing(LiveSource(server.url)) as source:
        assert take(source).stamp == 0
        now = 107.5
        take(source)  # which may have come before
        assert take(source).stamp == 7500  # ms


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_mpegts_comes_by_tcp_and_udp(senders: Any, protocol: str) -> None:
    port = senders.free_port(socket.SOCK_DGRAM)
    sender = senders.tcp() if protocol == "tcp" else senders.udp(port)
    with sender as url, closing(LiveSource(url)) as source:
        first = take(source)
        assert first.image.shape == (48, 64, 3) and first.decoded is not None
        senders.wait_until(lambda: grey(take(source)) > grey(first) + 5)
        assert take(source).stamp > first.stamp


def test_rtsp_comes_with_a_password_that_no_message_shows(senders: Any) -> None:
    with (
        senders.rtsp("user", "secret") as url,
        closing(LiveSource(url, reconnects=0)) as source,
    ):
        assert take(source).image.shape == (48, 64, 3)
        assert grey(take(source)) > 39
    with senders.rtsp("user", "secret") as url, pytest.raises(InputError) as caught:
        LiveSource(url.replace("secret", "wr" + "ong"))
    port = url.rpartition(":")[2].partition("/")[0]
    assert str(caught.value) == (
        f"rtsp://127.0.0.1:{port}/…: Server returned 401 Unauthorized (authorization failed)"
    )
    assert "wrong" not in "".join(traceback.format_exception(caught.value))


def test_a_stream_that_ends_is_connected_again_and_waits_grow_until_a_frame_comes(
    senders: Any,
) -> None:
    notes: list[str] = []
    with senders.mjpeg(per_connection=5, password="secret") as server:
        source = LiveSource(server.url, notes.append, reconnects=3, first_wait=0.01)
        senders.wait_until(lambda: source.reconnects >= 2)
        place = f"http://127.0.0.1:{server.port}/…"
        assert set(notes) == {f"{place}: the stream ended; connecting again in 0.01 s"}
    senders.wait_until(lambda: not source._thread.is_alive())
    with closing(source):
        assert [note.split("; ")[1] for note in notes[-3:]] == [
            f"connecting again in {wait} s" for wait in ("0.01", "0.02", "0.04")
        ]
        assert source.lost.startswith(f"{place}: ")
        assert "secret" not in "".join(notes) and "hidden" not in "".join(notes)


def test_a_sender_that_falls_silent_and_comes_back_is_heard_again(senders: Any) -> None:
    notes: list[str] = []
    port = senders.free_port(socket.SOCK_DGRAM)
    with senders.udp(port) as url:
        source = LiveSource(url, notes.append, timeout=0.3, first_wait=0.01)
        take(source)
    with closing(source):
        senders.wait_until(lambda: notes)
        assert notes[0].startswith(f"udp://127.0.0.1:{port}: nothing came for 0.3 s")
        with senders.udp(port):
            senders.wait_until(lambda: source.reconnects == 1)
            take(source)


def test_a_first_connection_that_fails_is_an_error(senders: Any) -> None:
    port = senders.free_port(socket.SOCK_STREAM)
    with pytest.raises(InputError, match=f"^tcp://127.0.0.1:{port}: Connection refused$"):
        LiveSource(f"tcp://127.0.0.1:{port}")


def test_a_camera_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="/dev/video99: no camera that can be read"):
        LiveSource("/dev/video99")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "rtmp://user:secret@host/x", "s3://a/b"])
def test_other_protocols_are_errors(url: str) -> None:
    with pytest.raises(InputError, match="live input comes by rtsp, rtsps, udp") as caught:
        LiveSource(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rtsp://user:secret@camera:554/live", "rtsp://camera:554/…"),
        ("rtsp://camera/user=admin&password=secret.sdp", "rtsp://camera/…"),
        ("http://camera/?token=secret", "http://camera/…"),
        ("rtsp://user:sec/ret@camera/", "rtsp://…"),
        ("rtsp://user:sec?ret@camera", "rtsp://…"),
        ("rtsp://user:s@cret@[::1]:554", "rtsp://[::1]:554"),
        ("udp://127.0.0.1:5000", "udp://127.0.0.1:5000"),
        ("-", "standard input"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_messages_show_where_but_no_password(source: str, expected: str) -> None:
    assert shown(source) == expected
    assert is_live(source)


@pytest.mark.parametrize("name", ["drive.mp4", "frames", "/dev/shm/a.mp4", "a:b.mkv"])
def test_files_are_not_live(name: str) -> None:
    assert not is_live(name)
