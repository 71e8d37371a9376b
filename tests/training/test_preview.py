"""The sheet shows what the network is shown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dashseg.cli.main import main
from dashseg.config import Recipe, change_recipe
from dashseg.data import Dataset, open_dataset
from dashseg.labels import COMMA10K
from dashseg.training.preview import augmentation_sheet

PLAIN = change_recipe(Recipe(), model={"input": {"size": [123, 164]}})
PREVIEW = ["data", "augment-preview", "--data", "synthetic:12:3", "--recipe", "demo", "--n", "2"]


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    recipe = change_recipe(PLAIN, data={"root": "synthetic:12:3"})
    return open_dataset(recipe.data, "train")


def test_without_augmentation_the_sheet_shows_the_frame_twice_and_once_painted(
    scenes: Dataset,
) -> None:
    sheet = augmentation_sheet(scenes, PLAIN, 3, 0)
    assert sheet.shape == (2 * 250, 2 * (3 * 328 + 4), 3)
    frame, changed, painted = (sheet[:246, i * 328 : (i + 1) * 328].astype(int) for i in range(3))
    assert np.array_equal(frame, changed)
    # Half of each painted pixel is its class's colour: what is left of it is that, but at borders.
    colour = 2 * painted - frame
    distance = np.abs(colour[:, :, None] - np.array(COMMA10K.colours)).max(3).min(2)
    assert (distance <= 3).mean() > 0.9
    assert (sheet[250:, 988:] == 0).all()  # the fourth place is empty


def test_recipe_and_seed_decide_what_the_sheet_shows(scenes: Dataset) -> None:
    night = change_recipe(
        PLAIN, augment={"crop": [64, 64], "night": {"share": 1, "darkness": [1, 1]}}
    )
    sheet = augmentation_sheet(scenes, night, 1, 1)
    assert sheet.shape == (250, 328 + 2 * 246 + 4, 3)
    assert np.array_equal(sheet, augmentation_sheet(scenes, night, 1, 1))
    assert not np.array_equal(sheet, augmentation_sheet(scenes, night, 1, 2))


def test_the_command_writes_a_picture_and_overwrites_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.jpg"
    assert main([*PREVIEW, "--set", "augment.fog.share=1", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    picture = cv2.imread(str(out))
    assert picture is not None and picture.shape[0] == 250
    before = out.read_bytes()
    assert main([*PREVIEW, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "sheet.gif"], "must end in .png"),
        (["--out", "s.png", "--recipe", "dmo"], "did you mean 'demo'"),
        (["--out", "s.png", "--data", "nowhere"], "no such folder"),
        (["--out", "no/such/folder/s.png"], "cannot write"),
    ],
)
def test_bad_input_is_a_one_line_error(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([*PREVIEW, *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and said in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
