"""A difference -> index.html, which opens from disk, with old and new of what changed most."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2

from dashseg.curate.diff.compare import Change, Difference
from dashseg.data.dataset import Dataset
from dashseg.errors import InputError
from dashseg.files import make_folder
from dashseg.images import encode_jpeg, fitting_size, resize_image, resize_label
from dashseg.labels import Label, encode_mask, hex_colour
from dashseg.outputs import replace_folder, require_empty
from dashseg.pages import environment

MOST_PICTURES = 100  # frames: their pictures take some 30 MB
_PICTURES = "pictures"


def write_page(
    folder: Path, difference: Difference, old: Dataset, new: Dataset, most: int = MOST_PICTURES
) -> None:
    """Write index.html and pictures of the frames that changed most, whole or not at all.

    Args:
        folder: must not exist.
        old, new: the data sets that were compared.
        most: how many frames to show.

    Raises:
        InputError: `folder` exists, or cannot be written.
    """
    require_empty(folder)
    shown = [change for change in difference.changes if change.moves][:most]
    with replace_folder(folder) as temporary:
        make_folder(temporary / _PICTURES)
        rows = [
            _write_frame(temporary, number, change, difference, old, new)
            for number, change in enumerate(shown, start=1)
        ]
        html = environment("dashseg.curate.diff").get_template("diff.html").render(
            difference=difference,
            rows=rows,
            moves=difference.listed(difference.moves()),
            others=[change for change in difference.changes if not change.moves],
            left_out=sum(bool(change.moves) for change in difference.changes) - len(rows),
            classes=[
                {"name": name, "colour": hex_colour(colour)}
                for name, colour in zip(
                    difference.classes.names, difference.classes.colours, strict=True
                )
            ],
            written=datetime.now(UTC),
        )  # fmt: skip
        (temporary / "index.html").write_text(html, encoding="utf-8")


def _write_frame(
    folder: Path,
    number: int,
    change: Change,
    difference: Difference,
    old: Dataset,
    new: Dataset,
) -> dict[str, Any]:
    stem = f"{_PICTURES}/{number:04d}"
    before = old.label(old.names.index(change.name))
    index = new.names.index(change.name)
    after = new.label(index)
    size = fitting_size(*after.shape)
    row: dict[str, Any] = {
        "name": change.name,
        "pixels": change.changed,
        "share": change.changed / max(1, change.pixels),
        "moves": difference.listed(change.moves),
        "image": change.image,
        "stem": stem,
        "width": size[1],
        "height": size[0],
        "frame": True,
    }
    try:
        image = resize_image(new[index].image, size)
        (folder / f"{stem}-frame.jpg").write_bytes(encode_jpeg(image, quality=85))
    except InputError:
        row["frame"] = False  # labels can be compared without their images
    for which, label in (("old", before), ("new", after)):
        painted = encode_mask(resize_label(label, size), difference.classes)
        (folder / f"{stem}-{which}.png").write_bytes(painted)
    row["box"] = _box(before, after)
    return row


def _box(before: Label, after: Label) -> tuple[float, float, float, float]:
    """Where labels differ, in percent: left, top, width, height."""
    left, top, width, height = cv2.boundingRect((before != after).view("uint8"))
    rows, columns = after.shape
    return 100 * left / columns, 100 * top / rows, 100 * width / columns, 100 * height / rows
