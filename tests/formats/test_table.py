"""Data sets in the layouts that their publishers document, drawn small: each is read.

The label is always the same: id 0 above, id 1 below, and a strip of "does not count" at the left.
"""

import base64
import io
import json
import zlib

import numpy as np
import PIL.Image
import pytest

import dashseg
from dashseg.formats import import_labels

SIZE = (12, 16)
LABEL = np.zeros(SIZE, np.uint8)
LABEL[6:] = 1
IGNORED = np.zeros(SIZE, bool)
IGNORED[:, :3] = True


def save(path, pixels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.fromarray(pixels)
    if palette is not None:
        image = image.convert("P")
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), "utf-8")


def photograph(path):
    save(path, np.full((*SIZE, 3), 90, np.uint8))


def painted(first, second, ignored):
    """The label with these values, or colours, for its two ids and for what does not count."""
    pixels = np.array([first, second])[LABEL]
    pixels[IGNORED] = ignored
    return pixels.astype(np.uint8)


def cityscapes(root):
    for split, city in (("train", "aachen"), ("val", "bonn")):
        stem = f"{city}_000000_000019"
        photograph(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        save(root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png", painted(23, 7, 3))
        save(root / "gtFine" / split / city / f"{stem}_gtFine_instanceIds.png", painted(9, 9, 9))
    photograph(root / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png")
    return ("cityscapes", "sky", "road", ("undrivable", "road"))


def cityscapes_train_ids(root):
    for split in ("train", "val"):
        photograph(root / "leftImg8bit" / split / "x" / "x_1_2_leftImg8bit.png")
        save(root / "gtFine" / split / "x" / "x_1_2_gtFine_labelTrainIds.png", painted(10, 0, 255))
    return ("cityscapes", "sky", "road", ("undrivable", "road"))


def cityscapes_colours(root):
    for split in ("train", "val"):
        photograph(root / "leftImg8bit" / split / "x" / "x_1_2_leftImg8bit.png")
        colours = painted((70, 130, 180), (128, 64, 128), (0, 0, 0))
        save(root / "gtFine" / split / "x" / "x_1_2_gtFine_color.png", colours)
    return ("cityscapes", "sky", "road", ("undrivable", "road"))


def boxes(sky, road, ignored):
    def box(left, top, right, bottom):
        return [[left, top], [right, top], [right, bottom], [left, bottom]]

    return [
        {"label": sky, "polygon": box(0, 0, 16, 12)},
        {"label": road, "polygon": box(0, 6, 16, 12)},
        {"label": ignored, "polygon": box(0, 0, 3, 12)},
    ]


def idd(root):
    for split, drive in (("train", "0"), ("val", "7")):
        photograph(root / "leftImg8bit" / split / drive / "frame0029_leftImg8bit.jpg")
        polygons = {"imgHeight": 12, "imgWidth": 16, "objects": boxes("sky", "road", "out of roi")}
        write(root / "gtFine" / split / drive / "frame0029_gtFine_polygons.json", polygons)
    return ("idd", "sky", "road", ("undrivable", "road"))


def bdd100k(root):
    for split in ("train", "val"):
        photograph(root / "images/10k" / split / "0a.jpg")
        save(root / "labels/sem_seg/masks" / split / "0a.png", painted(10, 0, 255))
        save(root / "labels/sem_seg/colormaps" / split / "0a.png", painted(9, 9, 9))
    return ("bdd100k", "sky", "road", ("undrivable", "road"))


def bdd100k_lanes(root):
    for split in ("train", "val"):
        photograph(root / "images/100k" / split / "0a.jpg")
        drivable = np.where(LABEL, 0, 1).astype(np.uint8)
        drivable[IGNORED] = 2
        lane = np.full(SIZE, 255, np.uint8)  # every bit set: no lane here
        lane[LABEL == 0] = 0b0010_0110  # a single white line, along the road, solid
        lane[IGNORED] = 255
        save(root / "labels/drivable/masks" / split / "0a.png", drivable)
        save(root / "labels/lane/masks" / split / "0a.png", lane)
    return ("bdd100k", "single white", "direct drivable", ("lane markings", "road"))


def mapillary(root, config="config.json", labels="labels"):
    entries = [
        ("nature--sky", "Sky", True, (70, 130, 180)),
        ("construction--flat--road", "Road", True, (128, 64, 128)),
        ("void--unlabeled", "Unlabeled", False, (0, 0, 0)),
    ]
    listed = [
        {"name": name, "readable": readable, "evaluate": evaluate, "color": list(colour),
         "instances": False}
        for name, readable, evaluate, colour in entries
    ]  # fmt: skip
    write(root / config, {"labels": listed, "version": "x"})
    for split in ("training", "validation"):
        photograph(root / split / "images" / "Aa_b-1.jpg")
        palette = [colour for *_, colour in entries]
        save(root / split / labels / "Aa_b-1.png", painted(0, 1, 2), palette)
    photograph(root / "testing/images/zz.jpg")
    return ("mapillary", "nature--sky", "construction--flat--road", ("undrivable", "road"))


def mapillary_2(root):
    return mapillary(root, "config_v2.0.json", "v2.0/labels")


def roboflow(root):
    for split in ("train", "valid"):
        write(root / split / "_classes.csv", "Pixel Value, Class\n0, sky\n1, road\n2, ignore\n")
        photograph(root / split / "a_jpg.rf.0123.jpg")
        save(root / split / "a_jpg.rf.0123_mask.png", painted(0, 1, 2))
    return ("roboflow", "sky", "road", None)


def supervisely(root):
    colours = {"sky": "#4682B4", "road": "#804080", "ignore": "#000000"}
    listed = [{"title": name, "shape": "any", "color": rgb} for name, rgb in colours.items()]
    write(root / "meta.json", {"classes": listed, "tags": []})
    strip = io.BytesIO()
    PIL.Image.fromarray(np.full((12, 3), 255, np.uint8)).save(strip, "PNG")
    data = base64.b64encode(zlib.compress(strip.getvalue())).decode()
    objects = [
        {"classTitle": "sky", "geometryType": "polygon",
         "points": {"exterior": [[0, 0], [16, 0], [16, 12], [0, 12]],
                    "interior": [[[0, 6], [16, 6], [16, 12], [0, 12]]]}},
        {"classTitle": "road", "geometryType": "rectangle",
         "points": {"exterior": [[0, 6], [16, 12]], "interior": []}},
        {"classTitle": "ignore", "geometryType": "bitmap",
         "bitmap": {"origin": [0, 0], "data": data}},
        {"classTitle": "road", "geometryType": "line",
         "points": {"exterior": [[0, 0], [1, 1]], "interior": []}},
    ]  # fmt: skip
    for split in ("train", "val"):
        photograph(root / split / "img" / "a.jpg")
        annotation = {"size": {"height": 12, "width": 16}, "objects": objects}
        write(root / split / "ann" / "a.jpg.json", annotation)
    return ("supervisely", "sky", "road", None)


def voc(root):
    palette = np.zeros((256, 3), np.uint8)
    palette[[7, 15, 255]] = (128, 128, 128), (192, 128, 128), (224, 224, 192)  # car, person, void
    for split, name in (("train", "2007_000032"), ("val", "2007_000033")):
        photograph(root / "JPEGImages" / f"{name}.jpg")
        save(root / "SegmentationClass" / f"{name}.png", painted(7, 15, 255), palette)
        write(root / "ImageSets/Segmentation" / f"{split}.txt", f"{name}\n")
    write(root / "ImageSets/Segmentation/trainval.txt", "2007_000032\n2007_000033\n")
    return ("voc", "car", "person", None)


def yolo(root):
    write(root / "data.yaml", "train: images/train\nval: images/val\nnames: [sky, road, on]\n")
    lines = "0 0.1875 0 1 0 1 0.5 0.1875 0.5\n1 0.1875 0.5 1 0.5 1 1 0.1875 1\n"
    for split in ("train", "val"):
        photograph(root / "images" / split / "a.JPG")
        write(root / "labels" / split / "a.txt", lines)
    return ("yolo", "sky", "road", None)


def roboflow_coco(root):
    categories = [{"id": 0, "name": "things", "supercategory": "none"}] + [
        {"id": i, "name": name, "supercategory": "things"}
        for i, name in ((1, "sky"), (2, "road"), (3, "ignore"))
    ]
    rings = ([0, 0, 16, 0, 16, 6, 0, 6], [0, 6, 16, 6, 16, 12, 0, 12], [0, 0, 3, 0, 3, 12, 0, 12])
    areas = (96, 96, 36)
    for split in ("train", "valid"):
        photograph(root / split / "a.jpg")
        annotations = [
            {"id": i, "image_id": 4, "category_id": i + 1, "segmentation": [ring], "iscrowd": 0,
             "area": area, "bbox": [0, 0, 1, 1]}
            for i, (ring, area) in enumerate(zip(rings, areas, strict=True))
        ]  # fmt: skip
        images = [{"id": 4, "file_name": "a.jpg", "height": 12, "width": 16}]
        document = {"categories": categories, "images": images, "annotations": annotations}
        write(root / split / "_annotations.coco.json", document)
    return ("coco", "sky", "road", None)


def class_dict(root):
    """As CamVid is offered for Keras: colours, and names in a CSV file."""
    write(root / "class_dict.csv", "name,r,g,b\nSky,128,128,128\nRoad,128,64,128\nVoid,0,0,0\n")
    for split in ("train", "val"):
        photograph(root / split / "0001TP_006690.png")
        colours = painted((128, 128, 128), (128, 64, 128), (0, 0, 0))
        save(root / f"{split}_labels" / "0001TP_006690_L.png", colours)
    return ("masks", "Sky", "Road", None)


LAYOUTS = [
    cityscapes, cityscapes_train_ids, cityscapes_colours, idd, bdd100k, bdd100k_lanes, mapillary,
    mapillary_2, roboflow, supervisely, voc, yolo, roboflow_coco, class_dict,
]  # fmt: skip


def frames(root):
    return list(dashseg.open_dataset(str(root), split="all"))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_layout_is_recognised_and_read_to_the_pixel(tmp_path, layout):
    format, first, second, comma = layout(tmp_path / "in")
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "in").rglob("*"))
    imported = import_labels(tmp_path / "in", tmp_path / "out", workers=1)
    assert imported.format == format, imported.why
    assert imported.frames == {"train": 1, "val": 1}
    names = imported.classes.names
    for sample in frames(tmp_path / "out"):
        assert (sample.label[~IGNORED & (LABEL == 0)] == names.index(first)).all()
        assert (sample.label[~IGNORED & (LABEL == 1)] == names.index(second)).all()
        strip = set(sample.label[IGNORED])
        assert strip <= {255, *(names.index(n) for n in ("Void", "background") if n in names)}
    if comma:
        import_labels(tmp_path / "in", tmp_path / "comma", classes="comma10k", workers=1)
        for sample in frames(tmp_path / "comma"):
            found = dashseg.open_dataset(str(tmp_path / "comma"), split="all").classes.names
            assert found[:2] == ("road", "lane markings") and len(found) == 5
            assert [found[sample.label[0, 8]], found[sample.label[9, 8]]] == list(comma)
            assert (sample.label[IGNORED] == 255).all()
    after = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "in").rglob("*"))
    assert after == before
