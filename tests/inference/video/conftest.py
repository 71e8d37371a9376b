"""Videos written by PyAV: a bright square that wanders over noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

SIZE = 48, 64  # H, W
SAMPLES = 16000  # of sound per second


def picture(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    image = np.random.default_rng(0).integers(60, 90, (*size, 3), np.uint8)
    left = 2 * number % (size[1] - 16)
    image[8:24, left : left + 16] = (230, 40, 40)
    return image


def sine(number: int, start: Fraction) -> Any:
    """The sound of a frame, 1/20 s, of a film that starts at so many seconds."""
    import av

    samples = SAMPLES // 20
    times = np.arange(number * samples, (number + 1) * samples) / SAMPLES
    wave = np.sin(2 * np.pi * 440 * times) * 10_000
    frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.time_base = SAMPLES, Fraction(1, SAMPLES)
    frame.pts = number * samples + int(start * SAMPLES)
    return frame


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """write(path, stamps, size=(48, 64), codec="libx264", time_base=1/20, …) -> path.

    rotation: degrees; aspect: of a pixel; sound: a codec, for a tone of 440 Hz as long as the film.
    """
    av = pytest.importorskip("av")

    def write(
        path: Path,
        stamps: Sequence[int] = range(12),
        size: tuple[int, int] = SIZE,
        codec: str = "libx264",
        time_base: Fraction = Fraction(1, 20),
        rotation: int = 0,
        aspect: Fraction | None = None,
        sound: str | None = None,
        **options: Any,
    ) -> Path:
        with av.open(str(path), "w", **options) as container:
            stream = container.add_stream(codec, rate=20)
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = time_base
            stream.codec_context.gop_size = 4
            if rotation:
                stream.set_display_rotation(rotation)
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            tone = container.add_stream(sound, rate=SAMPLES, layout="mono") if sound else None
            for number, stamp in enumerate(stamps):
                frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
                frame.pts, frame.time_base = stamp, time_base
                container.mux(stream.encode(frame))
                if tone:
                    container.mux(tone.encode(sine(number, stamps[0] * time_base)))
            container.mux(stream.encode(None))
            if tone:
                container.mux(tone.encode(None))
        return path

    return write
