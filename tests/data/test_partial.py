"""Data sets with fewer, other or merged classes join a training by the names of their classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.config import DataConfig, ExtraData, InputConfig
from dashseg.curate.pack import pack
from dashseg.data import open_dataset, open_training_set
from dashseg.data.mixture import Mixture, merged_labels
from dashseg.data.sources import open_whole
from dashseg.errors import InputError
from dashseg.training.frames import WorkingFrames

# In another order than comma10k's: 0 movable, 1 road, 2 verge.
PALETTE = 'classes: {movable: "#00ff66", road: "#402020", %s: "#808060"}\n'
COLOURS = ("#00ff66", "#402020", "#808060")
ROOT = "synthetic:2:5"  # comma10k's classes: 0 road, 1 lane markings, 2 undrivable, 3 movable


@pytest.fixture
def folder(tmp_path: Path, write_folder: Callable[..., Any]) -> Callable[..., tuple[str, Any]]:
    """folder(third class) -> a folder of one frame, and its label as drawn."""

    def write(third: str) -> tuple[str, Any]:
        root = tmp_path / third
        labels = write_folder(root, ["a"], PALETTE % third, COLOURS)
        return str(root), labels["a"]

    return write


def joined(root: str, **settings: Any) -> Any:
    extra = ExtraData(root=root, take="all", **settings)
    mixture = open_training_set(DataConfig(root=ROOT, extra=(extra,)))
    assert isinstance(mixture, Mixture)
    assert mixture.classes.names == open_dataset(DataConfig(root=ROOT)).classes.names
    return mixture


def ids(drawn: Any, *meaning: int) -> Any:
    return np.array(meaning, np.uint8)[drawn]


def test_fewer_classes_in_another_order_are_joined_by_name(
    folder: Callable[..., tuple[str, Any]],
) -> None:
    root, drawn = folder("undrivable")
    mixture = joined(root)
    assert np.array_equal(mixture[len(mixture) - 1].label, ids(drawn, 3, 0, 2))
    assert np.array_equal(mixture.label(len(mixture) - 1), ids(drawn, 3, 0, 2))
    assert merged_labels(mixture) == ()


def test_only_ignores_what_is_drawn_of_other_classes(
    folder: Callable[..., tuple[str, Any]],
) -> None:
    root, drawn = folder("verge")  # of which the training knows nothing
    mixture = joined(root, only=("road",))
    assert np.array_equal(mixture.label(len(mixture) - 1), ids(drawn, 255, 0, 255))


def test_a_merged_label_has_an_id_behind_the_classes(
    folder: Callable[..., tuple[str, Any]],
) -> None:
    root, drawn = folder("verge")
    merged = {"road": ("lane markings", "road"), "verge": ("undrivable",)}
    mixture = joined(root, merged=merged)
    assert np.array_equal(mixture.label(len(mixture) - 1), ids(drawn, 3, 5, 2))
    assert merged_labels(mixture) == ((0, 1),)
    assert merged_labels(mixture.select(mixture.names[:1], "some")) == ((0, 1),)


def test_data_sets_share_the_id_of_the_same_merged_classes(
    folder: Callable[..., tuple[str, Any]],
) -> None:
    root, _ = folder("verge")
    own = {"only": ("road",), "merged": {"road": ("road", "lane markings")}}
    other = {"merged": {"verge": ("road", "undrivable"), "road": ("lane markings", "road")}}
    extra = [ExtraData.model_validate({"root": root, "take": "all", **it}) for it in (own, other)]
    mixture = open_training_set(DataConfig(root=ROOT, extra=tuple(extra)))
    assert merged_labels(mixture) == ((0, 1), (0, 2))
    drawn = open_dataset(DataConfig(root=root)).label(0)
    assert np.array_equal(mixture.label(len(mixture) - 2), ids(drawn, 255, 5, 255))
    assert np.array_equal(mixture.label(len(mixture) - 1), ids(drawn, 3, 5, 6))


def test_the_fingerprint_tells_the_meanings_of_a_label_apart(
    folder: Callable[..., tuple[str, Any]],
) -> None:
    root, _ = folder("undrivable")
    settings: list[dict[str, Any]] = [
        {},
        {"only": ("road",)},
        {"merged": {"road": ("road", "lane markings")}},
        {"merged": {"road": ("road", "undrivable")}},
    ]
    assert len({joined(root, **it).fingerprint() for it in settings}) == len(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"verge.* road, lane markings, .*only, or say in merged"),
        ({"only": ("raod",)}, "only names raod; .* has movable, road, verge"),
        ({"merged": {"lane": ("road",)}}, "merged names lane; .* has movable, road, verge"),
        ({"merged": {"verge": ("gras",)}}, "merged names gras; .* has road, lane markings"),
        ({"only": ("road",), "merged": {"verge": ("road",)}}, "merged has verge, which only"),
    ],
)
def test_a_class_that_is_not_there_is_an_error_that_lists_those_that_are(
    folder: Callable[..., tuple[str, Any]], settings: dict[str, Any], message: str
) -> None:
    root, _ = folder("verge")
    with pytest.raises(InputError, match=message):
        joined(root, **settings)


def test_merged_labels_reach_the_frames_at_working_size(
    folder: Callable[..., tuple[str, Any]],
) -> None:
    root, _ = folder("verge")
    mixture = joined(root, only=("road",), merged={"road": ("road", "lane markings")})
    frames = WorkingFrames(mixture, InputConfig(size=(32, 40)))
    assert set(np.unique(frames[len(mixture) - 1][1])) == {5, 255}


def test_packs_need_no_decoding_whatever_their_labels_become(
    folder: Callable[..., tuple[str, Any]], tmp_path: Path
) -> None:
    root, _ = folder("undrivable")
    for name, source in (("own", ROOT), ("other", root)):
        whole, splits = open_whole(DataConfig(root=source))
        pack(whole, tmp_path / name, splits, size=(32, 40))
    extra = ExtraData(root=str(tmp_path / "other"), take="all", only=("road",))
    mixture = open_training_set(DataConfig(root=str(tmp_path / "own"), extra=(extra,)))
    assert WorkingFrames(mixture, InputConfig(size=(32, 40), resize="squash")).packed
