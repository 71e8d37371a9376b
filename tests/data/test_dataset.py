"""A data set reads frames by index, selects them by name, and has a fingerprint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from dashseg.curate.check import check
from dashseg.data import FileDataset, Frame
from dashseg.errors import InputError
from dashseg.labels import COMMA10K

NAMES = ["c", "a", "b"]
Labels = dict[str, NDArray[np.uint8]]


@pytest.fixture
def dataset(tmp_path: Path, write_comma10k: Callable[..., object]) -> FileDataset:
    write_comma10k(tmp_path / "data", NAMES)
    return over(tmp_path / "data")


def over(root: Path, names: list[str] = NAMES) -> FileDataset:
    frames = (
        Frame(name, root / "imgs" / f"{name}.png", root / "masks" / f"{name}.png") for name in names
    )
    return FileDataset(str(root), "comma10k", "all", COMMA10K, tuple(frames))


def test_frames_come_with_their_labels_and_names(dataset: FileDataset) -> None:
    assert len(dataset) == 3
    for index, name in enumerate(NAMES):
        image, label, read_name = dataset[index]
        assert read_name == name
        assert np.array_equal(image, np.asarray(PIL.Image.open(dataset.frames[index].image)))
        assert label.shape == (40, 56) and label.dtype == np.uint8
        assert np.array_equal(label, dataset.label(index))


def test_a_selection_keeps_the_data_sets_order(dataset: FileDataset) -> None:
    chosen = dataset.select(["b", "c"], "val")
    assert (chosen.names, chosen.split) == (("c", "b"), "val")
    assert chosen[1].name == "b"
    assert dataset.names == ("c", "a", "b")


def test_a_label_is_read_without_its_image(dataset: FileDataset) -> None:
    dataset.frames[0].image.unlink()
    assert dataset.label(0).shape == (40, 56)


def test_the_fingerprint_is_the_same_wherever_the_files_lie(
    dataset: FileDataset, tmp_path: Path
) -> None:
    shutil.copytree(dataset.root, tmp_path / "elsewhere")
    assert over(tmp_path / "elsewhere").fingerprint() == dataset.fingerprint()


def test_the_fingerprint_changes_with_the_frames(dataset: FileDataset) -> None:
    first = dataset.fingerprint()
    fewer = dataset.select(["a", "b"], "all").fingerprint()
    with dataset.frames[0].mask.open("ab") as file:
        file.write(b"!")
    assert len({first, fewer, dataset.fingerprint()}) == 3


def test_a_mask_of_another_size_is_an_error_that_gives_both(dataset: FileDataset) -> None:
    path = dataset.frames[1].mask
    PIL.Image.fromarray(np.full((20, 28, 3), (0x40, 0x20, 0x20), np.uint8)).save(path)
    for read in (dataset.check, lambda: dataset[1]):
        with pytest.raises(InputError, match=r"masks/a\.png: mask is 28×20, its image 56×40"):
            read()


def damaged(path: Path, how: str) -> str:
    """Spoil a picture; returns what the error has to say."""
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
        return "the file is truncated"
    if how == "empty":
        path.write_bytes(b"")
        return "the file is empty"
    if how == "text":
        path.write_text("a picture")
        return "not an image that can be read"
    if how == "16-bit":
        PIL.Image.fromarray(np.zeros((40, 56), np.uint16)).save(path)
        return "uint16 samples"
    path.unlink()
    return "cannot be read: No such file"


@pytest.mark.parametrize("which", ["image", "mask"])
@pytest.mark.parametrize("how", ["truncated", "empty", "text", "16-bit", "missing"])
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    dataset: FileDataset, which: str, how: str
) -> None:
    path: Path = getattr(dataset.frames[2], which)
    expected = damaged(path, how)
    with pytest.raises(InputError) as error:
        dataset[2]
    assert str(error.value).startswith(f"{path}: {expected}")
    assert dataset[1].name == "a"  # the others are as they were


def test_check_passes_what_fits(dataset: FileDataset) -> None:
    dataset.check()


@pytest.mark.parametrize("mask_too", [False, True])
def test_photographs_that_lie_on_their_side_fit_upright_masks(
    tmp_path: Path, write_comma10k: Callable[..., Labels], mask_too: bool
) -> None:
    """A phone stores the sensor's rows and an EXIF orientation; masks are drawn on what is seen."""
    root = tmp_path / "data"
    labels = write_comma10k(root, NAMES)
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    images = {}
    for folder in ("imgs", "masks") if mask_too else ("imgs",):
        for name in NAMES:
            path = root / folder / f"{name}.png"
            images[folder, name] = upright = np.array(PIL.Image.open(path))
            PIL.Image.fromarray(np.rot90(upright)).save(path, exif=exif)
    dataset = over(root)
    dataset.check()
    for image, label, name in (dataset[index] for index in range(len(dataset))):
        assert np.array_equal(image, images["imgs", name])
        assert np.array_equal(label, labels[name])
    assert not check(str(root), workers=1).problems


def test_check_lists_every_problem_and_counts_what_it_does_not_show(
    tmp_path: Path, write_comma10k: Callable[..., object]
) -> None:
    names = [str(i) for i in range(7)]
    write_comma10k(tmp_path, names)
    for name in names:
        (tmp_path / "imgs" / f"{name}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"7 pairs cannot be used: .*4\.png.* and 2 more$"):
        over(tmp_path, names).check()
