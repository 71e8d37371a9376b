"""A label and its suspect regions -> the mask that the model would have drawn there."""

from __future__ import annotations

from pathlib import Path

from dashseg.files import replace_file
from dashseg.images import encode_png
from dashseg.labels import IGNORE, Classes, Label, encode_label, store_ids, write_mask
from dashseg.review.regions import Found


def proposed_label(label: Label, found: Found) -> Label:
    """The label with each region in the class that the model sees there; uint8 H×W."""
    proposed = label.copy()
    for region in found.regions:
        proposed[found.numbers == region.number] = region.seen
    return proposed


def write_proposal(path: Path, label: Label, classes: Classes) -> None:
    """Write a label as a mask that `read_mask` reads back, including ignored pixels.

    Raises:
        InputError: there are such pixels and the palette has no colour for them.
    """
    if classes.stored_as == "id":
        pixels = store_ids(label, classes)
    else:
        ignored = label == IGNORE
        colours = [colour for colour, class_id in classes.aliases.items() if class_id == IGNORE]
        if not ignored.any() or not colours:
            write_mask(path, label, classes)
            return
        pixels = encode_label(label, classes)
        pixels[ignored] = colours[0]
    with replace_file(path) as temporary:
        temporary.write_bytes(encode_png(pixels, flat=True))
