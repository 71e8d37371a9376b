"""Label Studio's brushes, polygons and people; fixtures/make_label_studio.py made the brushes."""

import json
from pathlib import Path

import numpy as np
import pytest

import dashseg
from dashseg.errors import InputError
from dashseg.formats import import_labels
from dashseg.formats.label_studio import decode_brush, encode_brush
from dashseg.images import encode_png

CASES = json.loads(
    (Path(__file__).parent / "fixtures" / "label_studio" / "brush.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_brushes_of_label_studios_own_converter_are_read_to_the_pixel(case):
    mask = np.array(case["mask"], bool)
    np.testing.assert_array_equal(decode_brush(case["rle"], mask.shape), mask)
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), mask.shape), mask)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rle: rle[:-3], "ends too early"),
        (lambda rle: rle[:2], "ends too early"),
        (lambda rle: [9, *rle[1:]], "RGBA pixels have"),
        (lambda rle: [*rle[:-1], 300], "list of bytes"),
        (lambda rle: "text", "list of bytes"),
    ],
)
def test_a_damaged_brush_is_an_error(damage, message):
    with pytest.raises(InputError, match=message):
        decode_brush(damage(CASES[0]["rle"]), (40, 50))


def result(kind, value, name, **more):
    return {
        "id": name, "type": kind, "from_name": "label", "to_name": "image", "original_width": 100,
        "original_height": 50, "image_rotation": 0, "value": {**value, kind: [name]}, **more,
    }  # fmt: skip


POLYGON = result("polygonlabels", {"points": [[0, 50], [100, 50], [100, 100], [0, 100]]}, "road")
BOX = result("rectanglelabels", {"x": 10, "y": 20, "width": 20, "height": 20}, "car")
DISC = result("ellipselabels", {"x": 80, "y": 20, "radiusX": 5, "radiusY": 10}, "sign")


@pytest.fixture
def export(tmp_path):
    def export(*annotations, url="/data/upload/3/0a1b2c3d-a%20b.png", **task):
        source = tmp_path / "in"
        source.mkdir(exist_ok=True)
        (source / "a b.png").write_bytes(encode_png(np.zeros((50, 100, 3), np.uint8)))
        tasks = [{"id": 1, "data": {"image": url}, "annotations": list(annotations), **task}]
        (source / "project-1.json").write_text(json.dumps(tasks))
        return source

    return export


def only_label(root):
    (sample,) = dashseg.open_dataset(str(root), split="all")
    return sample.label


def test_shapes_are_drawn_in_percent_of_the_image(export, tmp_path):
    source = export({"id": 1, "completed_by": 1, "result": [POLYGON, BOX, DISC]})
    imported = import_labels(source, tmp_path / "out", workers=1)
    assert imported.format == "label-studio"
    assert imported.classes.names == ("road", "car", "sign")
    label = only_label(tmp_path / "out")
    assert (label[25:] == 0).all()
    assert (label == 1).sum() == 20 * 10 and (label[10:20, 10:30] == 1).all()
    assert (label == 2).sum() == pytest.approx(np.pi * 25, rel=0.1)
    assert label[10, 80] == 2 and label[0, 0] == 255


def test_the_newest_annotation_counts_or_one_persons(export, tmp_path):
    source = export(
        {"id": 1, "completed_by": {"email": "a@x"}, "updated_at": "2026-02", "result": [POLYGON]},
        {"id": 2, "completed_by": {"email": "b@x"}, "updated_at": "2026-01", "result": [BOX]},
        {"id": 3, "completed_by": 7, "updated_at": "2026-03", "was_cancelled": True, "result": []},
    )
    assert import_labels(source, tmp_path / "1", workers=1).classes.names == ("road",)
    found = import_labels(source, tmp_path / "2", annotator="b@x", workers=1)
    assert found.classes.names == ("car",)
    with pytest.raises(InputError, match="none of its 1 tasks has an annotation of c@x"):
        import_labels(source, tmp_path / "3", annotator="c@x", workers=1)


def test_an_export_whose_data_come_after_a_long_brush_is_recognised(export, tmp_path):
    source = export({"id": 1, "result": [BOX]})
    file = source / "project-1.json"
    (task,) = json.loads(file.read_text())
    task["annotations"][0]["result"][0]["meta"] = {"text": ["x" * 100_000]}
    file.write_text(
        json.dumps([{"id": 1, "annotations": task["annotations"], "data": task["data"]}])
    )
    assert import_labels(source, tmp_path / "out", workers=1).format == "label-studio"


def test_an_export_as_png_is_recognised_and_says_what_to_do(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "task-6-annotation-6-by-1-label-road-0.png").write_bytes(b"")
    with pytest.raises(InputError, match="export as JSON"):
        import_labels(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    "url", ["/data/local-files/?d=some/where/a b.png", "s3://bucket/x/a%20b.png", "a b.png"]
)
def test_an_image_is_found_by_the_name_in_its_url(export, tmp_path, url):
    source = export({"id": 1, "result": [BOX]}, url=url)
    assert sum(import_labels(source, tmp_path / "out", workers=1).frames.values()) == 1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (result("rectanglelabels", {"x": 1, "y": 2}, "car"), "cannot be read"),
        ({**BOX, "image_rotation": 90}, "turned"),
        ({**BOX, "original_width": 90}, "several sizes|for 90×50"),
        ({**BOX, "value": {"rectanglelabels": []}}, "has no label"),
    ],
)
def test_a_wrong_result_is_one_line(export, tmp_path, broken, message):
    source = export({"id": 1, "result": [broken]})
    with pytest.raises(InputError, match=message):
        import_labels(source, tmp_path / "out", workers=1)


def test_a_missing_image_is_named(export, tmp_path):
    source = export({"id": 1, "result": [BOX]}, url="/data/upload/1/deadbeef-other.png")
    with pytest.raises(InputError, match=r"image other\.png is missing"):
        import_labels(source, tmp_path / "out", workers=1)
