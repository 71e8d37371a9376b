"""An evaluation finds its folder, and takes none that holds other figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dashseg.evaluation import default_folder
from dashseg.outputs import Record


def stored(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(text)


def test_the_folder_is_called_after_data_split_and_augmentation(
    frames: Any, tmp_path: Path
) -> None:
    data = replace(frames, root=str(tmp_path / "far/away"), split="splits/mine.json")
    assert default_folder(tmp_path, data, ()) == tmp_path / "evaluation/away-mine"
    drawn = replace(frames, root="synthetic:20:3")
    assert default_folder(tmp_path, drawn, ("flip",)) == (
        tmp_path / "evaluation/synthetic-20-3-val-flip"
    )


def test_earlier_figures_of_the_same_frames_are_replaced(frames: Any, tmp_path: Path) -> None:
    folder = tmp_path / "evaluation/frames-val"
    with Record(folder, "evaluate").replacing(last="metrics.json") as written:
        values = {"data": {"fingerprint": frames.fingerprint()}}
        (written / "metrics.json").write_text(json.dumps(values))
    assert default_folder(tmp_path, frames, ()) == folder
    (folder / "metrics.json").write_text(json.dumps(values | {"by": "hand"}))
    assert default_folder(tmp_path, frames, ()) == tmp_path / "evaluation/frames-val-2"


@pytest.mark.parametrize(
    "text", ['{"data": {"fingerprint": "other"}}', '{"data": {}}', "[]", "cut of"]
)
def test_figures_of_other_frames_or_of_nobody_knows_which_stay(
    frames: Any, tmp_path: Path, text: str
) -> None:
    stored(tmp_path / "evaluation/frames-val", text)
    assert default_folder(tmp_path, frames, ()) == tmp_path / "evaluation/frames-val-2"
    stored(tmp_path / "evaluation/frames-val-2", text)
    assert default_folder(tmp_path, frames, ()) == tmp_path / "evaluation/frames-val-3"
