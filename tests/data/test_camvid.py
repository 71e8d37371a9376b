"""CamVid's two forms: 32 colours in comma's classes, and the SegNet split's 11 class ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.errors import InputError
from dashseg.labels import COMMA10K

# From the data's own documentation: CamVid's name, its colour, the comma10k class it counts as.
CAMVID32 = """
    Road 128 64 128 road                RoadShoulder 128 128 192 road
    LaneMkgsNonDriv 192 0 64 road       LaneMkgsDriv 128 0 192 lane_markings
    Car 64 0 128 movable                SUVPickupTruck 64 128 192 movable
    Truck_Bus 192 128 192 movable       Train 192 64 128 movable
    MotorcycleScooter 192 0 192 movable Pedestrian 64 64 0 movable
    Child 192 128 64 movable            Bicyclist 0 128 192 movable
    Animal 64 128 64 movable            CartLuggagePram 64 0 192 movable
    OtherMoving 128 64 64 movable       Void 0 0 0 ignore
    Archway 192 0 128 undrivable        Bridge 0 128 64 undrivable
    Building 128 0 0 undrivable         Column_Pole 192 192 128 undrivable
    Fence 64 64 128 undrivable          Misc_Text 128 128 64 undrivable
    ParkingBlock 64 192 128 undrivable  Sidewalk 0 0 192 undrivable
    SignSymbol 192 128 128 undrivable   Sky 128 128 128 undrivable
    TrafficCone 0 0 64 undrivable       TrafficLight 0 64 64 undrivable
    Tree 128 128 0 undrivable           Tunnel 64 0 64 undrivable
    VegetationMisc 192 192 0 undrivable Wall 64 192 0 undrivable
"""
CLASS_IDS = {"road": 0, "lane_markings": 1, "undrivable": 2, "movable": 3, "ignore": 255}
WORDS = CAMVID32.split()
TABLE = [
    ((int(WORDS[i + 1]), int(WORDS[i + 2]), int(WORDS[i + 3])), CLASS_IDS[WORDS[i + 4]])
    for i in range(0, len(WORDS), 5)
]


def write_colours(
    root: Path, names: list[str], images: str = "images", labels: str = "labels"
) -> None:
    """Masks of 8 rows that show all 32 colours, one a column."""
    row = np.array([[colour for colour, _ in TABLE]], np.uint8)
    for folder in (images, labels):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        frame = PIL.Image.fromarray(np.full((8, 32, 3), 90, np.uint8))
        frame.save(root / images / f"{name}.png")
        PIL.Image.fromarray(row.repeat(8, 0)).save(root / labels / f"{name}_L.png")


def names(root: Path, split: str = "all", **options: Any) -> list[str]:
    return list(open_dataset(DataConfig(root=str(root), **options), split).names)


def test_the_32_colours_mean_what_the_documentation_says(tmp_path: Path) -> None:
    assert len({colour for colour, _ in TABLE}) == 32
    write_colours(tmp_path, ["0001TP_006690"])
    dataset = open_dataset(DataConfig(root=str(tmp_path)))
    assert (dataset.kind, dataset.classes.names) == ("camvid", COMMA10K.names)
    assert (dataset[0].label == [class_id for _, class_id in TABLE]).all()


def test_the_folders_may_be_named_as_cambridge_names_them(tmp_path: Path) -> None:
    write_colours(tmp_path, ["0016E5_1"], "701_StillsRaw_full", "LabeledApproved_full")
    assert names(tmp_path) == ["0016E5_1"]


def test_whole_sequences_are_held_out(tmp_path: Path) -> None:
    write_colours(tmp_path, ["0006R0_1", "0006R0_2", "0016E5_1", "Seq05VD_1"])
    assert names(tmp_path, "val") == ["0006R0_1", "0006R0_2"]
    assert names(tmp_path, "train") == ["0016E5_1", "Seq05VD_1"]
    assert names(tmp_path, "val", val_sequences=("Seq05VD", "0016E5")) == ["0016E5_1", "Seq05VD_1"]


def test_a_sequence_that_is_not_there_leaves_no_validation_frames(tmp_path: Path) -> None:
    write_colours(tmp_path, ["0016E5_1"])
    with pytest.raises(InputError, match=r"none of its 1 frames is in split 'val' \(camvid's rule"):
        names(tmp_path, "val")


def test_the_segnet_split_has_eleven_classes_and_ignores_the_twelfth_id(
    tmp_path: Path, write_camvid11: Callable[..., dict[str, np.ndarray]]
) -> None:
    stored = write_camvid11(tmp_path, {"train": ["a_1", "a_2"], "val": ["b_1"]})
    dataset = open_dataset(DataConfig(root=str(tmp_path)))
    assert dataset.classes.names == (
        *("sky", "building", "pole", "road", "pavement", "tree"),
        *("sign", "fence", "car", "pedestrian", "bicyclist"),
    )
    assert [sample.name for sample in dataset] == ["train/a_1", "train/a_2", "val/b_1"]
    for sample in dataset:
        ids = stored[sample.name]
        assert 11 in ids
        assert np.array_equal(sample.label, np.where(ids == 11, 255, ids))


def test_the_segnet_folders_are_the_split(
    tmp_path: Path, write_camvid11: Callable[..., object]
) -> None:
    write_camvid11(tmp_path, {"train": ["a_1"], "val": ["a_1"], "test": ["c_1"]})
    assert names(tmp_path, "train") == ["train/a_1"]
    assert names(tmp_path, "val") == ["val/a_1"]
    assert names(tmp_path) == ["train/a_1", "val/a_1", "test/c_1"]


def test_masks_whose_images_were_not_fetched_are_listed(
    tmp_path: Path, write_camvid11: Callable[..., object]
) -> None:
    write_camvid11(tmp_path, {"train": ["a_1"], "val": ["b_1"]})
    (tmp_path / "val" / "b_1.jpg").unlink()
    (tmp_path / "val").rmdir()
    with pytest.raises(InputError, match="1 masks without an image: val/b_1"):
        names(tmp_path)


def test_an_id_beyond_the_twelfth_is_an_error(
    tmp_path: Path, write_camvid11: Callable[..., object]
) -> None:
    write_camvid11(tmp_path, {"train": ["a_1"]})
    PIL.Image.fromarray(np.full((40, 56), 12, np.uint8)).save(tmp_path / "trainannot" / "a_1.png")
    with pytest.raises(InputError, match=r"a_1\.png: value 12 \(2240 pixels\) is not in the"):
        open_dataset(DataConfig(root=str(tmp_path)))[0]


def test_another_layout_called_camvid_is_an_error_that_shows_the_right_ones(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match=r"not CamVid: expected images/ and labels/\*_L\.png, or"):
        names(tmp_path, dataset="camvid")


def test_the_real_sequences_open(shared_data: Path) -> None:
    root = shared_data / "camvid_720x960"
    val = open_dataset(DataConfig(root=str(root)), "val")
    assert (len(open_dataset(DataConfig(root=str(root)), "train")), len(val)) == (255, 77)
    assert {name.split("_")[0] for name in val.names} == {"0006R0"}
    assert {*np.unique(val.label(0))} <= {0, 1, 2, 3, 255}


def test_the_real_segnet_split_opens(shared_data: Path) -> None:
    root = shared_data / "camvid_360x480"
    train, val = (open_dataset(DataConfig(root=str(root)), side) for side in ("train", "val"))
    assert (len(train), len(val)) == (367, 101)
    assert {*np.unique(train.label(0))} <= {*range(11), 255}
    assert train[0].image.shape == (360, 480, 3)
