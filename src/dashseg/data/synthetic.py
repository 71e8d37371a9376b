"""`synthetic:N[:SEED[:varied]]`: a data set of scenes that are drawn when they are read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import ClassVar

from dashseg.data.dataset import AsTensors, Sample
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, Classes, Label
from dashseg.scenes.names import scene_name
from dashseg.scenes.scene import render_scene

PREFIX = "synthetic:"
_MOST = 1_000_000  # their names alone take a minute


@dataclass(frozen=True)
class SceneDataset(AsTensors):
    """A `Dataset` without files: the scenes of a seed, by index."""

    root: str
    seed: int
    indices: tuple[int, ...]
    varied: bool = False
    split: str = "all"
    kind: str = "synthetic"
    classes: Classes = COMMA10K
    resized: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(PurePath(scene_name(self.seed, index)).stem for index in self.indices)

    def __getitem__(self, index: int) -> Sample:
        scene = render_scene(self.seed, self.indices[index], varied=self.varied)
        return Sample(scene.image, scene.label, self.names[index])

    def label(self, index: int) -> Label:
        return self[index].label

    def fingerprint(self) -> str:
        drawn = f"{self.seed} {self.indices}" + " varied" * self.varied
        return hashlib.sha256(drawn.encode()).hexdigest()[:16]

    def select(self, names: Iterable[str], split: str) -> SceneDataset:
        wanted = set(names)
        chosen = [i for i, name in zip(self.indices, self.names, strict=True) if name in wanted]
        return replace(self, indices=tuple(chosen), split=split)

    def check(self) -> None:
        """There are no files that could be wrong."""


def open_scenes(root: str) -> SceneDataset:
    """Open "synthetic:200" (seed 0), "synthetic:200:7" or "synthetic:200:7:varied".

    Raises:
        InputError: another form, or N is 0.
    """
    match = re.fullmatch(PREFIX + "([0-9]{1,7})(?::([0-9]{1,18})(:varied)?)?", root)
    if match is None or not 0 < int(match[1]) <= _MOST:
        raise InputError(
            f"{root}: expected synthetic:N, synthetic:N:SEED or synthetic:N:SEED:varied,"
            f" N from 1 to {_MOST}"
        )
    indices = tuple(range(int(match[1])))
    return SceneDataset(root, int(match[2] or 0), indices, bool(match[3]))
