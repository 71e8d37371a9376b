"""What a plan consists of."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

from dashseg.inference.video.read import VIDEO_SUFFIXES


class Row(NamedTuple):
    """What one step of the work reads: an image, or a part of a video.

    Args:
        name: of its outputs, without a suffix; of a part of a video, of its first frame's.
        path: absolute path or URL of the file.
        start: of an image in a tar, the byte that it starts at; of a part of a video, the time
            stamp of its first frame. -1: the whole file.
        end: the byte or time stamp after it. -1: to the end of the file.
        first: of a part of a video, the number of its first frame.
        frames: how many frames it has, as far as the container says.
    """

    name: str
    path: str
    start: int = -1
    end: int = -1
    first: int = 0
    frames: int = 1

    def names(self) -> list[str]:
        """Of the outputs of each frame."""
        number = f"_{self.first:06d}"
        if not is_video(self.path) or not self.name.endswith(number):
            return [self.name]
        stem = self.name.removesuffix(number)
        return [f"{stem}_{number:06d}" for number in range(self.first, self.first + self.frames)]


def is_video(path: str) -> bool:
    """Whether the name says so."""
    return PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES
