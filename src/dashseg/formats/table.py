"""The formats of other tools, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dashseg.errors import InputError
from dashseg.formats import (
    bdd100k,
    cityscapes,
    coco,
    cvat_xml,
    label_studio,
    labelme,
    mapillary,
    mask_folder,
    roboflow,
    supervisely,
    voc_masks,
    yolo,
)
from dashseg.formats.source import ReadOptions, Source
from dashseg.formats.writing import Writer


class Reader(NamedTuple):
    """How a format is read.

    Args:
        recognises: why it takes a folder or file for its own, in words; None if it does not.
        read: lists the frames.
    """

    recognises: Callable[[Path], str | None]
    read: Callable[[Path, ReadOptions], Source]


# In the order of recognition: formats with files of their own come before what any folder of
# images and masks looks like.
READERS: dict[str, Reader] = {
    "cvat-masks": Reader(voc_masks.recognises_cvat, voc_masks.read),
    "cvat": Reader(cvat_xml.recognises, cvat_xml.read),
    "voc": Reader(voc_masks.recognises, voc_masks.read),
    "idd": Reader(cityscapes.recognises_idd, cityscapes.read_idd),
    "cityscapes": Reader(cityscapes.recognises, cityscapes.read),
    "bdd100k": Reader(bdd100k.recognises, bdd100k.read),
    "mapillary": Reader(mapillary.recognises, mapillary.read),
    "supervisely": Reader(supervisely.recognises, supervisely.read),
    "roboflow": Reader(roboflow.recognises, roboflow.read),
    "yolo": Reader(yolo.recognises, yolo.read),
    "label-studio": Reader(label_studio.recognises, label_studio.read),
    "coco-panoptic": Reader(coco.recognises_panoptic, coco.read_panoptic),
    "coco": Reader(coco.recognises, coco.read),
    "labelme": Reader(labelme.recognises, labelme.read),
    "masks": Reader(mask_folder.recognises, mask_folder.read),
}

WRITERS: dict[str, Writer] = {
    "cvat-masks": Writer(voc_masks.write_frame, voc_masks.finish),
    "cvat": Writer(cvat_xml.write_frame, cvat_xml.finish),
    "coco": Writer(coco.write_frame, coco.finish),
    "labelme": Writer(labelme.write_frame, labelme.finish),
    "label-studio": Writer(label_studio.write_frame, label_studio.finish),
    "voc": Writer(voc_masks.write_frame_voc, voc_masks.finish_voc),
    "yolo": Writer(yolo.write_frame, yolo.finish),
    "masks": Writer(mask_folder.write_frame, mask_folder.finish),
}


def recognise(path: Path) -> tuple[str, str]:
    """The format of a folder or file, and why, in words.

    Raises:
        InputError: no format that is known.
    """
    for name, reader in READERS.items():
        if why := reader.recognises(path):
            return name, why
    raise InputError(
        f"{path}: no format that dashseg recognises; name it with --format: {', '.join(READERS)}"
    )
