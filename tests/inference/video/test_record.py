"""Recordings of live input: whole files with the times of life."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.errors import InputError
from dashseg.inference import Segmenter
from dashseg.inference.video.record import record_live

av = pytest.importorskip("av")


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", ["live.mp4", "live.mkv", "live.ts"])
def test_a_recording_plays_at_the_speed_of_life(
    segmenter: Segmenter, senders: Any, tmp_path: Path, name: str
) -> None:
    """The greys, which rise by one a frame, show which frames were dropped."""
    out = tmp_path / name
    with senders.mjpeg() as server:
        report = record_live(segmenter, server.url, out, end=0.5)
    assert not report.interrupted and not report.lost
    found = times(out)
    assert len(found) == report.frames > 1
    assert found[-1] - found[0] == pytest.approx(report.seconds, abs=0.002)
    assert report.seconds < 0.5
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".dashseg.jsonl", out]


def test_frames_that_come_meanwhile_are_dropped_and_their_time_stays(
    segmenter: Segmenter, senders: Any, tmp_path: Path
) -> None:
    """After the first frame the network, so to speak, works until the sender has sent ten more."""
    with senders.mjpeg() as server:

        def work(done: int, count: int) -> None:
            if done == 1:
                sent = server.sent
                senders.wait_until(lambda: server.sent >= sent + 10)

        out = tmp_path / "live.mkv"
        report = record_live(segmenter, server.url, out, end=0.7, on_progress=work)
    assert report.dropped >= 8
    steps = np.diff(times(out))
    # The sender waits 0.02 s between frames, at least.
    assert steps[0] >= 8 * senders.PAUSE


def test_a_lost_connection_is_a_pause(segmenter: Segmenter, senders: Any, tmp_path: Path) -> None:
    notes: list[str] = []
    with senders.mjpeg(per_connection=8) as server:
        report = record_live(
            segmenter, server.url, tmp_path / "live.mkv",
            end=1, first_wait=0.05, on_note=notes.append,
        )  # fmt: skip
    assert report.reconnects == len(notes) >= 1 and report.lost == ""
    assert max(np.diff(times(tmp_path / "live.mkv"))) >= 0.05


def test_a_connection_lost_for_good_ends_a_whole_recording(
    segmenter: Segmenter, senders: Any, tmp_path: Path
) -> None:
    with senders.mjpeg(per_connection=8) as server:
        report = record_live(segmenter, server.url, tmp_path / "live.mp4", reconnects=0)
        assert report.lost == f"http://127.0.0.1:{server.port}/…: the stream ended"
    assert len(times(tmp_path / "live.mp4")) == report.frames


def test_ctrl_c_ends_a_whole_recording(segmenter: Segmenter, senders: Any, tmp_path: Path) -> None:
    def stop(done: int, count: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with senders.mjpeg() as server:
        report = record_live(segmenter, server.url, tmp_path / "live.mp4", on_progress=stop)
    assert report.interrupted and report.frames == 3
    assert len(times(tmp_path / "live.mp4")) == 3


def test_only_a_recording_is_replaced_and_only_where_asked(
    segmenter: Segmenter, senders: Any, tmp_path: Path
) -> None:
    out, other = tmp_path / "live.mkv", tmp_path / "other.mkv"
    other.write_bytes(b"mine")
    with senders.mjpeg() as server:
        record_live(segmenter, server.url, out, end=0.1)
        first = out.read_bytes()
        with pytest.raises(InputError, match="exists: choose another --out, or --overwrite"):
            record_live(segmenter, server.url, out, end=0.1)
        with pytest.raises(InputError, match="not written by dashseg"):
            record_live(segmenter, server.url, other, end=0.1, overwrite=True)
        assert out.read_bytes() == first and other.read_bytes() == b"mine"
        record_live(segmenter, server.url, out, end=0.2, overwrite=True, smooth=0.5)
    assert out.read_bytes() != first


def test_input_without_a_frame_is_an_error_and_leaves_no_file(
    segmenter: Segmenter, senders: Any, tmp_path: Path
) -> None:
    with (
        senders.mjpeg(per_connection=0) as server,
        pytest.raises(InputError, match=r"^http://127\.0\.0\.1"),
    ):
        record_live(segmenter, server.url, tmp_path / "live.mkv", reconnects=0)
    assert not (tmp_path / "live.mkv").exists()


def test_a_file_of_a_server_is_no_stream(
    segmenter: Segmenter, write_video: Any, senders: Any, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4")
    with senders.files(tmp_path) as url, pytest.raises(InputError, match="download it"):
        record_live(segmenter, f"{url}/a.mp4", tmp_path / "live.mkv")
