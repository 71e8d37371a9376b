"""A data set written in another tool's format and read back is the same, to the pixel."""

import itertools

import cv2
import numpy as np
import pytest

import dashseg
from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.formats import WRITERS, export_labels, import_labels
from dashseg.images import encode_png

SIZE = (60, 90)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Six frames of three classes and pixels to ignore, in two splits and in sub-folders."""
    root = tmp_path_factory.mktemp("frames")
    (root / "palette.yaml").write_text(
        'classes: {road: "#402020", car: "#00ff66", sky: "#80c0ff"}\nignore: ["#000000"]\n'
    )
    colours = np.array([(64, 32, 32), (0, 255, 102), (128, 192, 255), (0, 0, 0)], np.uint8)
    rng = np.random.default_rng(0)
    for split, (index, drive) in itertools.product(
        ("train", "val"), enumerate(("a", "a", "drive b"))
    ):
        small = rng.integers(0, 4, (6, 9)).astype(np.uint8)
        label = cv2.medianBlur(cv2.resize(small, SIZE[::-1], interpolation=0), 7)
        label[::7, ::5] = 1
        image = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        for kind, pixels in (("images", image), ("masks", colours[label])):
            folder = root / kind / split / drive
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{split}-{index}.png").write_bytes(encode_png(pixels))
    return open_dataset(DataConfig(root=str(root)))


@pytest.mark.parametrize("format", WRITERS)
def test_a_data_set_comes_back_to_the_pixel(frames, tmp_path, format):
    exported = export_labels(frames, tmp_path / "there", format, workers=1)
    assert exported.frames == len(frames) == 6
    classes = None
    if format == "cvat-masks":  # its name for what nobody labelled
        classes = tmp_path / "map.yaml"
        classes.write_text("classes: {road: road, car: car, sky: sky}\nignore: [background]\n")
    imported = import_labels(
        tmp_path / "there", tmp_path / "back", classes=classes and str(classes), workers=1
    )
    assert imported.format == format
    back = dashseg.open_dataset(str(tmp_path / "back"), split="all")
    assert sorted(back.classes.names) == sorted(frames.classes.names)
    originals = {name.split("/")[-1]: (image, label) for image, label, name in frames}
    ids = np.full(256, 255, np.uint8)
    for index, name in enumerate(back.classes.names):
        ids[index] = frames.classes.names.index(name)
    assert len(back) == 6
    for image, label, name in back:
        expected_image, expected = originals[name.split("/")[-1]]
        np.testing.assert_array_equal(image, expected_image)
        np.testing.assert_array_equal(ids[label], expected, err_msg=f"{format}: {name}")
    for split in ("train", "val"):
        assert len(dashseg.open_dataset(str(tmp_path / "back"), split=split)) == 3
