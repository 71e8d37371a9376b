"""Data sets, and folders of images without masks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.config import DataConfig
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, IGNORE, Classes
from dashseg.serving.desk.frames import UNLABELLED, open_frames, with_ignore

from ...conftest import write_frame


def frames_at(root: Path, **config: Any) -> Any:
    return open_frames(DataConfig(root=str(root), **config), "all", COMMA10K)


def test_a_data_set_is_opened_as_every_verb_opens_it(comma: Path) -> None:
    frames = frames_at(comma)
    assert frames.kind == "comma10k"
    assert [*frames.names] == ["0001", "0002", "0003", "0009"]


def test_images_without_masks_have_their_path_for_a_name(tmp_path: Path) -> None:
    for name in ("b.jpg", "drive/a.png", "drive/.hidden/x.png", "._c.png"):
        write_frame(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    frames = frames_at(tmp_path)
    assert frames.kind == UNLABELLED
    assert [*frames.names] == ["b", "drive/a"]
    assert frames.classes.names == COMMA10K.names


def test_mistakes_are_named(comma: Path, tmp_path: Path) -> None:
    (comma / "masks" / "0001.png").unlink()
    with pytest.raises(InputError, match="without a mask"):  # no pre-label: somebody lost a mask
        frames_at(comma)
    shutil.rmtree(comma / "masks")
    assert [*frames_at(comma).names] == [
        f"imgs/{name}" for name in ("0001", "0002", "0003", "0009")
    ]
    with pytest.raises(InputError, match="no such folder"):
        frames_at(comma, dataset="comma10k")
    with pytest.raises(InputError, match="no such folder"):
        frames_at(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        frames_at(tmp_path / "empty")
    write_frame(tmp_path / "two" / "a.png")
    write_frame(tmp_path / "two" / "a.jpg")
    with pytest.raises(InputError, match="same name"):
        frames_at(tmp_path / "two")


def test_ignored_pixels_get_a_colour_that_no_class_has() -> None:
    classes = with_ignore(Classes(("a", "b"), ((0, 0, 0), (1, 1, 1))))
    assert classes.aliases == {(2, 2, 2): IGNORE}
    assert np.array_equal(classes.palette[:2], [[0, 0, 0], [1, 1, 1]])
