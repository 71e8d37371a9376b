"""What a run writes: a mask and an overlay of each frame, or a Parquet file of each shard."""

from __future__ import annotations

import io
from typing import Any

import pyarrow
from pyarrow.parquet import read_table, write_table

from dashseg.images import encode_png
from dashseg.inference.predict import OUTPUTS, encode
from dashseg.inference.segmenter import Result, as_array
from dashseg.inference.unsureness import softmax
from dashseg.scale.row import Row
from dashseg.scale.storage import Storage

_FOLDER = "frames"


class Files:
    """masks/NAME.png and overlays/NAME.jpg, as `predict_files` writes them."""

    largest = 128  # frames of a shard: their files are in memory at once, 0.1 to 0.5 MB a frame
    folders = tuple(OUTPUTS)  # in DST

    @staticmethod
    def encode(name: str, path: str, result: Result) -> dict[str, bytes]:
        """What is kept of a frame until its shard is done."""
        return {f"{kind}/{name}{suffix}": encode(kind, result) for kind, suffix in OUTPUTS.items()}

    @staticmethod
    def files(
        out: Storage, shard: int, rows: list[Row], made: dict[str, dict[str, bytes]]
    ) -> dict[str, bytes]:
        """Name -> bytes of the files to write, of what `encode` made of some frames of a shard."""
        return {name: data for files in made.values() for name, data in files.items()}


class Parquet:
    """frames/NUMBER.parquet, a row for each frame in the order of the plan.

    Columns: name; path; height, width; label, a PNG of class ids; shares, of each class of the
    frame's pixels; confidence, the mean probability of the class seen, before the label is
    enlarged to the frame's size.
    """

    largest = 512  # frames of a shard: a file of some 10 MB
    folders = (_FOLDER,)

    @staticmethod
    def encode(name: str, path: str, result: Result) -> dict[str, Any]:
        """As `Files.encode`: the columns."""
        height, width = result.label.shape
        return {
            "name": name,
            "path": path,
            "height": height,
            "width": width,
            "label": encode_png(result.label, flat=True),
            "shares": result.shares,
            "confidence": float(softmax(as_array(result.logits)).max(0).mean()),
        }

    @staticmethod
    def files(
        out: Storage, shard: int, rows: list[Row], made: dict[str, dict[str, Any]]
    ) -> dict[str, bytes]:
        """As `Files.files`. Rows that the file has already stay."""
        if not made:
            return {}
        file_name = f"{_FOLDER}/{shard:08d}.parquet"
        names = [name for row in rows for name in row.names()]
        if len(made) < len(names) and out.size(file_name) is not None:
            with out.open(file_name) as file:
                made = {row["name"]: row for row in read_table(file).to_pylist()} | made
        frames = [made[name] for name in names if name in made]
        buffer = io.BytesIO()
        write_table(pyarrow.Table.from_pylist(frames, _schema(frames[0])), buffer)
        return {file_name: buffer.getvalue()}


def _schema(frame: dict[str, Any]) -> pyarrow.Schema:
    shares = pyarrow.struct([(name, pyarrow.float32()) for name in frame["shares"]])
    return pyarrow.schema(
        [
            ("name", pyarrow.string()),
            ("path", pyarrow.string()),
            ("height", pyarrow.int32()),
            ("width", pyarrow.int32()),
            ("label", pyarrow.binary()),
            ("shares", shares),
            ("confidence", pyarrow.float32()),
        ]
    )


FORMATS: dict[str, Any] = {"files": Files, "parquet": Parquet}
