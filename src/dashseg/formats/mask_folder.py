"""Any folder of images and masks: ids, colours or palettes, side by side or in parallel trees.

Images and masks pair up by name. A mask is known by its folder (masks/, labels/, …), by the end of
its name (_mask, _L, _labelIds, …), or as the PNG beside a JPEG of the same name. Splits are folders
(train/, val/, …) or lists of names (train.txt, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashseg.data.dataset import listed
from dashseg.data.folder import read_palette, split_called
from dashseg.errors import InputError
from dashseg.files import join_inside, write_text
from dashseg.formats.files_of import read_lines, read_table, split_of
from dashseg.formats.masks import by_colour, by_id, read_colours, read_ids
from dashseg.formats.source import ReadOptions, Source, SourceClass, SourceFrame
from dashseg.formats.writing import LabelledFrame, WriteOptions, place_image
from dashseg.images import decode_any_depth, encode_png, image_files, read_bytes
from dashseg.labels import colour_codes
from dashseg.parallel import in_processes

_MASK_FOLDERS = {
    "mask", "masks", "label", "labels", "annotation", "annotations", "annot", "gt", "groundtruth",
    "ground_truth", "seg", "segmentation", "segmentations", "segmentationclass", "semantic",
    "labels_colored", "colormaps", "masks_machine",
}  # fmt: skip
_IMAGE_FOLDERS = {
    "image",
    "images",
    "img",
    "imgs",
    "frames",
    "frame",
    "rgb",
    "jpegimages",
    "photos",
}
_ENDING = re.compile(
    r"[._-](mask|masks|l|label|labels|labelids|labeltrainids|gt|seg|segmentation|annotation)$",
    re.IGNORECASE,
)
_FOLDER_ENDING = re.compile(r"(?<=.)([_-](labels?|masks?|gt|annotations?)|annot)$", re.IGNORECASE)
_MOST_COLOURS = 64  # more are edges mixed from two colours, or a photograph
_COMMON = 0.002  # share of the pixels that makes a colour a class's, where masks are lossy
_LISTS = ("", "splits", "ImageSets/Segmentation", "ImageSets")


class Pair(NamedTuple):
    """An image and its mask."""

    name: str
    split: str
    image: Path
    mask: Path


class _Found(NamedTuple):
    """The values in one mask: ids, or colours as 0xRRGGBB."""

    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    colour: bool
    lossy: bool


def recognises(path: Path) -> str | None:
    """Why a folder is taken for this layout, or None."""
    if not path.is_dir():
        return None
    pairs, _ = find_pairs(path)
    if not pairs:
        return None
    mask = pairs[0].mask.relative_to(path)
    return f"{len(pairs)} images have a mask, such as {mask}"


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames, and find the classes in the masks' own values or in a list beside them.

    Raises:
        InputError: no pairs; masks of several kinds, of too many colours, or lossy.
    """
    pairs, problems = find_pairs(path)
    if not pairs:
        raise InputError(f"{path}: no image has a mask of its name")
    masks = [pair.mask for pair in pairs]
    found: list[_Found] = []
    usable: list[Pair] = []
    for pair, result in zip(pairs, in_processes(_values, masks), strict=True):
        if isinstance(result, str):
            problems.append(result)
        else:
            found.append(result)
            usable.append(pair)
    if not usable:
        raise InputError(f"{path}: no mask can be read: {listed(problems)}")
    if len({one.colour for one in found}) > 1:
        grey = next(pair for pair, one in zip(usable, found, strict=True) if not one.colour)
        colour = next(pair for pair, one in zip(usable, found, strict=True) if one.colour)
        raise InputError(
            f"{path}: some masks hold ids ({grey.mask}), others colours ({colour.mask})"
        )
    lossy = [pair.mask for pair, one in zip(usable, found, strict=True) if one.lossy]
    if lossy and not options.snap:
        raise InputError(
            f"{path}: {len(lossy)} masks are JPEGs, whose colours are not exact: {lossy[0]}; --snap"
            " brings each pixel to the nearest palette colour"
        )
    counts: dict[int, int] = {}
    for one in found:
        for value, count in zip(one.values.tolist(), one.counts.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
    colours = found[0].colour
    classes, notes = _classes(path, counts, colours, options.snap)
    label = (
        partial(read_colours, by_colour(classes), snap=options.snap)
        if colours
        else partial(read_ids, by_id(classes))
    )
    frames = tuple(
        SourceFrame(pair.name, pair.image, partial(label, pair.mask), pair.split) for pair in usable
    )
    return Source(classes, frames, notes, tuple(problems))


def write_frame(out: Path, frame: LabelledFrame, options: WriteOptions) -> None:
    """Write the image, and its mask as ids: 255 where a pixel is to be ignored."""
    place_image(out / "images" / frame.split, frame, options)
    mask = join_inside(out / "masks" / frame.split, f"{frame.name}.png")
    mask.parent.mkdir(parents=True, exist_ok=True)
    mask.write_bytes(encode_png(frame.label, flat=True))


def finish(out: Path, records: Iterator[None], options: WriteOptions) -> None:
    """Write classes.txt: one name a line, in the order of their ids."""
    for _ in records:
        pass
    write_text(out / "classes.txt", "".join(name + "\n" for name in options.classes.names))


def find_pairs(root: Path) -> tuple[list[Pair], list[str]]:
    """Pairs of image and mask, by name, and one line for each mask without an image.

    Images without a mask are not labelled yet; they are no problem.
    """
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    files = image_files(root)
    photographs = {
        path.with_suffix("") for path in files if path.suffix.lower() in (".jpg", ".jpeg")
    }
    problems = []
    for path in files:
        key, is_mask = _key(path.relative_to(root))
        beside = path.suffix.lower() == ".png" and path.with_suffix("") in photographs
        side = masks if is_mask or beside else images
        if key in side:
            problems.append(f"{side[key]} and {path} have the same name: keep one of them")
        else:
            side[key] = path
    lists = _lists(root)
    pairs = []
    for key in sorted(masks):
        if key not in images:
            problems.append(f"{masks[key]}: a mask without an image")
            continue
        split, name = split_of(PurePosixPath(key))
        split = split or lists.get(name, lists.get(PurePosixPath(name).name, ""))
        pairs.append(Pair(name, split, images[key], masks[key]))
    return (pairs, problems) if pairs else ([], [])


def _key(path: Path) -> tuple[str, bool]:
    """What an image and its mask share, and whether this is the mask."""
    is_mask = False
    folders = []
    for part in path.parts[:-1]:
        plain = part.lower()
        if plain in _MASK_FOLDERS:
            is_mask = True
        elif ending := _FOLDER_ENDING.search(part):
            is_mask = True
            folders.append(part[: ending.start()])
        else:
            folders.append("" if plain in _IMAGE_FOLDERS else part)
    stem = path.name[: -len(path.suffix)]
    if ending := _ENDING.search(stem):
        is_mask = True
        stem = stem[: ending.start()]
    return PurePosixPath(*(part for part in folders if part), stem).as_posix(), is_mask


def _lists(root: Path) -> dict[str, str]:
    """Name -> split, from lists of names such as train.txt."""
    found: dict[str, str] = {}
    for folder in _LISTS:
        for path in sorted((root / folder).glob("*.txt")):
            split = split_called(path.stem)
            if split is None:
                continue
            for line in read_lines(path):
                name = line.split()[0] if line.split() else ""
                if name:
                    plain = PurePosixPath(name)
                    known = plain.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tif")
                    key, _ = _key(Path(plain)) if known else (plain.as_posix(), False)
                    found[split_of(PurePosixPath(key))[1]] = split
    return found


def _values(mask: Path) -> _Found | str:
    """The values in a mask; a problem in words."""
    try:
        pixels = decode_any_depth(read_bytes(mask), str(mask))
    except InputError as error:
        return str(error)
    lossy = mask.suffix.lower() in (".jpg", ".jpeg")
    if pixels.ndim == 2:
        if pixels.dtype not in (np.uint8, np.uint16):
            return f"{mask}: {pixels.dtype} pixels; masks of ids have 8 or 16 bits"
        return _Found(*_unique(pixels), colour=False, lossy=lossy)
    if pixels.dtype != np.uint8:
        return f"{mask}: {pixels.dtype} colours; masks in colours have 8 bits per channel"
    if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        return _Found(*_unique(pixels[..., 0] * np.int64(0x010101)), colour=True, lossy=lossy)
    return _Found(*_unique(colour_codes(pixels)), colour=True, lossy=lossy)


def _unique(values: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found, counts = np.unique(values, return_counts=True)
    return found.astype(np.int64), counts.astype(np.int64)


def _classes(
    root: Path, counts: dict[int, int], colours: bool, snap: bool
) -> tuple[tuple[SourceClass, ...], tuple[str, ...]]:
    """Classes from a list of names beside the masks, else from the values found in them."""
    listed_classes, where = _listed_classes(root)
    if colours:
        if any(entry.colour for entry in listed_classes):
            return listed_classes, (f"classes: {where}",)
        return _classes_of_colours(root, counts, snap)
    if snap and len(counts) > 2:
        raise InputError(f"{root}: --snap needs masks in colours; these are grey")
    values = sorted(counts)
    names = {e.id: e.name for e in listed_classes if e.id is not None}
    notes = [f"classes: {where}"] if names else []
    if values == [0, 255] and 255 not in names:
        notes.append(
            "masks hold 0 and 255: 255 is taken for the foreground; a --classes MAP.yaml names both"
        )
        names = {0: names.get(0, "background"), 255: names.get(1, "foreground")}
        return tuple(SourceClass(names[value], value) for value in values), tuple(notes)
    if 255 in values and 255 not in names:
        notes.append(
            "255 is taken for ignore; a --classes MAP.yaml that names it decides otherwise"
        )
    unnamed = [value for value in values if names and value not in names and value != 255]
    if unnamed:
        raise InputError(f"{root}: masks hold the ids {listed(list(map(str, unnamed)))}, which"
                         f" {where} does not name")  # fmt: skip
    classes = tuple(
        SourceClass(names.get(value, str(value)), value, ignore=value == 255 and 255 not in names)
        for value in (sorted({*values, *names}) if names else values)
    )
    return classes, tuple(notes)


def _classes_of_colours(
    root: Path, counts: dict[int, int], snap: bool
) -> tuple[tuple[SourceClass, ...], tuple[str, ...]]:
    total = sum(counts.values())
    order = sorted(counts, key=lambda code: -counts[code])
    if len(order) > _MOST_COLOURS and not snap:
        shown = ", ".join(f"#{code:06x} {100 * counts[code] / total:.1f} %" for code in order[:12])
        raise InputError(
            f"{root}: the masks hold {len(order)} colours, as smoothed edges and lossy files do;"
            f" the commonest: {shown}. --snap keeps those of {100 * _COMMON:.1f} % or more, and"
            " brings the other pixels to the nearest of them"
        )
    kept = [code for code in order if not snap or counts[code] >= _COMMON * total]
    classes = tuple(
        SourceClass(f"#{code:06x}", colour=(code >> 16, code >> 8 & 255, code & 255))
        for code in kept
    )
    shares = ", ".join(f"#{code:06x} {100 * counts[code] / total:.2f} %" for code in kept)
    return classes, (
        f"no list of classes: each colour became one, named by its colour ({shares}); a"
        " --classes MAP.yaml gives them names",
    )


def _listed_classes(root: Path) -> tuple[tuple[SourceClass, ...], str]:
    """Names, ids and colours from a list beside the masks, and which file that was."""
    for path in sorted(root.iterdir()):
        name = path.name.lower()
        if name in ("classes.txt", "labels.txt", "codes.txt", "class_names.txt"):
            lines = read_lines(path)
            return tuple(SourceClass(n, i) for i, n in enumerate(lines)), path.name
        if name in ("class_dict.csv", "class_dict_seg.csv", "classes.csv"):
            return _csv_classes(path), path.name
        if name == "palette.yaml":
            return _palette_classes(path), path.name
    return (), ""


def _csv_classes(path: Path) -> tuple[SourceClass, ...]:
    """name, r, g, b: as data sets for Keras and the Semantic Segmentation Suite have it."""
    rows = read_table(path)
    classes = []
    for index, row in enumerate(rows[1:]):
        try:
            red, green, blue = (int(cell) for cell in row[1:4])
        except ValueError:
            raise InputError(
                f"{path}: line {index + 2}: expected name, r, g, b: {','.join(row)}"
            ) from None
        classes.append(SourceClass(row[0].strip(), index, (red, green, blue)))
    return tuple(classes)


def _palette_classes(path: Path) -> tuple[SourceClass, ...]:
    classes = read_palette(path)
    named = zip(classes.names, classes.colours, strict=True)
    return (
        *(SourceClass(name, index, colour) for index, (name, colour) in enumerate(named)),
        *(SourceClass("ignore", None, colour, ignore=True) for colour in classes.aliases),
    )
