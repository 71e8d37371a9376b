"""A label and its suspect regions -> the mask that the model would have drawn there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
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


def mend(
    pixels: NDArray[np.uint8], drawn: Label, label: Label, classes: Classes, source: str
) -> NDArray[np.uint8]:
    """A mask's pixels with those changed where its label is to be another.

    All others keep their own colour or id, such as one of CamVid's 32. A changed pixel gets what
    the nearest unchanged pixel of its class has, else the first that the palette has for it.

    Args:
        pixels: uint8 H×W ids, or H×W×3 RGB or H×W×4 RGBA, whose alpha is dropped.
        drawn: uint8 H×W, the label that `pixels` store.
        label: uint8 H×W, the label wanted.
        source: what error messages call it.

    Raises:
        InputError: pixels to ignore, and the palette has no colour or value for that.
    """
    mended = np.array(pixels[..., :3] if pixels.ndim == 3 else pixels, order="C")
    changed = label != drawn
    for new in np.unique(label[changed]).tolist():
        here = changed & (label == new)
        same = (drawn == new) & ~changed
        if same.any():  # of several colours of a class, the one that lies nearest
            _, nearest = cv2.distanceTransformWithLabels(
                (~same).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
            )
            stored = np.zeros((nearest.max() + 1, *mended.shape[2:]), np.uint8)
            stored[nearest[same]] = mended[same]
            mended[here] = stored[nearest[here]]
        else:
            mended[here] = _stored(new, classes, source)
    return mended


def _stored(class_id: int, classes: Classes, source: str) -> Any:
    """How the data set's masks store a class: its first colour there, or its id."""
    if classes.stored_as == "id":
        return store_ids(np.array([[class_id]], np.uint8), classes)[0, 0]
    others = (colour for colour, own in classes.aliases.items() if own == class_id)
    colour = next(others, None if class_id == IGNORE else classes.colours[class_id])
    if colour is None:
        raise InputError(f"{source}: pixels to ignore, and the palette has no colour for that")
    return colour
