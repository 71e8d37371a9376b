"""Label Studio's JSON: brushes, polygons, ellipses and boxes.

https://labelstud.io/guide/export. Positions are percent of the image's size; a brush is an RLE of
the RGBA pixels, whose alpha is the mask. Results are drawn in the order in which they are listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.files import read_json, write_text
from dashseg.formats.drawing import ellipse
from dashseg.formats.files_of import MAX_LABELS, ImageIndex, beginning, split_of
from dashseg.formats.source import (
    ReadOptions,
    Shape,
    Shapes,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.formats.writing import LabelledFrame, WriteOptions, place_image
from dashseg.labels import IGNORE, hex_colour

Record = Mapping[str, Any]
_KINDS = ("brushlabels", "polygonlabels", "ellipselabels", "rectanglelabels")
_RUN_BITS = (3, 4, 8, 16)  # sizes of a run's length that Label Studio's own encoder uses
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts this before an uploaded file's name


def recognises(path: Path) -> str | None:
    """Why a folder or file is Label Studio's, or None."""
    file = _file(path)
    if file:
        return f"{file.name} lists tasks with data and annotations"
    return "task-*-annotation-*.png are its masks" if _brush_pngs(path) else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the tasks that have annotations.

    Raises:
        InputError: no such file, or of another form.
    """
    file = _file(path)
    if file is None and _brush_pngs(path):
        raise InputError(
            f"{path}: Label Studio's export as PNG does not say which image a mask belongs to:"
            " export as JSON, and put the file beside the images"
        )
    if file is None:
        raise InputError(f"{path}: no JSON export of Label Studio (tasks with data, annotations)")
    images = ImageIndex(path if path.is_dir() else path.parent)
    classes: dict[str, SourceClass] = {}
    chosen: list[tuple[Path, str, list[Record]]] = []
    problems: list[str] = []
    unlabelled = 0
    for task in read_json(file, MAX_LABELS):
        try:
            results = _results(task, options.annotator)
            if results is None:
                unlabelled += 1
                continue
            url = _image_url(task, file)
            image = _find(images, url, str(file))
        except InputError as error:
            problems.append(str(error))
            continue
        drawn = [result for result in results if result.get("type") in _KINDS]
        for result in drawn:
            name = _class_of(result)
            classes.setdefault(name, SourceClass(name))
        chosen.append((image, f"{file}: task {task.get('id')}", drawn))
    index_of = {name: index for index, name in enumerate(classes)}
    root = path if path.is_dir() else path.parent
    frames = []
    for image, where, drawn in chosen:
        plain = [part for part in image.relative_to(root).with_suffix("").parts if part != "images"]
        split, name = split_of(PurePosixPath(*plain))
        frames.append(SourceFrame(name, image, partial(_read, where, drawn, index_of), split))
    if not frames and not problems:
        who = f" of {options.annotator}" if options.annotator else ""
        raise InputError(f"{file}: none of its {unlabelled} tasks has an annotation{who}")
    notes = []
    if unlabelled:
        notes.append(f"{unlabelled} tasks have no annotation: left out")
    return Source(tuple(classes.values()), tuple(frames), tuple(notes), tuple(problems))


def write_frame(out: Path, frame: LabelledFrame, options: WriteOptions) -> dict[str, Any]:
    """Write the image; returns the frame's task."""
    folder = out / "images" / frame.split if frame.split else out / "images"
    place_image(folder, frame, options)
    height, width = frame.label.shape
    results = []
    scores = []
    for class_id in np.unique(frame.label).tolist():
        name = "ignore" if class_id == IGNORE else options.classes.names[class_id]
        result = {
            "id": f"{frame.index}-{class_id}",
            "type": "brushlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": encode_brush(frame.label == class_id),
                "brushlabels": [name],
            },
        }
        if frame.scores is not None and class_id != IGNORE:
            result["score"] = round(frame.scores[class_id], 4)
            scores.append(frame.scores[class_id])
        results.append(result)
    name = f"{frame.split}/{frame.image_name}" if frame.split else frame.image_name
    task: dict[str, Any] = {"data": {"image": options.image_root + name}}
    if options.model:
        score = round(float(np.mean(scores)), 4) if scores else None
        prediction = {"model_version": options.model, "result": results}
        task["predictions"] = [prediction if score is None else {**prediction, "score": score}]
    else:
        task["annotations"] = [{"result": results}]
    return task


def finish(out: Path, records: Iterator[dict[str, Any]], options: WriteOptions) -> None:
    """Write tasks.json, one task at a time, and the labelling interface that it needs."""
    with (out / "tasks.json").open("w", encoding="utf-8") as file:
        file.write("[")
        for number, record in enumerate(records):
            file.write(("," if number else "") + "\n" + json.dumps(record, ensure_ascii=False))
        file.write("\n]\n")
    named = [*zip(options.classes.names, map(hex_colour, options.classes.colours), strict=True)]
    labels = "\n".join(
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>"
        for name, colour in [*named, ("ignore", "#000000")]
    )
    write_text(
        out / "interface.xml",
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}\n  </BrushLabels>\n</View>\n',
    )


def decode_brush(code: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A brush's RLE -> bool H×W.

    The stream of bits: the number of values (32 bits), bits per value less one (5), four sizes of
    runs less one (4 each); then runs: 1 bit whether one value is repeated, 2 bits which size, the
    length less one, and the value or values.

    Raises:
        InputError: damaged, or of another size.
    """
    height, width = size
    try:
        data = bytes(code)
    except (ValueError, TypeError) as error:
        raise InputError(f"its RLE is not a list of bytes: {error}") from error
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    at = 0

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise InputError("its RLE ends too early")
        value = int.from_bytes(np.packbits(bits[at : at + count]).tobytes(), "big")
        at += count
        return value >> (-count % 8)

    count = take(32)
    if count != height * width * 4:
        raise InputError(f"its RLE holds {count} values; {width}×{height} RGBA pixels have"
                         f" {height * width * 4}")  # fmt: skip
    word = take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint32)
    done = 0
    while done < count:
        repeated = take(1)
        end = done + 1 + take(sizes[take(2)])
        if end > count:
            raise InputError("its RLE holds more values than it says")
        if repeated:
            values[done:end] = take(word)
        else:
            values[done:end] = [take(word) for _ in range(end - done)]
        done = end
    return values.reshape(height, width, 4)[..., 3] > 0


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """bool H×W -> the RLE that `decode_brush` reads."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = np.diff(starts, append=len(flat)) * 4  # R, G, B and A are equal
    parts = [f"{flat.size * 4:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _RUN_BITS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        while length:
            part = min(length, 1 << _RUN_BITS[-1])
            which = next(i for i, size in enumerate(_RUN_BITS) if part <= 1 << size)
            parts.append(f"1{which:02b}{part - 1:0{_RUN_BITS[which]}b}{value}")
            length -= part
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _read(
    where: str, results: Sequence[Record], index_of: Mapping[str, int], frame: tuple[int, int]
) -> Shapes:
    shapes = []
    sizes = set()
    for result in results:
        try:
            if result.get("image_rotation"):
                raise InputError("the image was turned in Label Studio")
            size = int(result["original_height"]), int(result["original_width"])
            sizes.add(size)
            shapes.append(_shape(result, index_of[_class_of(result)], size))
        except InputError as error:
            raise InputError(f"{where}: result {result.get('id')}: {error}") from error
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"{where}: result {result.get('id')} cannot be read: {error!r}"
            ) from error
    if len(sizes) > 1:
        raise InputError(f"{where}: its results are for images of several sizes")
    return Shapes(shapes, sizes.pop() if sizes else None)


def _shape(result: Record, index: int, size: tuple[int, int]) -> Shape:
    value = result["value"]
    scale = np.array([size[1] / 100, size[0] / 100])
    kind = result["type"]
    if kind == "brushlabels":
        return Shape(index, mask=decode_brush(value["rle"], size))
    if kind == "polygonlabels":
        return Shape(index, (np.asarray(value["points"], np.float64).reshape(-1, 2) * scale,))
    turn = float(value.get("rotation") or 0)
    x, y = np.array([value["x"], value["y"]], np.float64) * scale
    if kind == "ellipselabels":
        radius_x, radius_y = np.array([value["radiusX"], value["radiusY"]], np.float64) * scale
        return Shape(index, (ellipse(x, y, radius_x, radius_y, turn),))
    width, height = np.array([value["width"], value["height"]], np.float64) * scale
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))  # around the top left corner
    box = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    return Shape(index, (box @ np.array([[cos, sin], [-sin, cos]]) + (x, y),))


def _class_of(result: Record) -> str:
    value = result.get("value")
    names = value.get(result.get("type")) if isinstance(value, dict) else None
    if not isinstance(names, list) or not names:
        raise InputError(f"result {result.get('id')} has no label")
    return str(names[0])


def _results(task: Any, annotator: str | None) -> list[Record] | None:
    """The results of the newest annotation, or of one person's newest; None without one."""
    if not isinstance(task, dict):
        raise InputError(f"a task is not an object: {task!r:.60}")
    made = [
        one
        for one in task.get("annotations") or task.get("completions") or []
        if isinstance(one, dict) and not one.get("was_cancelled") and not one.get("skipped")
    ]
    if annotator is not None:
        made = [one for one in made if annotator in _people(one)]
    if not made:
        return None
    newest = max(made, key=lambda one: (str(one.get("updated_at") or ""), _order(one)))
    results = newest.get("result")
    return [r for r in results if isinstance(r, dict)] if isinstance(results, list) else []


def _people(annotation: Record) -> tuple[str, ...]:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        return tuple(str(who.get(key)) for key in ("email", "id", "username"))
    return (str(who),)


def _order(annotation: Record) -> int:
    number = annotation.get("id")
    return number if isinstance(number, int) else 0


def _image_url(task: Record, file: Path) -> str:
    data = task.get("data")
    urls = [v for v in data.values() if isinstance(v, str)] if isinstance(data, dict) else []
    if isinstance(data, dict) and isinstance(data.get("image"), str):
        return str(data["image"])
    if len(urls) != 1:
        raise InputError(f"{file}: task {task.get('id')}: its data names no image")
    return urls[0]


def _find(images: ImageIndex, url: str, source: str) -> Path:
    """The image of a URL: an upload, a local file, or one on a server, by its file name."""
    parts = urlsplit(url)
    local = parse_qs(parts.query).get("d")
    name = local[0] if local else unquote(parts.path)
    try:
        return images.find(name, source)
    except InputError:
        plain = PurePosixPath(name)
        if not _UPLOADED.match(plain.name):
            raise
        return images.find(_UPLOADED.sub("", plain.name), source)


def _brush_pngs(path: Path) -> bool:
    return any(path.glob("task-*-annotation-*-by-*.png"))


def _file(path: Path) -> Path | None:
    candidates = sorted(path.glob("*.json")) if path.is_dir() else [path]
    for file in candidates:
        head = beginning(file) if file.suffix.lower() == ".json" else ""
        # A long brush may come before the task's data.
        if head.startswith("[") and re.search(
            r'"(annotations|completions|predictions)".*"result"|"data".*"annotations"',
            head,
            re.DOTALL,
        ):
            return file
    return None
