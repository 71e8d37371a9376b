"""comma10k is read as comma keeps it: its parts, its classes, its split, its list of masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, COMMA10K_DRIVER

Write = Callable[..., dict[str, np.ndarray]]
NAMES = ["0000_a_10", "0001_a_19", "0002_b_21", "0003_b_29", "0009_c_30"]


@pytest.fixture
def written(tmp_path: Path, write_comma10k: Write) -> dict[str, np.ndarray]:
    return write_comma10k(tmp_path, NAMES)


def names(root: Path, split: str = "all", **options: Any) -> list[str]:
    return list(open_dataset(DataConfig(root=str(root), **options), split).names)


def test_labels_are_what_was_painted(tmp_path: Path, written: dict[str, np.ndarray]) -> None:
    dataset = open_dataset(DataConfig(root=str(tmp_path)))
    assert (dataset.kind, dataset.split, dataset.classes) == ("comma10k", "all", COMMA10K)
    assert [sample.name for sample in dataset] == NAMES
    for sample in dataset:
        assert sample.image.shape == (40, 56, 3)
        assert np.array_equal(sample.label, written[sample.name]), sample.name


@pytest.mark.usefixtures("written")
def test_validation_frames_end_in_9(tmp_path: Path) -> None:
    assert names(tmp_path, "val") == ["0001_a_19", "0003_b_29"]
    assert names(tmp_path, "train") == ["0000_a_10", "0002_b_21", "0009_c_30"]


def test_the_driver_camera_has_six_classes(tmp_path: Path, write_comma10k: Write) -> None:
    labels = write_comma10k(tmp_path, ["d_1", "d_9"], part="imgsd")
    dataset = open_dataset(DataConfig(root=str(tmp_path), parts=("imgsd",)))
    assert dataset.classes == COMMA10K_DRIVER
    assert 5 in labels["d_1"]
    assert np.array_equal(dataset[0].label, labels["d_1"])


@pytest.mark.usefixtures("written")
def test_parts_are_read_together_when_asked_for(tmp_path: Path, write_comma10k: Write) -> None:
    write_comma10k(tmp_path, ["wide_7", "wide_9"], part="imgs2", size=(48, 80))
    assert names(tmp_path) == NAMES
    assert names(tmp_path, parts=("imgs2",)) == ["wide_7", "wide_9"]
    assert names(tmp_path, parts=("imgs", "imgs2")) == [*NAMES, "wide_7", "wide_9"]
    assert names(tmp_path, "val", parts=("imgs", "imgs2"))[-1] == "wide_9"


@pytest.mark.usefixtures("written")
def test_a_name_in_two_parts_is_an_error_that_lists_it(
    tmp_path: Path, write_comma10k: Write
) -> None:
    write_comma10k(tmp_path, [NAMES[0], "wide_9"], part="imgs2")
    with pytest.raises(InputError, match=f"names that occur in two parts: {NAMES[0]}$"):
        names(tmp_path, parts=("imgs", "imgs2"))


@pytest.mark.usefixtures("written")
def test_only_finished_masks_are_read_when_asked_for(tmp_path: Path) -> None:
    listed = f"masks/{NAMES[3]}.png\n\nmasks/{NAMES[0]}.png\nmasks/not_here.png\n"
    (tmp_path / "files_trainable").write_text(listed)
    (tmp_path / "masks" / f"{NAMES[4]}.png").unlink()  # unfinished: not even there
    assert names(tmp_path, trainable_only=True) == [NAMES[0], NAMES[3]]
    with pytest.raises(InputError, match=f"1 images without a mask: {NAMES[4]}"):
        names(tmp_path)


@pytest.mark.usefixtures("written")
def test_the_list_of_finished_masks_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"files_trainable: cannot be read: .*trainable_only"):
        names(tmp_path, trainable_only=True)


@pytest.mark.usefixtures("written")
def test_what_the_system_leaves_in_folders_is_not_a_frame(tmp_path: Path) -> None:
    for name in (".DS_Store", "._0000_a_10.png", "notes.txt"):
        (tmp_path / "imgs" / name).write_bytes(b"\0")
    assert names(tmp_path) == NAMES


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("imgsd",), r"imgsd: no such folder; .*part 'imgsd' \(data\.parts"),
        (("imgs",), r"masks: no such folder; .*part 'imgs'"),
    ],
)
def test_a_missing_folder_is_an_error_that_names_it(
    tmp_path: Path, parts: tuple[str, ...], message: str
) -> None:
    shutil.rmtree(tmp_path / "masks")
    with pytest.raises(InputError, match=message):
        names(tmp_path, parts=parts)


def test_the_real_sample_opens(shared_data: Path) -> None:
    dataset = open_dataset(DataConfig(root=str(shared_data / "comma10k_sample")))
    assert len(dataset) == 8
    image, label, _ = dataset[0]
    assert (image.shape, label.shape) == ((874, 1164, 3), (874, 1164))
    assert label[0].max() <= 2  # sky at the top: nothing that moves, and no part of my car
    assert (label == 0).mean() > 0.1  # and the road in front
