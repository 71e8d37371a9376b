"""What Datumaro wrote is read to the pixel; fixtures/make_datumaro.py made the files."""

from pathlib import Path

import numpy as np
import pytest

import dashseg
from dashseg.formats import import_labels

FILES = Path(__file__).parent / "fixtures" / "datumaro"
MAP = "classes: {background: background, road: road, car: car, sky: sky}\nbackground: background\n"


@pytest.mark.parametrize(
    ("folder", "format"),
    [
        ("coco_instances", "coco"),
        ("coco_panoptic", "coco-panoptic"),
        ("cvat", "cvat"),
        ("voc_segmentation", "cvat-masks"),
    ],
)
def test_labels_are_those_that_were_written(tmp_path, folder, format):
    classes = tmp_path / "map.yaml"
    classes.write_text(MAP)
    imported = import_labels(FILES / folder, tmp_path / "out", classes=str(classes), workers=1)
    assert imported.format == format
    assert imported.frames == {"train": 1, "val": 1}
    expected = np.load(FILES / "expected.npz")
    for _, label, name in dashseg.open_dataset(str(tmp_path / "out"), split="all"):
        np.testing.assert_array_equal(label, expected[name.split("/")[0]], err_msg=name)
