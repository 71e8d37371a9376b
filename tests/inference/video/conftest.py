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


def picture(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    image = np.random.default_rng(0).integers(60, 90, (*size, 3), np.uint8)
    left = 2 * number % (size[1] - 16)
    image[8:24, left : left + 16] = (230, 40, 40)
    return image


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """write(path, stamps, size=(48, 64), codec="libx264", time_base=1/20, rotation=0) -> path."""
    av = pytest.importorskip("av")

    def write(
        path: Path,
        stamps: Sequence[int] = range(12),
        size: tuple[int, int] = SIZE,
        codec: str = "libx264",
        time_base: Fraction = Fraction(1, 20),
        rotation: int = 0,
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
            for number, stamp in enumerate(stamps):
                frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
                frame.pts, frame.time_base = stamp, time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write
