"""A video's sound comes out as long, as loud and at the time that it went in."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dashseg.inference import Segmenter
from dashseg.inference.video import segment_video

av = pytest.importorskip("av")

LOUDNESS = 10_000 / 32_768 / 2**0.5  # of the tone in `write_video`


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def heard(path: Path) -> tuple[NDArray[np.float64], int, float]:
    """Samples in -1 to 1, how many there are per second, and the time of the first."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        to_float = av.AudioResampler(format="flt", layout="mono", rate=rate)
        frames = [f for frame in container.decode(audio=0) for f in to_float.resample(frame)]
    return np.concatenate([f.to_ndarray()[0] for f in frames]), rate, frames[0].time


def pitch(samples: NDArray[np.float64], rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


@pytest.mark.parametrize(
    ("source", "sound", "out", "kept"),
    [
        ("a.mp4", "aac", "b.mp4", "copied"),
        ("a.mp4", "aac", "b.mkv", "copied"),
        ("a.ts", "aac", "b.mov", "copied"),
        ("a.mp4", "aac", "b.ts", "copied"),
        ("a.avi", "pcm_s16le", "b.mkv", "copied"),
        ("a.avi", "pcm_s16le", "b.ts", "aac"),
        ("a.avi", "adpcm_ima_wav", "b.mp4", "aac"),
        ("a.mp4", "aac", "b.webm", "libopus"),
        ("a.mkv", "libopus", "b.avi", "libmp3lame"),
    ],
)
def test_sound_is_kept_in_every_container(
    segmenter: Segmenter,
    write_video: Callable[..., Path],
    tmp_path: Path,
    source: str,
    sound: str,
    out: str,
    kept: str,
) -> None:
    clip = write_video(tmp_path / source, stamps=range(20), sound=sound)
    codec = "vp9" if out.endswith("webm") else "h264"
    report = segment_video(segmenter, clip, tmp_path / out, codec=codec)
    assert (report.frames, report.sound) == (20, kept)
    samples, rate, start = heard(tmp_path / out)
    assert start == pytest.approx(0, abs=0.01)
    assert len(samples) / rate == pytest.approx(1, abs=0.2)  # codecs pad to whole blocks
    assert pitch(samples, rate) == pytest.approx(440, abs=5)
    middle = samples[len(samples) // 4 : len(samples) // 2]
    assert np.sqrt((middle**2).mean()) == pytest.approx(LOUDNESS, rel=0.05)
    if kept == "copied" and not source.endswith(".ts"):  # MPEG-TS puts a header before each
        assert set(packets(tmp_path / out)) <= set(packets(clip)) or out.endswith(".ts")


@pytest.mark.parametrize(
    ("source", "sound", "out", "every"),
    [
        ("a.mkv", "pcm_s16le", "b.mkv", 1),  # copied
        ("a.mp4", "aac", "b.mp4", 5),  # copied, in packets of 0.064 s
        ("a.mp4", "aac", "b.webm", 1),  # decoded and encoded
    ],
)
def test_sound_of_a_span_starts_and_ends_with_its_pictures(
    segmenter: Segmenter,
    write_video: Callable[..., Path],
    tmp_path: Path,
    source: str,
    sound: str,
    out: str,
    every: int,
) -> None:
    clip = write_video(tmp_path / source, stamps=range(60), sound=sound)
    codec = "vp9" if out.endswith("webm") else "h264"
    segment_video(segmenter, clip, tmp_path / out, start=1, end=2, every=every, codec=codec)
    with av.open(str(tmp_path / out)) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    samples, rate, start = heard(tmp_path / out)
    assert start == pytest.approx(shown[0], abs=0.07)
    assert len(samples) / rate == pytest.approx(1, abs=0.07)


def test_sound_is_left_out_where_asked_or_where_there_is_none(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    silent = write_video(tmp_path / "silent.mp4", stamps=range(2))
    loud = write_video(tmp_path / "loud.mp4", stamps=range(2), sound="aac")
    assert segment_video(segmenter, silent, tmp_path / "b.mp4").sound is None
    assert segment_video(segmenter, loud, tmp_path / "c.mp4", audio=False).sound is None
    for name in ("b.mp4", "c.mp4"):
        with av.open(str(tmp_path / name)) as container:
            assert not container.streams.audio


@pytest.mark.parametrize(
    ("sound", "source", "out"),
    [
        ("aac", "a.ts", "b.mp4"),  # copied through a filter that looks at each packet
        ("flac", "a.mkv", "b.mkv"),  # copied
        ("flac", "a.mkv", "b.ts"),  # decoded and encoded
    ],
)
def test_damaged_sound_does_not_stop_the_pictures(
    segmenter: Segmenter,
    write_video: Callable[..., Path],
    tmp_path: Path,
    sound: str,
    source: str,
    out: str,
) -> None:
    clip = write_video(tmp_path / source, stamps=range(40), sound=sound)
    data = bytearray(clip.read_bytes())
    rng = np.random.default_rng(0)
    found = 0
    for packet in packets(clip)[2:-2]:
        place = data.find(packet[:20])
        if place >= 0:
            found += 1
            data[place : place + 20] = rng.bytes(20)
    assert found > 5
    clip.write_bytes(data)
    report = segment_video(segmenter, clip, tmp_path / out)
    assert (report.frames, report.broken) == (40, 0)


@pytest.mark.parametrize(("suffix", "starts"), [("ts", (40, 0, 0)), ("mkv", (0, 0))])
def test_joined_streams_play_one_after_the_other(
    segmenter: Segmenter,
    write_video: Callable[..., Path],
    tmp_path: Path,
    suffix: str,
    starts: tuple[int, ...],
) -> None:
    """Each stream has 20 frames at 20 frames/s; their time stamps overlap."""
    parts = [
        write_video(tmp_path / f"{number}.{suffix}", range(start, start + 20), sound="aac")
        for number, start in enumerate(starts)
    ]
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    shown: list[tuple[int, int]] = []
    report = segment_video(
        segmenter, joined, tmp_path / "b.mkv", on_progress=lambda *done: shown.append(done)
    )
    assert report.frames == 20 * len(parts)
    assert all(done <= count or count == 0 for done, count in shown)
    with av.open(str(tmp_path / "b.mkv")) as container:
        times: dict[str, list[float]] = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.pts is not None:
                times[packet.stream.type].append(float(packet.pts * packet.time_base))
    for stream in times.values():
        steps = np.diff(stream)
        # AAC pads each part's sound to whole blocks of 1/16 s.
        assert steps.min() > 0 and steps.max() < 0.25
        assert stream[-1] == pytest.approx(len(parts), abs=0.3)
    assert times["video"][-1] == pytest.approx(times["audio"][-1], abs=0.15)


def test_a_pause_between_frames_stays(
    segmenter: Segmenter, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "a.mkv", [0, 1, 2, 2000, 2001], time_base=Fraction(1, 20))
    segment_video(segmenter, clip, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert [f.time for f in container.decode(video=0)] == [0, 0.05, 0.1, 100, 100.05]
