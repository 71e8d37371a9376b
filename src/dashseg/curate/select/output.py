"""Picks -> picks.csv, a folder of the frames, and a page with pictures that says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.curate.select.choose import Pick
from dashseg.errors import InputError
from dashseg.files import join_inside, make_folder, printable, replace_file, require_new, writing_to
from dashseg.images import encode_jpeg, encode_png, fitting_size, resize_image
from dashseg.labels import Image
from dashseg.outputs import replace_folder, require_empty
from dashseg.pages import environment
from dashseg.tables import table_writer

MOST_PICTURES = 200  # frames on the page: their pictures take some 30 MB
_PICTURES = "pictures"

Frames = Iterator[tuple[int, Image | InputError]]  # index of a pick, its frame
# A frame -> its overlay, uint8 H×W×3 RGB, and how unsure the model is, float32 (h, w), 0 to 1.
Look = Callable[[Image], tuple[Image, NDArray[np.float32]]]


def check_outputs(out: Path, *folders: Path | None) -> None:
    """Raise InputError unless the outputs are new and differ from each other."""
    require_new(out)
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder")
    given = [folder for folder in folders if folder is not None]
    for folder in given:
        require_empty(folder)
    if len({path.resolve() for path in (out, *given)}) <= len(given):
        raise InputError("--out, --copy and --page: name a different place for each")


def rows(picks: Sequence[Pick]) -> list[dict[str, Any]]:
    """The table's rows; numbers are rounded to six digits."""
    return [
        {
            "rank": rank,
            "name": printable(pick.candidate.name),
            "source": printable(pick.candidate.source),
            "frame": pick.candidate.frame,
            "group": printable(pick.group) or None,
            "score": round(pick.candidate.score, 6),
            "unsure": round(pick.candidate.unsure, 6),
            "worst": round(pick.candidate.worst, 6),
            **dict(zip(("left", "top", "right", "bottom"), pick.candidate.box, strict=True)),
            "distance": None if pick.distance is None else round(pick.distance, 6),
            "nearest": None if pick.nearest is None else printable(pick.nearest),
            "why": why(pick),
        }
        for rank, pick in enumerate(picks, start=1)
    ]


def why(pick: Pick) -> str:
    """In words: how unsure the model is of the frame, and how far it is from the others."""
    text = f"more unsure than {pick.share:.0%} of the frames"
    if pick.distance is None or pick.nearest is None:
        return f"{text}; the first pick"
    nearest = printable(pick.nearest)
    return f"{text}; {pick.distance:.2f} from {nearest}, the nearest one labelled or picked"


def write_table(path: Path, picks: Sequence[Pick]) -> None:
    """Write picks.csv, whole or not at all."""
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        write = table_writer(file)
        for index, row in enumerate(rows(picks)):
            if index == 0:
                write(row)
            write("" if value is None else value for value in row.values())


def copied(folder: Path, picks: Sequence[Pick], frames: Frames, problems: list[str]) -> Frames:
    """Yield `frames` as they come, and copy each: image files as they are, video frames as PNG.

    Args:
        folder: appears when all frames were taken from this generator.
        problems: gets what could not be copied, and why.

    Raises:
        InputError: `folder` exists or cannot be written.
    """
    with replace_folder(folder) as temporary:
        for index, image in frames:
            candidate = picks[index].candidate
            suffix = ".png" if candidate.frame is not None else Path(candidate.source).suffix
            target = join_inside(temporary, candidate.name + suffix)
            make_folder(target.parent)
            if isinstance(image, InputError):
                problems.append(str(image))
            elif target.exists():
                problems.append(f"{candidate.source}: another frame is also called {target.name}")
            elif candidate.frame is not None:
                target.write_bytes(encode_png(image))
            else:
                with writing_to(target):
                    shutil.copyfile(candidate.source, target)
            yield index, image


def write_page(
    folder: Path, picks: Sequence[Pick], frames: Frames, look: Look, facts: dict[str, Any]
) -> None:
    """Write index.html with pictures of the first picks, whole or not at all.

    Args:
        facts: how many frames were "seen" and "labelled", and "by" what they were chosen.

    Raises:
        InputError: `folder` exists or cannot be written.
    """
    with replace_folder(folder) as temporary:
        make_folder(temporary / _PICTURES)
        sizes = {
            index: _write_pictures(temporary, index, image, look)
            for index, image in frames
            if index < MOST_PICTURES and not isinstance(image, InputError)
        }
        shown = [
            {**row, "size": sizes[index], "stem": f"{_PICTURES}/{index + 1:04d}"}
            for index, row in enumerate(rows(picks))
            if index in sizes
        ]
        html = environment("dashseg.curate.select").get_template("picks.html").render(
            picks=shown, count=len(picks), facts=facts, written=datetime.now(UTC)
        )  # fmt: skip
        (temporary / "index.html").write_text(html, encoding="utf-8")


def _write_pictures(folder: Path, index: int, image: Image, look: Look) -> tuple[int, int]:
    """The frame, what the model sees in it, and where it is unsure; returns the frame's size."""
    overlay, unsure = look(image)
    size = fitting_size(*image.shape[:2])
    heat = cv2.applyColorMap((255 * np.clip(unsure, 0, 1)).astype(np.uint8), cv2.COLORMAP_INFERNO)
    pictures = {"frame": image, "seen": overlay, "unsure": heat[..., ::-1]}
    for name, picture in pictures.items():
        small = resize_image(np.ascontiguousarray(picture), size)
        path = folder / _PICTURES / f"{index + 1:04d}-{name}.jpg"
        path.write_bytes(encode_jpeg(small, quality=85))
    return int(image.shape[0]), int(image.shape[1])
