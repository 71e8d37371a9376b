"""dashseg data import: what it promises whatever the format."""

import json
import os
import zipfile
from typing import Any

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

import dashseg
from dashseg.cli.main import app
from dashseg.errors import InputError
from dashseg.formats import export_labels, import_labels


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)


def photograph(path, size=(8, 10)):
    save(path, np.full((*size, 3), 80))


def coco(root, names=("a", "b"), **changes):
    """A COCO data set: each image has a box of each category."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        photograph(root / f"{name}.jpg")
        images.append({"id": number, "file_name": f"{name}.jpg", "height": 8, "width": 10})
        for index in (0, 1):
            ring = [index, 0, index + 2, 0, index + 2, 8, index, 8]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": index,
                 "segmentation": [ring], "area": 16, "bbox": [], "iscrowd": 0}
            )  # fmt: skip
    listed = [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]
    document = {"images": images, "annotations": annotations, "categories": listed} | changes
    (root / "labels.json").write_text(json.dumps(document), "utf-8")
    return root


@pytest.fixture
def source(tmp_path):
    return coco(tmp_path / "in")


def one(root):
    return dashseg.open_dataset(str(root), split="all")[0]


def test_an_unmapped_class_is_an_error_that_lists_all_with_their_counts(source, tmp_path):
    (tmp_path / "map.yaml").write_text("classes: {sky: sky}")
    with pytest.raises(InputError, match=r"2 of the source's classes.*road \(2\), car \(2\)"):
        import_labels(source, tmp_path / "out", classes=str(tmp_path / "map.yaml"), workers=1)
    assert not (tmp_path / "out").exists()


def test_a_map_joins_ignores_orders_and_fills(source, tmp_path):
    (tmp_path / "map.yaml").write_text(
        "classes: {vehicle: car, ground: {from: road, colour: '#010203'}, rest: []}\n"
        "background: rest\n"
    )
    imported = import_labels(
        source, tmp_path / "out", classes=str(tmp_path / "map.yaml"), workers=1
    )
    assert imported.classes.colours[1] == (1, 2, 3)
    # ground comes later in the map, so it lies above, though car is drawn later in the source
    assert one(tmp_path / "out").label[0].tolist() == [1, 1, 0, *[2] * 7]
    assert imported.pixels == (16, 32, 112, 0)


def test_what_no_shape_covers_is_said_unless_a_background_takes_it(source, tmp_path):
    note = "pixels that no shape covers are ignored"
    plain = import_labels(source, tmp_path / "plain", workers=1)
    assert any(note in line for line in plain.notes)
    (tmp_path / "map.yaml").write_text("classes: {road: road, car: car}\nbackground: road\n")
    full = import_labels(source, tmp_path / "full", classes=str(tmp_path / "map.yaml"), workers=1)
    assert not any(note in line for line in full.notes)


def test_a_broken_file_stops_the_import_or_is_left_out_and_listed(source, tmp_path):
    (source / "b.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1 of 2 frames cannot be used .*b\.jpg"):
        import_labels(source, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    imported = import_labels(source, tmp_path / "out", skip_broken=True, workers=1)
    assert imported.frames == {"": 1}
    assert "b.jpg" in imported.skipped[0]
    assert json.loads((tmp_path / "out/import.json").read_text())["skipped"] == list(
        imported.skipped
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": "x"}, "expected a list 'images'"),
        ({"images": [{"id": 0, "file_name": "gone.jpg", "height": 8, "width": 10}]}, "is missing"),
        ({"images": [{"id": 0, "file_name": "a.jpg"}]}, "height and width are missing"),
        ({"images": [{"id": 0, "file_name": "a.jpg", "height": 9, "width": 10}]}, "10×9 pixels"),
        ({"images": [{"id": 0, "file_name": "../../etc/passwd", "height": 8, "width": 10}]}, "is"),
        ({"categories": [{"id": 0, "name": "road"}]}, "category_id 1 is none"),
        ({"categories": [{"name": 3}]}, "a category needs an id and a name"),
    ],
)
def test_a_wrong_coco_file_is_one_line(tmp_path, changes, message):
    source = coco(tmp_path / "in", **changes)
    with pytest.raises(InputError, match=message) as error:
        import_labels(source, tmp_path / "out", workers=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[0, 0, 1, 1]], "2 points"),
        ([[0, 0, 1, 1, "x", 2]], "not a list of polygons"),
        ([[50, 50, 60, 50, 60, 60]], "outside the frame of 10×8"),
        ({"size": [8, 10], "counts": [3, 4]}, "do not add up"),
        ({"size": [8, 9], "counts": [72]}, "9×8 pixels in a frame of 10×8"),
        ({"size": [8, 10], "counts": "PPYo1"}, "do not add up|not an RLE"),
        ({"size": [8, 10], "counts": "\x7f\x7f"}, "not an RLE"),
        ({"counts": [80]}, "not an RLE"),
        ({"size": [8, 10], "counts": [-1, 81]}, "do not add up"),
    ],
)
def test_a_wrong_segmentation_names_the_annotation(tmp_path, segmentation, message):
    annotation = {"id": 77, "image_id": 0, "category_id": 0, "segmentation": segmentation}
    source = coco(tmp_path / "in", annotations=[annotation])
    with pytest.raises(InputError, match=message):
        import_labels(source, tmp_path / "out", workers=1)


def test_crowds_lie_below_and_boxes_alone_are_counted(tmp_path):
    full = [0, 0, 10, 0, 10, 8, 0, 8]
    annotations = [
        {"id": 1, "image_id": 0, "category_id": 0, "segmentation": [[0, 0, 5, 0, 5, 8, 0, 8]],
         "area": 40, "iscrowd": 0},
        {"id": 2, "image_id": 0, "category_id": 1, "iscrowd": 1,
         "segmentation": {"size": [8, 10], "counts": [0, 80]}, "area": 1},
        {"id": 3, "image_id": 0, "category_id": 1, "segmentation": [], "bbox": full[:4]},
    ]  # fmt: skip
    source = coco(tmp_path / "in", names=("a",), annotations=annotations)
    imported = import_labels(source, tmp_path / "out", workers=1)
    assert one(tmp_path / "out").label[0].tolist() == [0] * 5 + [1] * 5
    assert any("1 annotations have no segmentation" in note for note in imported.notes)


@pytest.mark.parametrize("link", ["copy", "hard", "symbolic"])
def test_images_are_copied_or_linked_and_never_changed(source, tmp_path, link):
    import_labels(source, tmp_path / "out", link=link, workers=1)
    image = tmp_path / "out/images/a.jpg"
    assert image.read_bytes() == (source / "a.jpg").read_bytes()
    assert image.is_symlink() == (link == "symbolic")
    assert os.path.samefile(image, source / "a.jpg") == (link != "copy")


def test_masks_of_ids_keep_ignored_pixels(source, tmp_path):
    import_labels(source, tmp_path / "ids", masks="id", workers=1)
    import_labels(source, tmp_path / "colours", workers=1)
    ids, colours = one(tmp_path / "ids").label, one(tmp_path / "colours").label
    np.testing.assert_array_equal(ids, colours)
    assert (ids == 255).any()


def test_an_existing_folder_stays(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(InputError, match="out exists"):
        import_labels(source, tmp_path / "out")


def test_two_images_of_one_name_are_named(tmp_path):
    source = coco(tmp_path / "in", names=("x/a", "x/b"))
    document = json.loads((source / "labels.json").read_text())
    document["images"][1]["file_name"] = "x/a.jpg"
    (source / "labels.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="would both become"):
        import_labels(source, tmp_path / "out", workers=1)


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, f"{prefix}{file.relative_to(folder)}")
    return path


@pytest.mark.parametrize("prefix", ["", "export/"])
def test_a_zip_is_read_like_its_folder(source, tmp_path, prefix):
    archive = zipped(source, tmp_path / "in.zip", prefix)
    import_labels(archive, tmp_path / "zipped", workers=1)
    import_labels(source, tmp_path / "plain", workers=1)
    files = {
        root: {
            str(path.relative_to(tmp_path / root)): path.read_bytes()
            for path in (tmp_path / root).rglob("*")
            if path.is_file() and path.name != "import.json"
        }
        for root in ("zipped", "plain")
    }
    assert files["zipped"] == files["plain"]
    with pytest.raises(InputError, match="the images are inside"):
        import_labels(archive, tmp_path / "linked", link="symbolic")


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "C:\\evil.txt"])
def test_no_name_in_a_zip_leaves_its_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(InputError, match="not a path inside"):
        import_labels(tmp_path / "in.zip", tmp_path / "deep/out")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("name", ["annotations.xml", "labels.json", "a.zip", "classes.txt"])
def test_a_pipe_is_never_waited_for(tmp_path, name):
    source = tmp_path / "in"
    source.mkdir()
    os.mkfifo(source / name)
    for opened in (source, source / name):
        with pytest.raises(InputError):
            import_labels(opened, tmp_path / "out")


def test_an_empty_file_is_no_format(tmp_path):
    (tmp_path / "labels.json").touch()
    with pytest.raises(InputError, match="no format that dashseg recognises"):
        import_labels(tmp_path / "labels.json", tmp_path / "out")


def test_a_damaged_zip_and_a_missing_source_are_errors(tmp_path):
    (tmp_path / "in.zip").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(InputError, match="file that can be read"):
        import_labels(tmp_path / "in.zip", tmp_path / "out")
    with pytest.raises(InputError, match="no such file or folder"):
        import_labels(tmp_path / "gone", tmp_path / "out")


def test_the_command_says_which_format_and_why(source, tmp_path):
    result = CliRunner().invoke(
        app, ["data", "import", str(source), str(tmp_path / "out"), "--workers", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "format: coco (labels.json lists images, annotations and categories)" in result.output
    assert "2 frames in" in result.output


def test_the_command_prints_json(source, tmp_path):
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["data", "import", str(source), str(out), "--workers", "1", "--json"]
    )
    report = json.loads(result.stdout)
    assert (report["schema"], report["format"], report["frames"]) == (1, "coco", {"": 2})
    assert report == json.loads((out / "import.json").read_text())


class TestMaskFolders:
    """Any folder of images and masks."""

    GREY = np.repeat(np.array([[0, 1, 2, 255]], np.uint8), 8, axis=0).repeat(2, axis=1)

    def frame(self, image, mask, pixels=None):
        photograph(image, (8, 8))
        save(mask, self.GREY if pixels is None else pixels)

    @pytest.mark.parametrize(
        ("image", "mask"),
        [
            ("images/a.jpg", "masks/a.png"),
            ("a.jpg", "a.png"),
            ("a.jpg", "a_mask.png"),
            ("a.png", "a_L.png"),
            ("a.png", "a.mask.png"),
            ("IMG/A.JPG", "Labels/A.PNG"),
            ("data/img/x/a.png", "data/annotations/x/a_labelIds.png"),
            ("frames/a.bmp", "frames/gt/a.png"),
        ],
    )
    def test_masks_are_found_by_folder_ending_or_place(self, tmp_path, image, mask):
        self.frame(tmp_path / "in" / image, tmp_path / "in" / mask)
        imported = import_labels(tmp_path / "in", tmp_path / "out", workers=1)
        assert imported.format == "masks"
        assert imported.classes.names == ("0", "1", "2")
        assert one(tmp_path / "out").label[0].tolist() == [0, 0, 1, 1, 2, 2, 255, 255]

    def test_binary_masks_have_a_foreground(self, tmp_path):
        pixels = np.where(self.GREY == 1, 255, 0)
        self.frame(tmp_path / "in/images/a.jpg", tmp_path / "in/masks/a.png", pixels)
        imported = import_labels(tmp_path / "in", tmp_path / "out", workers=1)
        assert imported.classes.names == ("background", "foreground")
        assert (one(tmp_path / "out").label == (self.GREY == 1)).all()
        assert any("255 is taken for the foreground" in note for note in imported.notes)

    def test_ids_of_16_bits(self, tmp_path):
        photograph(tmp_path / "in/images/a.jpg", (2, 2))
        (tmp_path / "in/masks").mkdir()
        PIL.Image.fromarray(np.array([[300, 7], [7, 40_000]], np.uint16)).save(
            tmp_path / "in/masks/a.png"
        )
        imported = import_labels(tmp_path / "in", tmp_path / "out", workers=1)
        assert imported.classes.names == ("7", "300", "40000")
        assert one(tmp_path / "out").label.tolist() == [[1, 0], [0, 2]]

    def test_colours_without_a_list_become_classes_with_their_shares(self, tmp_path):
        pixels = np.zeros((8, 8, 3))
        pixels[:2] = (255, 0, 0)
        self.frame(tmp_path / "in/images/a.jpg", tmp_path / "in/masks/a.png", pixels)
        imported = import_labels(tmp_path / "in", tmp_path / "out", workers=1)
        assert imported.classes.names == ("#000000", "#ff0000")
        assert any("#000000 75.00 %, #ff0000 25.00 %" in note for note in imported.notes)

    def test_lossy_masks_are_refused_or_snapped(self, tmp_path):
        pixels = np.zeros((64, 64, 3))
        pixels[:24] = (200, 30, 30)
        photograph(tmp_path / "in/images/a.jpg", (64, 64))
        save(tmp_path / "in/masks/a.jpg", pixels, quality=60)
        with pytest.raises(InputError, match=r"1 masks are JPEGs.*a\.jpg; --snap"):
            import_labels(tmp_path / "in", tmp_path / "out", workers=1)
        (tmp_path / "in/class_dict.csv").write_text("name,r,g,b\nsky,0,0,0\ncar,200,30,30\n")
        imported = import_labels(tmp_path / "in", tmp_path / "out", snap=True, workers=1)
        assert imported.classes.names == ("sky", "car")
        assert 0 < imported.snapped < 64 * 64
        label = one(tmp_path / "out").label
        assert (label == (pixels[..., 0] > 0)).mean() > 0.98

    def test_smoothed_masks_say_what_they_hold(self, tmp_path):
        photograph(tmp_path / "in/images/a.jpg", (64, 64))
        ramp = np.dstack([np.arange(64)[None] + np.zeros((64, 1))] * 3) * [1, 2, 3]
        ramp[:, :40] = (9, 200, 9)
        save(tmp_path / "in/masks/a.png", ramp + np.arange(64)[:, None, None] % 4)
        with pytest.raises(InputError, match=r"the masks hold \d+ colours"):
            import_labels(tmp_path / "in", tmp_path / "out", workers=1)

    def test_lists_of_names_are_the_split(self, tmp_path):
        for name in "abc":
            self.frame(tmp_path / f"in/images/{name}.jpg", tmp_path / f"in/masks/{name}.png")
        (tmp_path / "in/train.txt").write_text("a\nimages/b.jpg\n")
        (tmp_path / "in/val.txt").write_text("c.jpg\n")
        imported = import_labels(tmp_path / "in", tmp_path / "out", workers=1)
        assert imported.frames == {"train": 2, "val": 1}

    def test_grey_and_colour_masks_together_are_an_error(self, tmp_path):
        self.frame(tmp_path / "in/images/a.jpg", tmp_path / "in/masks/a.png")
        colours = np.zeros((8, 8, 3))
        colours[0] = (1, 2, 3)
        self.frame(tmp_path / "in/images/b.jpg", tmp_path / "in/masks/b.png", colours)
        with pytest.raises(InputError, match="some masks hold ids"):
            import_labels(tmp_path / "in", tmp_path / "out", workers=1)

    def test_a_mask_without_an_image_is_named(self, tmp_path):
        self.frame(tmp_path / "in/images/a.jpg", tmp_path / "in/masks/a.png")
        save(tmp_path / "in/masks/lost.png", self.GREY)
        with pytest.raises(InputError, match=r"lost\.png: a mask without an image"):
            import_labels(tmp_path / "in", tmp_path / "out", workers=1)

    def test_a_folder_of_pictures_alone_is_not_recognised(self, tmp_path):
        photograph(tmp_path / "in/a.jpg")
        with pytest.raises(InputError, match="no format that dashseg recognises"):
            import_labels(tmp_path / "in", tmp_path / "out", workers=1)


@pytest.mark.parametrize("format", ["coco", "labelme"])
def test_real_masks_come_back_to_the_pixel(shared_data, tmp_path, format):
    frames = dashseg.open_dataset(str(shared_data / "comma10k_sample"), split="all")
    frames = frames.select(frames.names[:3], "three")
    export_labels(frames, tmp_path / "there", format, images="symbolic")
    import_labels(tmp_path / "there", tmp_path / "back", link="symbolic")
    back = dashseg.open_dataset(str(tmp_path / "back"), split="all")
    assert len(back) == 3
    names = back.classes.names
    for sample, expected in zip(back, frames, strict=True):
        ids = np.array([frames.classes.names.index(name) for name in names], np.uint8)
        np.testing.assert_array_equal(ids[sample.label], expected.label)
