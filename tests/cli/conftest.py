"""What several tests of the CLI need."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def film() -> Callable[[Path, int], None]:
    """film(path, count) writes a video: grey frames of 48×64 that grow brighter, 20 a second."""

    def film(path: Path, count: int) -> None:
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=20)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            for number in range(count):
                image = np.full((48, 64, 3), 200 * number // count, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 20)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    return film
