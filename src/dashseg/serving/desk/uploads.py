"""The label that an editor sends: an 8-bit grey PNG of class ids, checked before it is decoded."""

from __future__ import annotations

import struct

import numpy as np

from dashseg.errors import InputError
from dashseg.image_header import PNG_SIGNATURE, read_header
from dashseg.images import decode_pixels
from dashseg.labels import IGNORE, Classes, Label, count_ids

_SOURCE = "the label sent"
_EIGHT_BITS, _GREY = 8, 0  # of a PNG's IHDR


def read_label(body: bytes, size: tuple[int, int], classes: Classes) -> Label:
    """Decode a label of exactly `size` (H, W).

    Raises:
        InputError: not a PNG, not 8-bit grey, of another size, damaged, or an id that is neither a
            class nor 255.
    """
    header = read_header(body) if body.startswith(PNG_SIGNATURE) else None
    if header is None or header.orientation != 1:
        raise InputError(f"{_SOURCE}: expected a PNG of class ids, stored upright")
    depth, kind = struct.unpack_from("BB", body, 24)
    if (depth, kind) != (_EIGHT_BITS, _GREY):
        raise InputError(f"{_SOURCE}: expected an 8-bit grey PNG of class ids")
    if (header.height, header.width) != size:
        raise InputError(
            f"{_SOURCE} is {header.width}×{header.height}; the frame is {size[1]}×{size[0]}"
        )
    label = decode_pixels(body, _SOURCE)
    if label.shape != size:
        raise InputError(f"{_SOURCE}: expected one grey channel of {size[1]}×{size[0]} pixels")
    unknown = np.flatnonzero(count_ids(label)[len(classes) : IGNORE])
    if unknown.size:
        raise InputError(
            f"{_SOURCE}: id {unknown[0] + len(classes)} is none of the {len(classes)} classes"
        )
    return label
