"""Desks at small data sets, and what an editor sends and gets."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from fastapi import FastAPI
from numpy.typing import NDArray
from starlette.testclient import TestClient

import dashseg
from dashseg.config import DataConfig
from dashseg.inference import Segmenter
from dashseg.labels import COMMA10K
from dashseg.review import Part, write_review
from dashseg.serving.desk import Desk, desk_router, open_frames


def png(label: NDArray[np.uint8], **options: Any) -> bytes:
    """What an editor sends, written by Pillow."""
    data = io.BytesIO()
    PIL.Image.fromarray(label).save(data, "PNG", **options)
    return data.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    """A picture as Pillow reads it, without converting it."""
    with PIL.Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


class Editor:
    """A person at the desk, over HTTP."""

    def __init__(self, client: TestClient, name: str) -> None:
        self.client, self.name = client, name

    def get(self, path: str) -> Any:
        answer = self.client.get(f"/desk/api{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def label(self, frame: int, version: object = "current") -> NDArray[np.uint8]:
        answer = self.client.get(f"/desk/api/frames/{frame}/label?version={version}")
        assert answer.status_code == 200, answer.text
        return pixels(answer.content)

    def save(self, frame: int, label: NDArray[np.uint8], base: int) -> Any:
        return self.send(frame, png(label), {"If-Match": f'"{base}"'})

    def send(self, frame: int, body: bytes, headers: dict[str, str]) -> Any:
        path = f"/desk/api/frames/{frame}/label"
        return self.client.put(path, params={"by": self.name}, content=body, headers=headers)

    def mark(self, frame: int, verdict: str | None, comment: str = "") -> Any:
        mark = {"verdict": verdict, "comment": comment, "by": self.name}
        return self.client.put(f"/desk/api/frames/{frame}/mark", json=mark)


OpenDesk = Callable[..., Editor]


@pytest.fixture(scope="session")
def model(model_directory: Path) -> Segmenter:
    """A tiny model that sees several classes in any frame, and is sure of them."""
    segmenter = dashseg.load(model_directory, device="cpu")
    classifier: Any = segmenter.network.decoder.classifier
    with torch.no_grad():
        classifier.weight *= 50
        classifier.bias *= 50
    return segmenter


@pytest.fixture(scope="session")
def reviewed(model: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Four frames in comma10k's layout, and the folder of a review of them."""
    folder, rng = tmp_path_factory.mktemp("reviewed"), np.random.default_rng(0)
    for name in ("0001", "0002", "0003", "0009"):
        for part in ("imgs", "masks"):
            picture = rng.integers(0, 255, (40, 56, 3), np.uint8)
            if part == "masks":
                blocks = rng.integers(0, 5, (5, 7)).repeat(8, 0).repeat(8, 1)
                picture = np.array(COMMA10K.colours, np.uint8)[blocks]
            path = folder / "data" / part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(picture).save(path)
    frames = open_frames(DataConfig(root=str(folder / "data")), "all", COMMA10K)
    write_review(folder / "review", frames, [Part(model, frames)], top=4)
    return folder / "data", folder / "review"


@pytest.fixture
def open_desk() -> Iterator[OpenDesk]:
    """open(data, out, models={}, split="all", **more of Desk's) -> an editor, Ann; .desk is it."""
    with ExitStack() as stack:

        def open(
            data: Path, out: Path, models: Any = (), split: str = "all", **more: Any
        ) -> Editor:
            models = dict(models)
            frames = open_frames(DataConfig(root=str(data)), split, COMMA10K)
            desk = stack.enter_context(Desk(frames, out, models, **more))
            app = FastAPI()
            app.include_router(desk_router(desk))
            editor = Editor(stack.enter_context(TestClient(app)), "Ann")
            editor.desk = desk  # type: ignore[attr-defined]
            return editor

        yield open


@pytest.fixture
def comma(write_comma10k: Any, tmp_path: Path) -> Path:
    """Four frames in comma10k's layout."""
    write_comma10k(tmp_path / "data", ["0001", "0002", "0003", "0009"])
    return tmp_path / "data"


def state_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Digest, time of change and rights of every file."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
            path.stat().st_mode,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
