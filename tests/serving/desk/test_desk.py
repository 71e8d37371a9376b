"""What a desk can be opened at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.errors import InputError
from dashseg.labels import COMMA10K
from dashseg.serving.desk import Desk, open_frames

from .conftest import state_of


def test_data_that_no_desk_can_mend_are_refused_and_nothing_is_made(
    model: Any, comma: Path, write_folder: Any, write_comma10k: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scenes = open_dataset(DataConfig(root="synthetic:3:1"))
    with pytest.raises(InputError, match="no files"):
        Desk(scenes, out, {"tiny": model})
    write_folder(tmp_path / "signs", ["x"], 'classes: {sign: "#ff0000"}\n', ["#ff0000"])
    with pytest.raises(InputError, match="tiny"):
        Desk(open_dataset(DataConfig(root=str(tmp_path / "signs"))), out, {"tiny": model})
    frames = open_frames(DataConfig(root=str(comma / "imgs")), "all", COMMA10K)
    with pytest.raises(InputError, match="no model"):
        Desk(frames, out, {})
    assert not out.exists()


def test_closing_stops_the_scoring_and_lets_the_next_one_in(
    model: Any, comma: Path, tmp_path: Path
) -> None:
    frames = open_frames(DataConfig(root=str(comma)), "all", COMMA10K)
    for _ in range(3):
        with Desk(frames, tmp_path / "out", {"tiny": model}) as desk:
            desk.frames("suspects", "all", 0, 10)
            assert desk.scoring is not None
        assert not desk.scoring._thread.is_alive()


def test_a_desk_that_fails_to_open_holds_no_lock(model: Any, comma: Path, tmp_path: Path) -> None:
    frames = open_frames(DataConfig(root=str(comma)), "all", COMMA10K)
    Desk(frames, tmp_path / "out", {}).close()
    before = state_of(tmp_path / "out")
    images = open_frames(DataConfig(root=str(comma / "imgs")), "all", COMMA10K)
    with pytest.raises(InputError, match="holds the edits"):
        Desk(images, tmp_path / "out", {"tiny": model})
    assert state_of(tmp_path / "out").keys() == before.keys()
    Desk(frames, tmp_path / "out", {}).close()
