"""Damaged and hostile files: whatever the bytes, a reader returns or raises one line of InputError.

Hypothesis mutates sound files, and makes up texts. `HYPOTHESIS_PROFILE=long` tries fifteen times as
many.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashseg.config import DataConfig
from dashseg.config.plain_yaml import parse_yaml
from dashseg.data import open_dataset
from dashseg.data.folder import read_palette
from dashseg.data.sources import read_split
from dashseg.errors import InputError, one_line
from dashseg.files import join_inside, parse_json
from dashseg.formats import import_labels
from dashseg.formats.archive import unpacked
from dashseg.formats.class_map import read_class_map
from dashseg.formats.coco import decode_rle
from dashseg.formats.label_studio import decode_brush
from dashseg.formats.source import SourceClass
from dashseg.images import decode_pixels, image_size

settings.register_profile("short", max_examples=200)
settings.register_profile("long", max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
hostile = settings(
    deadline=None,  # no test judges a time
    derandomize=True,  # the same files on every machine
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_PIXELS = (np.mgrid[:24, :32].sum(axis=0)[..., None] * [3, 5, 7] % 251).astype(np.uint8)
_PALETTE = 'classes: {road: "#402020", car: [0, 255, 102]}\nignore: ["#000000"]\n'


def _encoded(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(_PIXELS).save(file, format, **options)
    return file.getvalue()


IMAGES = [
    _encoded("PNG"), _encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"), _encoded("WEBP"),
    _encoded("TIFF"), _encoded("BMP"),
]  # fmt: skip

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(min_size=1, max_size=6)), max_size=6
)


def mutated(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Bytes replaced, inserted, removed, doubled or cut off at a share of the length."""
    for share, kind, new in changes:
        at = int(share * len(data))
        if kind == 0:
            data = data[:at] + new + data[at + len(new) :]
        elif kind == 1:
            data = data[:at] + new + data[at:]
        elif kind == 2:
            data = data[:at] + data[at + len(new) :]
        elif kind == 3:
            data = data[:at] + data[at : at + 40] + data[at:]
        else:
            data = data[: max(at, 1)]
    return data


def tried(read: Callable[[], Any]) -> Any:
    """What `read` returns; None for an InputError, whose line can be printed."""
    try:
        return read()
    except InputError as error:
        assert one_line(error).isprintable()
        return None


@hostile
@given(st.sampled_from(IMAGES), edits)
def test_an_image_is_pixels_or_an_error(tmp_path: Path, data: bytes, changes: Any) -> None:
    data = mutated(data, changes)
    pixels = tried(lambda: decode_pixels(data, "image"))
    path = tmp_path / "a"
    path.write_bytes(data)
    size = tried(lambda: image_size(path))
    if pixels is not None:
        assert pixels.dtype == np.uint8 and size == pixels.shape[:2]


texts = st.one_of(
    st.text(max_size=60),
    st.builds(lambda changes: mutated(_PALETTE.encode(), changes).decode(errors="replace"), edits),
)


@hostile
@given(texts)
def test_a_palette_a_map_and_yaml_are_read_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "palette.yaml"
    path.write_text(text, "utf-8")
    tried(lambda: parse_yaml(text, "text"))
    tried(lambda: parse_yaml(text, "text", as_text=True))
    tried(lambda: read_palette(path))
    tried(lambda: read_class_map(str(path), (SourceClass("road", 1),), "coco"))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@hostile
@given(st.dictionaries(st.sampled_from(["train", "val", "x"]), values) | values)
def test_a_split_file_lists_names_or_is_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps(value))
    found = tried(lambda: read_split(path, ["a", "b"]))
    assert found is None or {*found["train"], *found["val"]} <= {"a", "b"}


@hostile
@given(st.text(max_size=300))
def test_json_is_a_value_or_refused(text: str) -> None:
    tried(lambda: parse_json(text, "text"))


names = st.text(st.characters(codec="utf-8"), max_size=20) | st.lists(
    st.sampled_from(["..", ".", "a", "", "/", "\\", "C:", "\0", "link", "~"]), max_size=6
).map("/".join)


@hostile
@given(names)
def test_no_name_leaves_its_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    if not (root / "link").is_symlink():
        (root / "link").symlink_to("..")
    path = tried(lambda: join_inside(root, name))
    if path is not None:
        assert Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


@hostile
@given(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), st.lists(st.integers(-3, 90)) | values)
def test_an_rle_has_the_size_that_it_says(size: tuple[int, int], counts: Any) -> None:
    mask = tried(lambda: decode_rle({"size": list(size), "counts": counts}))
    if mask is not None:
        assert mask.shape == size and mask.dtype == bool


@hostile
@given(st.text(st.characters(min_codepoint=48, max_codepoint=112), max_size=12))
def test_a_compressed_rle_never_reads_beyond_its_end(counts: str) -> None:
    mask = tried(lambda: decode_rle({"size": [5, 7], "counts": counts}))
    assert mask is None or mask.shape == (5, 7)


@hostile
@given(st.binary(max_size=40))
def test_a_brush_has_the_size_of_its_image(code: bytes) -> None:
    head = (5 * 7 * 4).to_bytes(4, "big")
    mask = tried(lambda: decode_brush(list(head + code), (5, 7)))
    assert mask is None or mask.shape == (5, 7)


def _zipped(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("in/masks/a.png", IMAGES[0])
        archive.writestr("in/classes.txt", "road\n" * 30)
    return file.getvalue()


ZIPS = [_zipped(zipfile.ZIP_DEFLATED), _zipped(zipfile.ZIP_LZMA), _zipped(zipfile.ZIP_BZIP2)]


@hostile
@given(st.sampled_from(ZIPS), edits)
def test_a_zip_is_unpacked_into_its_folder_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, changes: Any
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    (folder / "a.zip").write_bytes(mutated(data, changes))
    (folder / "out").mkdir()

    def read() -> None:
        with unpacked(folder / "a.zip", folder / "out"):
            pass

    tried(read)
    assert {path.name for path in folder.rglob("*")} == {"a.zip", "out"}


LABELS = {
    "labels.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.png", "height": 24, "width": 32}],
            "categories": [{"id": 1, "name": "road"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
            ],
        }
    ),
    "annotations.xml": '<annotations><image id="0" name="a.png" width="32" height="24">'
    '<polygon label="road" points="0,0;9,0;9,9" z_order="0"/></image></annotations>',
    "a.json": json.dumps(
        {
            "shapes": [
                {"label": "road", "points": [[0, 0], [9, 0], [9, 9]], "shape_type": "polygon"}
            ],
            "imagePath": "a.png",
            "imageData": None,
            "imageHeight": 24,
            "imageWidth": 32,
        }
    ),
}


@settings(hostile, max_examples=int(settings().max_examples / 3))
@given(st.sampled_from(list(LABELS)), edits)
def test_label_files_of_other_tools_give_a_data_set_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: Any
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    (folder / "in").mkdir()
    (folder / "in" / "a.png").write_bytes(IMAGES[0])
    (folder / "in" / name).write_bytes(mutated(LABELS[name].encode(), changes))
    if tried(lambda: import_labels(folder / "in", folder / "out", workers=1)) is None:
        assert not (folder / "out").exists()
    else:
        for image, label, _ in open_dataset(DataConfig(root=str(folder / "out"))):
            assert image.shape[:2] == label.shape == (24, 32)
