"""Masks become labels and labels masks by the palette, the whole palette and nothing but it."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.labels import (
    COMMA10K,
    COMMA10K_DRIVER,
    Classes,
    count_ids,
    decode_mask,
    encode_label,
    read_mask,
    require_same_classes,
    write_mask,
)

Array = NDArray[np.uint8]

# From comma10k's README, in its order.
COMMA = [
    ("road", "#402020"),
    ("lane markings", "#ff0000"),
    ("undrivable", "#808060"),
    ("movable", "#00ff66"),
    ("my car", "#cc00ff"),
]
COLOURS = [tuple(bytes.fromhex(colour[1:])) for _, colour in COMMA]

WRITE_MASK = """
import sys
from pathlib import Path
import numpy as np
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, write_mask

disk = Path(sys.argv[1])
label = np.random.default_rng(0).integers(0, 5, (600, 800), np.uint8)
try:
    write_mask(disk / "mask.png", label, COMMA10K)
except InputError as error:
    print(error)
print(list(disk.iterdir()))
"""


def slow_decode(pixels: Array, colours: list[tuple[int, ...]]) -> Array:
    """One colour after the other, on whole pixels: what decode_mask must agree with."""
    label = np.full(pixels.shape[:2], 99, np.uint8)
    for class_id, colour in enumerate(colours):
        label[(pixels[..., :3] == np.array(colour)).all(-1)] = class_id
    assert (label != 99).all()
    return label


def random_mask(seed: int, size: tuple[int, int] = (37, 51)) -> Array:
    return np.array(COLOURS, np.uint8)[np.random.default_rng(seed).integers(0, 5, size)]


def test_commas_classes_are_in_commas_order() -> None:
    assert [*zip(COMMA10K.names, COMMA10K.colours, strict=True)] == [
        (name, colour) for (name, _), colour in zip(COMMA, COLOURS, strict=True)
    ]


def test_the_driver_camera_has_a_sixth_class() -> None:
    assert COMMA10K_DRIVER.names == (*COMMA10K.names, "movable in my car")
    assert COMMA10K_DRIVER.colours == (*COMMA10K.colours, (0x00, 0xCC, 0xFF))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("channels", [3, 4])
def test_decoding_agrees_with_a_loop_over_colours(seed: int, channels: int) -> None:
    pixels = random_mask(seed)
    if channels == 4:
        alpha = np.random.default_rng(seed).integers(0, 256, (*pixels.shape[:2], 1), np.uint8)
        pixels = np.concatenate([pixels, alpha], -1)
    label = decode_mask(pixels, COMMA10K)
    assert label.dtype == np.uint8
    assert np.array_equal(label, slow_decode(pixels, COLOURS))


def test_real_masks_decode_as_a_loop_over_colours_does(shared_data: Path) -> None:
    paths = sorted((shared_data / "comma10k_sample" / "masks").glob("*.png"))
    assert len(paths) == 8
    for path in paths:
        pixels = np.array(PIL.Image.open(path).convert("RGB"))
        assert np.array_equal(read_mask(path, COMMA10K), slow_decode(pixels, COLOURS)), path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "P with transparency", "P of 4 bits"])
def test_masks_are_read_however_an_editor_saves_them(tmp_path: Path, mode: str) -> None:
    indices = np.random.default_rng(0).integers(0, 5, (40, 56), np.uint8)
    picture = PIL.Image.fromarray(indices, "P")
    picture.putpalette([part for colour in COLOURS for part in colour])
    options: dict[str, Any] = {}
    if mode == "P with transparency":
        options["transparency"] = 2
    elif mode == "P of 4 bits":
        options["bits"] = 4
    elif mode != "P":
        picture = picture.convert(mode)
    picture.save(tmp_path / "mask.png", **options)
    assert np.array_equal(read_mask(tmp_path / "mask.png", COMMA10K), indices)


@pytest.mark.parametrize("classes", [COMMA10K, COMMA10K_DRIVER])
def test_written_masks_pass_comma10ks_own_check(tmp_path: Path, classes: Classes) -> None:
    label = np.random.default_rng(0).integers(0, len(classes), (40, 56), np.uint8)
    write_mask(tmp_path / "mask.png", label, classes)
    picture = PIL.Image.open(tmp_path / "mask.png")
    pixels = np.array(picture)
    assert picture.format == "PNG"
    assert pixels.shape == (40, 56, 3) and pixels.dtype == np.uint8
    known = {*COLOURS, (0x00, 0xCC, 0xFF)}
    assert {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist()} <= known
    assert np.array_equal(slow_decode(pixels, [*COLOURS, (0x00, 0xCC, 0xFF)]), label)
    assert np.array_equal(read_mask(tmp_path / "mask.png", classes), label)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_unknown_colours_are_an_error_that_names_file_colours_and_counts(tmp_path: Path) -> None:
    pixels = random_mask(0)
    pixels[0, :7] = 0x12, 0x34, 0x56
    pixels[1, :9] = 0xFE, 0x00, 0x00
    PIL.Image.fromarray(pixels).save(tmp_path / "edge.png")
    with pytest.raises(InputError) as error:
        read_mask(tmp_path / "edge.png", COMMA10K)
    assert str(error.value) == (
        f"{tmp_path / 'edge.png'}: colour #fe0000 (9 pixels), #123456 (7 pixels) is not in the"
        " palette (road #402020, lane markings #ff0000, undrivable #808060, movable #00ff66,"
        " my car #cc00ff)"
    )


def test_thousands_of_unknown_colours_are_still_one_line(tmp_path: Path) -> None:
    pixels = random_mask(0)
    pixels[:10, :, 0] = np.arange(510).reshape(10, 51) % 63  # 63 reds, none of them the palette's
    pixels[:10, :, 1:] = 1
    with pytest.raises(InputError, match=r"and 60 more colours is not in") as error:
        decode_mask(pixels, COMMA10K, "mask")
    assert len(str(error.value)) < 300


def test_the_sixth_colour_is_unknown_where_there_are_five(tmp_path: Path) -> None:
    pixels = random_mask(0)
    pixels[0, 0] = 0x00, 0xCC, 0xFF
    with pytest.raises(InputError, match=r"colour #00ccff \(1 pixels\)"):
        decode_mask(pixels, COMMA10K)
    assert decode_mask(pixels, COMMA10K_DRIVER)[0, 0] == 5


def test_a_grey_mask_is_an_error_that_says_what_is_expected(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.zeros((40, 56), np.uint8)).save(tmp_path / "ids.png")
    with pytest.raises(InputError, match=r"ids\.png: the mask has one grey channel; expected RGB"):
        read_mask(tmp_path / "ids.png", COMMA10K)


def test_masks_may_hold_ids(tmp_path: Path) -> None:
    classes = Classes(("a", "b"), ((1, 1, 1), (2, 2, 2)), stored_as="id", id_aliases={7: 255})
    stored = np.array([[0, 1, 7, 255]], np.uint8)
    PIL.Image.fromarray(stored).save(tmp_path / "ids.png")
    assert read_mask(tmp_path / "ids.png", classes).tolist() == [[0, 1, 255, 255]]
    PIL.Image.fromarray(np.array([[0, 2, 2]], np.uint8)).save(tmp_path / "ids.png")
    with pytest.raises(InputError, match=r"ids\.png: value 2 \(2 pixels\) is not .*0 a, 1 b"):
        read_mask(tmp_path / "ids.png", classes)
    PIL.Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "ids.png")
    with pytest.raises(InputError, match=r"ids\.png: class-id masks have one 8-bit channel"):
        read_mask(tmp_path / "ids.png", classes)


def test_255_is_ignored_and_painted_black() -> None:
    assert encode_label(np.array([[0, 255]], np.uint8), COMMA10K).tolist() == [
        [[0x40, 0x20, 0x20], [0, 0, 0]]
    ]


def test_a_label_with_ignored_pixels_is_not_written(tmp_path: Path) -> None:
    label = np.zeros((4, 4), np.uint8)
    label[0, :3] = 255
    with pytest.raises(InputError, match=r"mask\.png: 3 pixels are to be ignored"):
        write_mask(tmp_path / "mask.png", label, COMMA10K)
    assert not list(tmp_path.iterdir())


def test_an_id_without_a_class_is_an_error() -> None:
    with pytest.raises(InputError, match="label id 5 is not one of the 5 classes"):
        encode_label(np.array([[0, 5]], np.uint8), COMMA10K)


@pytest.mark.parametrize(
    ("names", "colours", "message"),
    [
        (("a", "b"), ((0, 0, 0),), "2 names, 1 colours"),
        ((), (), "0 names"),
        (("a", "b"), ((1, 2, 3), (1, 2, 3)), "two classes share a colour"),
        (("a",), ((0, 0, 256),), "from 0 to 255"),
        (tuple(map(str, range(255))), tuple((i, 0, 0) for i in range(255)), "at most 254"),
    ],
)
def test_a_palette_that_cannot_be_read_back_is_an_error(
    names: tuple[str, ...], colours: tuple[tuple[int, int, int], ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Classes(names, colours)


def test_classes_travel_to_another_process_without_their_tables() -> None:
    palette = Classes(("a", "b"), ((0, 0, 0), (1, 2, 3)), {(9, 9, 9): 255})
    decode_mask(np.zeros((1, 1, 3), np.uint8), palette)  # makes a table of 16 MB
    sent = pickle.dumps(palette)
    assert len(sent) < 1000
    assert pickle.loads(sent) == palette
    assert pickle.loads(sent) is pickle.loads(sent)  # so that one table serves all frames
    ids = Classes(("a",), ((0, 0, 0),), stored_as="id", id_aliases={11: 255})
    assert pickle.loads(pickle.dumps(ids)) == ids


def test_a_mask_that_does_not_fit_on_the_disk_is_an_error(
    in_small_disk: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    full = in_small_disk(WRITE_MASK, size="16k").stdout.splitlines()
    assert "mask.png: No space left on device" in full[0]
    assert full[1] == "[]"
    read_only = in_small_disk(WRITE_MASK, read_only=True).stdout.splitlines()
    assert "mask.png: Read-only file system" in read_only[0]


@pytest.mark.parametrize("ids", [[0, 4, 255], [254], range(40), [31, 32], [200, 3], range(256)])
def test_ids_are_counted_as_numpy_counts_them(ids: Any) -> None:
    label = np.random.default_rng(0).choice(np.array(ids, np.uint8), (37, 53))
    expected = np.bincount(label.ravel(), minlength=256)
    assert count_ids(label).tolist() == expected.tolist()


def test_ids_of_a_single_pixel_are_counted() -> None:
    assert count_ids(np.full((1, 1), 3, np.uint8)).nonzero()[0].tolist() == [3]


def test_classes_that_differ_are_an_error_that_lists_both() -> None:
    two = Classes(("road", "car"), ((1, 2, 3), (4, 5, 6)))
    swapped = Classes(("car", "road"), two.colours)
    with pytest.raises(InputError, match=r"mine has the classes car, road; yours has road, car\."):
        require_same_classes(swapped, "mine", two, "yours")
    other = Classes(two.names, ((1, 2, 3), (7, 8, 9)))
    require_same_classes(other, "mine", two, "yours")  # colours may differ
