"""Frames drawn here, models that see what they are told to, and a review of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from dashseg.config import DataConfig, InputConfig
from dashseg.data import Dataset, open_dataset
from dashseg.inference import Result
from dashseg.labels import COMMA10K, Classes, Image

SIZE = 60, 80  # H, W of a frame
ROAD, LANE, UNDRIVABLE, MOVABLE = 0, 1, 2, 3


@pytest.fixture
def scene() -> NDArray[np.uint8]:
    """The right label of every frame."""
    return draw_scene()


def draw_scene() -> NDArray[np.uint8]:
    """Undrivable above, road below, a lane marking and a vehicle on it."""
    label = np.full(SIZE, ROAD, np.uint8)
    label[:24] = UNDRIVABLE
    label[30:, 20:24] = LANE
    label[20:36, 48:68] = MOVABLE
    return label


@dataclass
class Oracle:
    """A model that sees the class whose palette colour a pixel of the frame has."""

    sure: float = 4.0  # logit of the class seen; the others have 0
    name: str = "oracle"
    classes: Classes = COMMA10K
    run: Path | None = None
    input: InputConfig = field(default_factory=lambda: InputConfig(size=None))  # frames as they are

    def logits(self, image: Image) -> torch.Tensor:
        colours = np.array(COMMA10K.colours)
        seen = np.abs(image[:, :, None].astype(int) - colours).sum(-1).argmin(-1)
        return torch.from_numpy(self.sure * np.eye(5, dtype=np.float32)[seen]).permute(2, 0, 1)

    runtime, on_gpu = SimpleNamespace(parallel=1), False

    def batch(self, images: Sequence[Image], resized: Sequence[Image]) -> list[Result]:
        return [Result(image, self.logits(image), self.classes) for image in images]

    def resize(self, image: Image) -> Image:
        return image

    def size_for(self, image: Image) -> tuple[int, int]:
        return image.shape[0], image.shape[1]


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


PALETTE = (
    'classes: {road: "#402020", lane markings: "#ff0000", undrivable: "#808060",'
    ' movable: "#00ff66", my car: "#cc00ff"}\nignore: ["#000000"]\n'
)


@pytest.fixture
def write_scenes(tmp_path: Path) -> Callable[..., Dataset]:
    """write({name: label}, shown={name: label}) -> a data set in the layout "folder".

    A frame shows, in the palette's colours, what `shown` says, else the scene: whatever its mask.
    """

    def write(
        labels: dict[str, NDArray[np.uint8]],
        shown: dict[str, NDArray[np.uint8]] | None = None,
        root: Path = tmp_path / "data",
    ) -> Dataset:
        palette = np.zeros((256, 3), np.uint8)
        palette[:5] = COMMA10K.colours
        for name, label in labels.items():
            image = (shown or {}).get(name, draw_scene())
            for part, pixels in (("images", image), ("masks", label)):
                path = root / part / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(palette[pixels]).save(path)
        (root / "palette.yaml").write_text(PALETTE)
        return open_dataset(DataConfig(root=str(root)))

    return write


def without_vehicle() -> NDArray[np.uint8]:
    """The scene as somebody drew it who overlooked the vehicle."""
    label = draw_scene()
    label[20:24, 48:68], label[24:36, 48:68] = UNDRIVABLE, ROAD
    return label


@pytest.fixture
def frames(write_scenes: Callable[..., Dataset]) -> Dataset:
    """Five frames: c lacks its vehicle, b is nowhere labelled, d has pixels to ignore."""
    labels = {name: draw_scene() for name in "abcde"}
    labels["c"] = without_vehicle()
    labels["b"][:] = 255
    labels["d"][40:50, 40:60] = 255
    return write_scenes(labels)
