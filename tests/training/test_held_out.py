"""No frame that is held out reaches training by another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashseg.config import Recipe
from dashseg.curate.pack import pack
from dashseg.data import open_dataset
from dashseg.errors import InputError
from dashseg.training.plan import open_frames


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Callable[..., Recipe]) -> Path:
    """The frames of `scenes` as a pack."""
    config = tiny_recipe().data
    sides = {side: {*open_dataset(config, side).names} for side in ("train", "val")}
    out = tmp_path_factory.mktemp("held_out") / "packed"
    pack(open_dataset(config, "all"), out, sides, workers=1)
    return out


def stems(names: Any) -> set[str]:
    """Names of frames, without what stands before them in a mixture and the suffix."""
    return {Path(name).stem for name in names}


@pytest.mark.parametrize("labelled_in_a_pack", [False, True])
@pytest.mark.parametrize("unlabelled_in_a_pack", [False, True])
def test_unlabelled_frames_are_those_that_are_not_held_out(
    labelled_in_a_pack: bool,
    unlabelled_in_a_pack: bool,
    packed: Path,
    scenes: Path,
    tmp_path: Path,
    tiny_recipe: Callable[..., Recipe],
) -> None:
    link = tmp_path / "link"
    link.symlink_to(scenes / "imgs")
    root = packed if labelled_in_a_pack else scenes
    more = packed if unlabelled_in_a_pack else link
    frames = open_frames(
        tiny_recipe(f"data.root={root}", f"data.unlabelled=[{more}]", "training.ema_decay=0.9")
    )
    files = {path.stem for path in (scenes / "imgs").iterdir()}
    held = {name for name in files if name.endswith("9")}  # comma10k's rule
    assert held and stems(frames.val.names) == held
    assert frames.unlabelled is not None
    assert stems(frames.unlabelled.names) == files - held
    assert frames.left_out == len(held)


def test_if_all_unlabelled_frames_are_held_out_it_is_an_error(
    scenes: Path, tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    for path in (scenes / "imgs").glob("*9.png"):
        (tmp_path / path.name).symlink_to(path)
    with pytest.raises(InputError, match="all of its frames are held out"):
        open_frames(tiny_recipe(f"data.unlabelled=[{tmp_path}]", "training.ema_decay=0.9"))


@pytest.mark.parametrize("root", ["scenes", "packed", "drawn"])
def test_extra_data_with_held_out_frames_is_an_error_that_names_one(
    root: str, packed: Path, scenes: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    changes = {
        "scenes": [f"data.extra=[{{root: {scenes}, take: all}}]"],
        "packed": [f"data.extra=[{{root: {packed}, take: all}}]"],
        "drawn": ["data.root=synthetic:10:3", "data.extra=[{root: 'synthetic:20:3', take: all}]"],
    }
    with pytest.raises(InputError, match=r"held out in data\.root: 1/\S*9"):
        open_frames(tiny_recipe(*changes[root]))
    fine = [change.replace("all", "train") for change in changes[root]]
    assert open_frames(tiny_recipe(*fine)).train.kind == "mixture"
