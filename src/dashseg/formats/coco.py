"""COCO: instances (polygons, RLE) and panoptic (PNGs of ids), and Roboflow's COCO export.

https://cocodataset.org/#format-data. An annotation file lists images, categories and annotations;
pixels that no annotation covers have no class.
"""

from __future__ import annotations

import json
import mmap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.files import join_inside
from dashseg.formats.files_of import ImageIndex, beginning, read_object
from dashseg.formats.source import (
    UNLABELLED,
    Raster,
    ReadOptions,
    Shape,
    Shapes,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.formats.writing import LabelledFrame, WriteOptions, place_image, regions
from dashseg.images import decode_pixels, read_bytes

Record = Mapping[str, Any]
_KEYS = ("images", "annotations", "categories")


def annotation_files(path: Path) -> list[Path]:
    """Annotation files in a folder: annotations/*.json, *.json, or one in each split's folder."""
    if not path.is_dir():
        return [path] if path.suffix.lower() == ".json" and _looks_like_coco(path) else []
    for pattern in ("annotations/*.json", "*.json", "*/_annotations.coco.json", "*/*.json"):
        if found := [file for file in sorted(path.glob(pattern)) if _looks_like_coco(file)]:
            return found
    return []


def recognises(path: Path) -> str | None:
    """Why a folder or file is COCO's instances, or None."""
    files = [file for file in annotation_files(path) if not _is_panoptic(file)]
    return f"{files[0].name} lists images, annotations and categories" if files else None


def recognises_panoptic(path: Path) -> str | None:
    """Why a folder or file is COCO's panoptic, or None."""
    files = [file for file in annotation_files(path) if _is_panoptic(file)]
    return f"{files[0].name} lists segments_info" if files else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames of all instance annotation files.

    Raises:
        InputError: no such file, or one of another form.
    """
    return _read(path, panoptic=False)


def read_panoptic(path: Path, options: ReadOptions) -> Source:
    """List the frames of all panoptic annotation files.

    Raises:
        InputError: no such file, or one of another form.
    """
    return _read(path, panoptic=True)


def _read(path: Path, panoptic: bool) -> Source:
    files = [file for file in annotation_files(path) if _is_panoptic(file) == panoptic]
    if not files:
        raise InputError(f"{path}: no COCO annotation file (.json with images and annotations)")
    root = path if path.is_dir() else path.parent
    images = ImageIndex(
        root, without=[folder for file in files for folder in _mask_folders(root, file)]
    )
    documents = [(file, read_object(file)) for file in files]
    classes, index_of = _categories(documents)
    frames: list[SourceFrame] = []
    problems: list[str] = []
    keypoints = unlisted = 0
    for file, document in documents:
        split = _split(file, root)
        by_image: dict[Any, list[Record]] = defaultdict(list)
        for annotation in _records(document, "annotations", file):
            by_image[annotation.get("image_id")].append(annotation)
        known = set()
        for image in _records(document, "images", file):
            name, number = image.get("file_name"), image.get("id")
            if not isinstance(name, str):
                raise InputError(f"{file}: image {number} has no file_name")
            known.add(number)
            found = by_image.get(number, [])
            try:
                size = _size(image, file)
                image_file = images.find(name, file, split)
                if panoptic:
                    label = _panoptic_label(root, file, found, index_of)
                else:
                    usable = [a for a in found if a.get("segmentation")]
                    keypoints += len(found) - len(usable)
                    label = partial(read_shapes, usable, index_of, size, str(file))
            except InputError as error:
                problems.append(str(error))
                continue
            frames.append(SourceFrame(_name(image_file, root, split), image_file, label, split))
        unlisted += sum(number not in known for number in by_image)
    notes = []
    if keypoints:
        notes.append(f"{keypoints} annotations have no segmentation (boxes, keypoints): left out")
    if unlisted:
        notes.append(f"annotations of {unlisted} images that are not listed: left out")
    return Source(classes, tuple(frames), tuple(notes), tuple(problems), ordered=False)


def read_shapes(
    annotations: Sequence[Record],
    index_of: Mapping[Any, int],
    size: tuple[int, int],
    source: str,
    frame: tuple[int, int],
) -> Shapes:
    """Annotations of one image as shapes, crowds first and large ones before small ones.

    COCO has no order of drawing. A crowd marks a region in which single objects are drawn too, and
    of two overlapping objects the smaller one is in front more often than behind.

    Raises:
        InputError: a segmentation that cannot be read.
    """
    shapes = []
    for annotation in annotations:
        try:
            shape = _shape(annotation, index_of, size)
        except InputError as error:
            raise InputError(f"{source}: annotation {annotation.get('id')}: {error}") from error
        shapes.append((not annotation.get("iscrowd"), -_covered(annotation), shape))
    shapes.sort(key=lambda entry: entry[:2])
    return Shapes([shape for *_, shape in shapes], size)


def decode_rle(code: Any, size: tuple[int, int] | None = None) -> Any:
    """COCO's RLE, compressed or not -> bool H×W.

    Args:
        size: (H, W) that it must have.

    Raises:
        InputError: of another size, or not an RLE.
    """
    try:
        height, width = (int(side) for side in code["size"])
        counts = code["counts"]
        if size is not None and (height, width) != size:
            raise InputError(f"an RLE of {width}×{height} pixels in a frame of {size[1]}×{size[0]}")
        if not 0 < height * width < 1 << 31:
            raise InputError(f"an RLE of {width}×{height} pixels")
        if isinstance(counts, list):
            runs = np.asarray(counts, np.int64)
            if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
                raise InputError(f"RLE counts that do not add up to {width}×{height} pixels")
            values = np.arange(len(runs)) % 2 == 1
            return np.repeat(values, runs).reshape(width, height).T
        text = counts.encode("ascii") if isinstance(counts, str) else counts
        if _rle_pixels(text) != height * width:  # pycocotools would read beyond the end
            raise InputError(f"RLE counts that do not add up to {width}×{height} pixels")
        return coco_mask.decode({"size": [height, width], "counts": text}).astype(bool)
    except (TypeError, KeyError, ValueError, IndexError, OverflowError) as error:
        raise InputError(f"not an RLE: {error!r}") from error


def _rle_pixels(text: bytes) -> int:
    """Pixels that a compressed RLE covers; each run is written relative to the run before last."""
    runs: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            byte = text[at] - 48
            if not 0 <= byte < 64 or shift > 30:
                raise ValueError("a character that is none of RLE's")
            value |= (byte & 31) << shift
            more = bool(byte & 32)
            at, shift = at + 1, shift + 5
            if not more and byte & 16:
                value |= -1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            raise ValueError("a negative run")
        runs.append(value)
    return sum(runs)


def write_frame(out: Path, frame: LabelledFrame, options: WriteOptions) -> dict[str, Any]:
    """Write the image; returns the frame's entry and its annotations."""
    height, width = frame.label.shape
    folder = out / "images" / frame.split if frame.split else out / "images"
    place_image(folder, frame, options)
    annotations = []
    # A region with holes is an RLE, since COCO's polygons have none.
    for region in regions(frame, options):
        if region.class_id == 255:
            continue
        left, top = region.ring.min(axis=0)
        right, bottom = region.ring.max(axis=0)
        annotations.append(
            {
                "category_id": region.class_id + 1,
                "segmentation": (
                    _rle(region, (height, width))
                    if region.holes
                    else [[_number(value) for value in region.ring.reshape(-1)]]
                ),
                "area": region.area,
                "bbox": [_number(v) for v in (left, top, right - left, bottom - top)],
                "iscrowd": 0,
                **({"score": round(frame.scores[region.class_id], 4)} if frame.scores else {}),
            }
        )
    name = f"{frame.split}/{frame.image_name}" if frame.split else frame.image_name
    return {
        "split": frame.split,
        "image": {"file_name": name, "height": height, "width": width},
        "annotations": annotations,
    }


def finish(out: Path, records: Iterator[dict[str, Any]], options: WriteOptions) -> None:
    """Write annotations/instances_SPLIT.json, one annotation at a time."""
    folder = out / "annotations"
    folder.mkdir(parents=True)
    categories = [
        {"id": index + 1, "name": name, "supercategory": ""}
        for index, name in enumerate(options.classes.names)
    ]
    numbers = {"image": 0, "annotation": 0}
    with ExitStack() as open_files:
        parts: dict[str, tuple[Any, Any]] = {}
        for record in records:
            split = record["split"] or "default"
            if split not in parts:
                parts[split] = tuple(  # type: ignore[assignment]
                    open_files.enter_context(
                        (folder / f".{split}.{part}").open("w+", encoding="utf-8")
                    )
                    for part in ("images", "annotations")
                )
            images, annotations = parts[split]
            numbers["image"] += 1
            _append(images, {"id": numbers["image"], **record["image"]})
            for annotation in record["annotations"]:
                numbers["annotation"] += 1
                ids = {"id": numbers["annotation"], "image_id": numbers["image"]}
                _append(annotations, {**ids, **annotation})
        for split, (images, annotations) in parts.items():
            with (folder / f"instances_{split}.json").open("w", encoding="utf-8") as file:
                file.write(
                    f'{{"info": {{}}, "licenses": [], "categories": {json.dumps(categories)},'
                )
                for key, part in (("images", images), ("annotations", annotations)):
                    file.write(f'\n"{key}": [\n')
                    part.seek(0)
                    for line in part:
                        file.write(line)
                    file.write("]" + ("," if key == "images" else "}\n"))
    for leftover in folder.glob(".*"):
        leftover.unlink()


def _append(file: Any, record: Record) -> None:
    file.write(("," if file.tell() else "") + json.dumps(record) + "\n")


def _rle(region: Any, size: tuple[int, int]) -> dict[str, Any]:
    from dashseg.formats.drawing import fill

    inside = fill([region.ring], size) & ~fill(list(region.holes), size)
    code = coco_mask.encode(np.asfortranarray(inside.view(np.uint8)))
    return {"size": list(size), "counts": code["counts"].decode("ascii")}


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else round(float(value), 2)


def _shape(annotation: Record, index_of: Mapping[Any, int], size: tuple[int, int]) -> Shape:
    category = annotation.get("category_id")
    if category not in index_of:
        raise InputError(f"category_id {category!r} is none of the file's categories")
    index = index_of[category]
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        return Shape(index, mask=decode_rle(segmentation, size))
    try:
        rings = tuple(np.asarray(ring, np.float64).reshape(-1, 2) for ring in segmentation)
    except (ValueError, TypeError) as error:
        raise InputError(f"not a list of polygons: {error}") from error
    return Shape(index, tuple(ring for ring in rings if len(ring)))


def _covered(annotation: Record) -> float:
    area = annotation.get("area")
    return float(area) if isinstance(area, int | float) else 0.0


def _categories(
    documents: Sequence[tuple[Path, Record]],
) -> tuple[tuple[SourceClass, ...], dict[Any, int]]:
    """Classes of all files, which must agree, and the index of each category id."""
    classes: dict[Any, SourceClass] = {}
    for file, document in documents:
        for category in _records(document, "categories", file):
            number, name = category.get("id"), category.get("name")
            if not isinstance(number, int) or not isinstance(name, str):
                raise InputError(f"{file}: a category needs an id and a name: {category!r:.80}")
            colour = category.get("color")
            rgb = tuple(colour) if isinstance(colour, list) and len(colour) == 3 else None
            entry = SourceClass(name, number, rgb)
            if classes.setdefault(number, entry).name != name:
                raise InputError(
                    f"{file}: category {number} is '{name}', elsewhere '{classes[number].name}'"
                )
    used = {
        annotation.get("category_id")
        for _, document in documents
        for annotation in document.get("annotations", [])
        if isinstance(annotation, dict)
    }
    # Roboflow writes a category 0 that only groups the others.
    grouping = {entry.name for entry in classes.values()} & {
        category.get("supercategory")
        for _, document in documents
        for category in document.get("categories", [])
    }
    kept = {
        number: entry
        for number, entry in classes.items()
        if number in used or entry.name not in grouping
    }
    return tuple(kept.values()), {number: index for index, number in enumerate(kept)}


def _panoptic_label(
    root: Path, file: Path, found: Sequence[Record], index_of: Mapping[Any, int]
) -> Any:
    if not found:
        raise InputError(f"{file}: an image without annotation")
    name = found[0].get("file_name")
    paths = [join_inside(folder, str(name)) for folder in _mask_folders(root, file)]
    mask = next((path for path in paths if path.is_file()), None)
    if mask is None:
        raise InputError(f"{file}: its mask {name} is missing in {file.with_suffix('')}")
    segments = {}
    for segment in found[0].get("segments_info") or []:
        if segment.get("category_id") not in index_of:
            raise InputError(f"{file}: segment {segment.get('id')}: no such category")
        segments[segment.get("id")] = index_of[segment["category_id"]]
    return partial(_read_panoptic, mask, segments)


def _mask_folders(root: Path, file: Path) -> list[Path]:
    """Where the PNGs of a panoptic annotation file may lie."""
    return [file.with_suffix(""), root / file.stem, root / "annotations" / file.stem]


def _read_panoptic(mask: Path, segments: Mapping[int, int], frame: tuple[int, int]) -> Raster:
    """A PNG whose colours are segment ids: R + 256 G + 256² B."""
    image = decode_pixels(read_bytes(mask), str(mask))
    if image.ndim != 3:
        raise InputError(f"{mask}: a grey image; panoptic ids are stored in colours")
    ids = image[..., :3].astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    values, inverse = np.unique(ids, return_inverse=True)
    stray = [int(value) for value in values if value != 0 and int(value) not in segments]
    if stray:
        raise InputError(f"{mask}: segment {stray[0]} is not in segments_info")
    table = np.array([segments.get(int(value), UNLABELLED) for value in values], np.uint16)
    return Raster(table[inverse].reshape(ids.shape))


def _name(image: Path, root: Path, split: str) -> str:
    """The image's path without suffix, and without the folders that only say what is in them."""
    parts = [
        part
        for part in image.relative_to(root).with_suffix("").parts
        if part.lower() not in ("images", "data") and (not split or split_called(part) != split)
    ]
    return "/".join(parts)


def _split(file: Path, root: Path) -> str:
    """instances_train2017.json -> "train"; else the folder that the file lies in."""
    for part in (*file.stem.replace("-", "_").split("_"), file.parent.name):
        if split := split_called(part.rstrip("0123456789")):
            return split
    return ""


def _size(image: Record, file: Path) -> tuple[int, int]:
    height, width = image.get("height"), image.get("width")
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise InputError(f"{file}: {image.get('file_name')}: height and width are missing")
    return height, width


def _records(document: Record, key: str, file: Path) -> list[dict[str, Any]]:
    records = document.get(key)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{file}: expected a list '{key}' of objects")
    return records


def _looks_like_coco(file: Path) -> bool:
    head = beginning(file)
    return head.startswith("{") and any(f'"{key}"' in head for key in _KEYS)


def _is_panoptic(file: Path) -> bool:
    """Whether a file lists segments; the first may come after half a GB of images."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b'"segments_info"') >= 0
