"""What a class is (name, id, colour), and mask file <-> label array.

A *label* is a uint8 H×W array of class ids, 255 where a pixel is to be ignored. A *mask* is the
coloured picture that stores a label on disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.files import replace_file
from dashseg.images import encode_bgr_png, read_pixels

IGNORE = 255
UNKNOWN = 254  # marks a colour outside the palette; only `look_up` returns it

_FEW = 32  # ids that are counted one by one: as long as one histogram takes
_BAND = 64  # rows looked up at a time: their codes stay in the processor's cache

Colour = tuple[int, int, int]  # R, G, B, 0-255
Label = NDArray[np.uint8]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Classes:
    """Class names and RGB colours in id order, and how masks of this data set are read.

    Args:
        names: one name per class id.
        colours: one RGB colour per class id; what `encode_label` paints.
        aliases: further colours found in masks, each with the id it means (255 = ignore); a
            class's own colour among them means that id instead.
        stored_as: "colour" masks show the class's colour, "id" masks hold the id itself
            (8-bit grey).
        id_aliases: for "id" masks, further values and the ids they mean. UNKNOWN: the value is in
            no mask, though it is an id. 255 is ignore unless it is among them.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    aliases: Mapping[Colour, int] = field(default_factory=dict)
    stored_as: str = "colour"
    id_aliases: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.colours):
            raise InputError(
                f"a palette needs one colour per class: {len(self.names)} names,"
                f" {len(self.colours)} colours"
            )
        if len(self.names) > UNKNOWN:
            raise InputError(f"at most {UNKNOWN} classes fit in a label, not {len(self.names)}")
        if len(set(self.names)) != len(self.names):
            raise InputError("two classes share a name")
        if len(set(self.colours)) != len(self.colours):
            raise InputError("two classes share a colour: a mask could not be read back")
        if any(part not in range(256) for colour in self.colours for part in colour):
            raise InputError("a colour has three parts from 0 to 255")

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without its tables; equal classes become one object, which makes them once."""
        colours = tuple(map(tuple, self.colours))
        aliases, id_aliases = tuple(self.aliases.items()), tuple(self.id_aliases.items())
        return _unpickled, (tuple(self.names), colours, aliases, self.stored_as, id_aliases)

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """uint8 (256, 3): the RGB colour of every id; ids without a class are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colours
        return palette

    @cached_property
    def _id_of_colour(self) -> NDArray[np.uint8]:
        """uint8 (2²⁴,): class id of each colour 0xRRGGBB. 16 MB, of which a mask touches a line."""
        table = np.full(1 << 24, UNKNOWN, np.uint8)
        for class_id, colour in enumerate(self.colours):
            table[colour_code(colour)] = class_id
        for colour, class_id in self.aliases.items():
            table[colour_code(colour)] = class_id
        return table

    @cached_property
    def _id_of_value(self) -> NDArray[np.uint8]:
        """uint8 (256,): class id of each value of an "id" mask."""
        table = np.full(256, UNKNOWN, np.uint8)
        table[: len(self)] = np.arange(len(self))
        table[IGNORE] = IGNORE
        for value, class_id in self.id_aliases.items():
            table[value] = class_id
        return table


@lru_cache(maxsize=8)
def _unpickled(
    names: tuple[str, ...],
    colours: tuple[Colour, ...],
    aliases: tuple[tuple[Colour, int], ...],
    stored_as: str,
    id_aliases: tuple[tuple[int, int], ...],
) -> Classes:
    return Classes(names, colours, dict(aliases), stored_as, dict(id_aliases))


def require_same_classes(found: Classes, source: str, wanted: Classes, owner: str) -> None:
    """Check that data or a model has the classes that another has, by name and order.

    Args:
        source, owner: what error messages call the two: a path, a model's name.

    Raises:
        InputError: they differ; lists both.
    """
    if found.names != wanted.names:
        raise InputError(
            f"{source} has the classes {', '.join(found.names)}; {owner} has"
            f" {', '.join(wanted.names)}. They must be the same, in the same order"
        )


# https://github.com/commaai/comma10k: ids and colours in comma's own order.
COMMA10K = Classes(
    names=("road", "lane markings", "undrivable", "movable", "my car"),
    colours=(
        (0x40, 0x20, 0x20),
        (0xFF, 0, 0),
        (0x80, 0x80, 0x60),
        (0, 0xFF, 0x66),
        (0xCC, 0, 0xFF),
    ),
)
# The driver camera (imgsd) adds what moves inside the car.
COMMA10K_DRIVER = Classes(
    names=(*COMMA10K.names, "movable in my car"),
    colours=(*COMMA10K.colours, (0, 0xCC, 0xFF)),
)


def decode_mask(pixels: NDArray[np.uint8], classes: Classes, source: str = "mask") -> Label:
    """Turn the pixels of a mask into a label.

    Args:
        pixels: uint8 H×W×3 RGB or H×W×4 RGBA (alpha is dropped), or H×W ids when
            `classes.stored_as` is "id".
        source: what error messages call this mask, usually its path.

    Returns:
        uint8 H×W class ids.

    Raises:
        InputError: pixels outside the palette, with each colour and its pixel count.
    """
    label = look_up(pixels, classes, source)
    unknown = label == UNKNOWN
    if unknown.any():
        kind = "value" if classes.stored_as == "id" else "colour"
        strays = stored_values(pixels, classes)[unknown]
        raise InputError(_unknown_message(source, strays, kind, classes))
    return label


def look_up(pixels: NDArray[np.uint8], classes: Classes, source: str = "mask") -> Label:
    """As `decode_mask`, for masks that may be wrong: UNKNOWN where a pixel is outside the palette.

    Raises:
        InputError: colour where ids are stored, or grey where colour is.
    """
    if classes.stored_as == "id":
        if pixels.ndim != 2:
            raise InputError(f"{source}: class-id masks have one 8-bit channel, not {pixels.shape}")
        return np.take(classes._id_of_value, pixels)
    if pixels.ndim != 3:
        raise InputError(
            f"{source}: the mask has one grey channel; expected RGB in the palette of"
            f" {', '.join(classes.names)}"
        )
    label = np.empty(pixels.shape[:2], np.uint8)
    for top in range(0, len(label), _BAND):
        band = slice(top, top + _BAND)
        codes = colour_codes(pixels[band])
        np.take(classes._id_of_colour, codes, out=label[band], mode="clip")  # "raise" copies
    return label


def stored_values(pixels: NDArray[np.uint8], classes: Classes) -> NDArray[np.integer]:
    """What `look_up` looks up at each pixel: codes 0xRRGGBB, or the ids of an "id" mask."""
    return pixels if classes.stored_as == "id" else colour_codes(pixels)


def count_ids(label: Label) -> NDArray[np.int64]:
    """Pixels of each id; uint8 H×W -> (256,).

    As `np.bincount`, but 30 times as fast for a label of a few classes: 0.3 ms for 874×1164.
    """
    counts = np.zeros(256, np.int64)
    left = label.size
    for value in (*range(_FEW), IGNORE, UNKNOWN):
        counts[value] = np.count_nonzero(label == value)
        left -= counts[value]
        if left == 0:
            return counts
    return np.bincount(label.ravel(), minlength=256)


def encode_label(label: Label, classes: Classes) -> Image:
    """Paint a label: uint8 H×W ids -> uint8 H×W×3 RGB; 255 becomes black.

    Raises:
        InputError: an id that is neither a class nor 255.
    """
    return _paint(label, classes, classes.palette)


def encode_mask(label: Label, classes: Classes) -> bytes:
    """Paint a label, uint8 H×W ids -> the bytes of an 8-bit RGB PNG; 255 becomes black.

    Raises:
        InputError: as `encode_label`.
    """
    bgr = np.ascontiguousarray(classes.palette[:, ::-1])
    return encode_bgr_png(_paint(label, classes, bgr), flat=True)


def _paint(label: Label, classes: Classes, palette: NDArray[np.uint8]) -> Image:
    stray = cv2.inRange(label, len(classes), IGNORE - 1)  # a tenth of what NumPy takes
    if stray.any():
        found = label[stray > 0][0]
        raise InputError(f"label id {found} is not one of the {len(classes)} classes")
    return cv2.applyColorMap(label, palette[:, None])


def store_ids(label: Label, classes: Classes) -> Label:
    """The values of an "id" mask that `look_up` reads back as this label; uint8 H×W both.

    Raises:
        InputError: a pixel is to be ignored, and 255 is a class's value.
    """
    id_of_value, value_of_id = classes._id_of_value, np.arange(256, dtype=np.uint8)
    for value, class_id in classes.id_aliases.items():
        if id_of_value[class_id] != class_id:
            value_of_id[class_id] = value
    values = np.take(value_of_id, label)
    if not np.array_equal(np.take(id_of_value, values), label):
        raise InputError("pixels are to be ignored, and the palette has no value for that")
    return values


def read_mask(path: Path, classes: Classes) -> Label:
    """Read a mask file (RGB, RGBA or palette PNG; grey when ids are stored) as a uint8 H×W label.

    Raises:
        InputError: unreadable file, wrong depth, or a colour outside the palette.
    """
    return decode_mask(read_pixels(path), classes, source=str(path))


def write_mask(path: Path, label: Label, classes: Classes) -> None:
    """Write a label as an 8-bit RGB PNG in exactly the palette's colours, or not at all.

    Raises:
        InputError: a pixel is 255: a mask has no colour for ignore, so reading it back would fail.
    """
    if (label == IGNORE).any():
        raise InputError(
            f"{path}: {int((label == IGNORE).sum())} pixels are to be ignored,"
            " and the palette has no colour for that"
        )
    with replace_file(path) as temporary:
        temporary.write_bytes(encode_mask(label, classes))


def hex_colour(colour: Colour) -> str:
    """RGB -> "#rrggbb", as palettes and pages write it."""
    return f"#{colour_code(colour):06x}"


def parse_colour(value: Any, where: str = "") -> Colour:
    """ "#rrggbb" or [r, g, b] -> RGB.

    Raises:
        InputError: something else; begins with `where`.
    """
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        red, green, blue = bytes.fromhex(value[1:])
        return red, green, blue
    if isinstance(value, list) and len(value) == 3:
        with suppress(InputError):
            return parse_byte(value[0]), parse_byte(value[1]), parse_byte(value[2])
    shown = repr(value) if isinstance(value, str) else str(value).replace("'", "")
    raise InputError(f'{where}{shown} is not a colour; write "#rrggbb" in quotes, or [r, g, b]')


def parse_byte(value: Any) -> int:
    """A number from 0 to 255, in decimal or as 0x1f.

    Raises:
        InputError: something else.
    """
    text = str(value)
    if re.fullmatch("[0-9]{1,3}|0x[0-9a-fA-F]{1,2}", text):
        number = int(text, 16 if text.startswith("0x") else 10)
        if number <= 255:
            return number
    raise InputError(f"{value} is not an id from 0 to 255")


def colour_code(colour: Colour) -> int:
    """(R, G, B) -> 0xRRGGBB."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def colour_codes(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """uint8 H×W×3|4 RGB(A) -> uint32 H×W codes 0xRRGGBB, without widening each channel."""
    swap = cv2.COLOR_RGB2BGRA if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    bgra = cv2.cvtColor(pixels, swap)  # little-endian bytes B, G, R, A read as 0xAARRGGBB
    codes: NDArray[np.uint32] = bgra.view("<u4")[..., 0]
    codes &= 0xFFFFFF
    return codes


def _unknown_message(source: str, strays: NDArray[np.integer], kind: str, classes: Classes) -> str:
    values, counts = np.unique(strays, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:3]
    shown = ", ".join(
        f"{f'#{values[i]:06x}' if kind == 'colour' else values[i]} ({counts[i]} pixels)"
        for i in order
    )
    more = f" and {len(values) - 3} more {kind}s" if len(values) > 3 else ""
    known = ", ".join(
        f"{name} {hex_colour(colour)}" if kind == "colour" else f"{class_id} {name}"
        for class_id, (name, colour) in enumerate(zip(classes.names, classes.colours, strict=True))
    )
    return f"{source}: {kind} {shown}{more} is not in the palette ({known})"
