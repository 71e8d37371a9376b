"""Suspects -> index.html, which opens from disk, with pictures and a proposed mask for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.evaluation.pictures import encode_pictures
from dashseg.files import join_inside, make_folder
from dashseg.images import fitting_size
from dashseg.labels import Classes, hex_colour
from dashseg.pages import environment
from dashseg.review.corrections import proposed_label, write_proposal
from dashseg.review.regions import Found
from dashseg.review.suspects import Part, Shown

PAGE, PICTURES, PROPOSALS = "index.html", "pictures", "proposals"
_SHOWN_REGIONS = 5  # per frame: a mask of another frame gives many


def write_page(
    folder: Path, facts: dict[str, Any], parts: Sequence[Part], worst: Sequence[Shown]
) -> None:
    """Write index.html, pictures/ and proposals/ into `folder`.

    Args:
        facts: what review.json says.
        parts: the frames are read again from these.
        worst: the frames to show, worst first.
    """
    make_folder(folder / PICTURES)
    make_folder(folder / PROPOSALS)
    classes = parts[0].dataset.classes
    rows = [
        _write_suspect(folder, rank, shown, parts[shown.part], classes)
        for rank, shown in enumerate(worst, 1)
    ]
    about = {
        "id": _identity(facts),
        "data": facts["data"]["root"],
        "fingerprint": facts["data"]["fingerprint"],
    }
    html = (
        environment("dashseg.review", "dashseg.evaluation")
        .get_template("review.html")
        .render(
            facts=facts,
            suspects=rows,
            about=about,
            classes=[
                {"name": name, "colour": hex_colour(colour)}
                for name, colour in zip(classes.names, classes.colours, strict=True)
            ],
        )
    )
    (folder / PAGE).write_text(html, encoding="utf-8")


def proposal_path(name: str) -> str:
    """Where the proposed mask of a frame lies; folders in its name stay folders."""
    return f"{PROPOSALS}/{name}.png"


def _write_suspect(
    folder: Path, rank: int, shown: Shown, part: Part, classes: Classes
) -> dict[str, Any]:
    """Write a suspect's pictures and its proposal; returns what the page says about it."""
    suspect = shown.suspect
    image, label, name = part.dataset[shown.index]
    found, prediction = shown.found, shown.prediction
    stem = f"{PICTURES}/{rank:04d}"
    pictures = encode_pictures(image, label, prediction, classes)
    for picture in ("frame.jpg", "label.png", "prediction.png"):
        (folder / f"{stem}-{picture}").write_bytes(pictures[picture])
    proposal = join_inside(folder, proposal_path(name))
    make_folder(proposal.parent)
    write_proposal(proposal, proposed_label(label, found), classes)
    height, width = fitting_size(*label.shape)
    return {
        "rank": rank,
        "name": name,
        "score": suspect.score,
        "fold": suspect.fold,
        "pictures": stem,
        "proposal": proposal_path(name),
        "width": width,
        "height": height,
        "native_width": label.shape[1],
        "native_height": label.shape[0],
        "regions": _region_rows(found, classes),
    }


def _region_rows(found: Found, classes: Classes) -> list[dict[str, Any]]:
    return [
        {
            "drawn": classes.names[region.drawn],
            "seen": classes.names[region.seen],
            "drawn_colour": hex_colour(classes.colours[region.drawn]),
            "seen_colour": hex_colour(classes.colours[region.seen]),
            "area": region.area,
            "left": region.box.left,
            "top": region.box.top,
            "confidence": region.confidence,
            "outline": _outline(found.numbers == region.number),
        }
        for region in found.regions[:_SHOWN_REGIONS]
    ]


def _outline(mask: NDArray[np.bool_]) -> str:
    """The edges of a mask as an SVG path, in its own pixels."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    paths = []
    for contour in contours:
        points = cv2.approxPolyDP(contour, 1.0, True)[:, 0]  # one pixel off is invisible
        paths.append("M" + "L".join(f"{x} {y}" for x, y in points.tolist()) + "Z")
    return "".join(paths)


def _identity(facts: dict[str, Any]) -> str:
    """Keeps the marks of this review apart from those of other data or another model."""
    text = "\n".join([facts["data"]["root"], facts["data"]["fingerprint"], *facts["models"]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
