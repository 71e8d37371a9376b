"""All marks and edits as JSON; `dashseg review apply` reads it as the marks of the review."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dashseg.serving.desk.edits import Edits


def export(edits: Edits, data: str, fingerprint: str, names: Collection[str]) -> dict[str, Any]:
    """What people said and drew.

    Args:
        data: the data set's folder, as the user named it.
        fingerprint: of the frames reviewed, which marks carry.
        names: of the frames at the desk; what concerns others is left out.
    """
    marks = [mark for mark in edits.journal.marks().values() if mark.frame in names]
    return {
        "schema": 1,
        "data": data,
        "fingerprint": fingerprint,
        "edits_in": str(edits.root),
        "marks": [
            {"name": m.frame, "mark": m.verdict, "comment": m.comment, "by": m.by, "time": m.time}
            for m in marks
            if m.verdict
        ],
        "comments": [
            {"name": m.frame, "comment": m.comment, "by": m.by, "time": m.time}
            for m in marks
            if m.comment and not m.verdict
        ],
        "edits": [
            {
                "name": e.frame,
                "version": e.version,
                "by": e.by,
                "time": e.time,
                "pixels": e.pixels,
                "mask": edits.mask_name(e.frame),
            }
            for e in edits.journal.edits()
            if e.frame in names
        ],
    }
