"""What LabelMe wrote; fixtures/make_labelme.py made the files."""

import json
from pathlib import Path

import numpy as np
import pytest

import dashseg
from dashseg.errors import InputError
from dashseg.formats import import_labels

FILES = Path(__file__).parent / "fixtures" / "labelme"
NAMES = ("road", "car", "wheel", "sign", "tree")


def test_every_shape_is_drawn_where_labelme_draws_it(tmp_path):
    imported = import_labels(FILES, tmp_path / "out", workers=1)
    assert imported.format == "labelme"
    assert imported.classes.names == NAMES
    assert "1 lines and points cover no area: left out" in imported.notes
    expected = np.load(FILES / "expected.npz")
    for image, label, name in dashseg.open_dataset(str(tmp_path / "out"), split="all"):
        assert image.shape == (60, 80, 3)
        wanted = expected[name.split("/")[0]]
        for index, which in enumerate(NAMES, start=1):
            ours, theirs = label == index - 1, wanted == index
            if not theirs.any():
                continue
            both, either = (ours & theirs).sum(), (ours | theirs).sum()
            # LabelMe paints the outline too, half a pixel outside the polygon.
            assert both / either > (0.999 if which == "tree" else 0.8), (name, which)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shapes": None}, "expected a list 'shapes'"),
        ({"shapes": [{"label": "a", "points": [[1, 2]], "shape_type": "circle"}]}, "two points"),
        ({"shapes": [{"label": "a", "points": "x", "shape_type": "polygon"}]}, "shape 0"),
        ({"shapes": [{"label": "a", "points": [[0, 0], [1, 1]], "shape_type": "cube"}]}, "cube"),
        ({"imageData": "%%%"}, "imageData"),
        ({"imageData": None, "imagePath": "../frame.png"}, "missing"),
        ({"imageHeight": 61}, "60 pixels|80×61"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, change, message):
    values = json.loads((FILES / "train" / "frame.json").read_text("utf-8")) | change
    source = tmp_path / "in"
    source.mkdir()
    (source / "bad.json").write_text(json.dumps(values), "utf-8")
    with pytest.raises(InputError, match=message) as error:
        import_labels(source, tmp_path / "out", format="labelme", workers=1)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
