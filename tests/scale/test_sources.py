"""What SRC can be."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest
from pyarrow.parquet import write_table

from dashseg.errors import InputError
from dashseg.inference.predict import find_images
from dashseg.scale.sources import rows_of
from dashseg.scale.storage import Storage


def test_names_are_those_of_one_machine(frames: Path) -> None:
    inputs = [str(frames), str(frames / "drive0/0002.png"), str(frames / "drive1/*3.png")]
    rows = {row.name: Path(row.path) for row in rows_of(inputs)}
    assert rows == find_images(inputs, [])
    assert "drive0/0002" in rows
    assert "0002" in rows


@pytest.mark.parametrize("suffix", ["txt", "csv", "parquet"])
def test_lists_name_their_rows_by_path(tmp_path: Path, suffix: str) -> None:
    paths = ["s3://bucket/drive/1.png", "/data/x/2.jpg", "sub/3.png"]
    listing = tmp_path / f"list.{suffix}"
    if suffix == "txt":
        listing.write_text("\n".join(paths) + "\n\n")
    elif suffix == "csv":
        listing.write_text("size,path\n" + "".join(f"1,{path}\n" for path in paths))
    else:
        write_table(pyarrow.table({"path": paths}), listing)
    assert [row[:2] for row in rows_of([str(listing)])] == [
        ("drive/1", "s3://bucket/drive/1.png"),
        ("data/x/2", "/data/x/2.jpg"),
        ("sub/3", str(tmp_path / "sub/3.png")),
    ]


def test_a_list_may_give_names(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("name,path\nfirst,a/1.png\nsecond/x,b/1.png\n")
    assert [row.name for row in rows_of([str(listing)])] == ["first", "second/x"]


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/..", "x" * 300])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text(f"name,path\n{name},a/1.png\n")
    with pytest.raises(InputError, match=r"list\.csv"):
        list(rows_of([str(listing)]))


def test_folders_and_lists_in_an_object_store(frames: Path, s3: str) -> None:
    bucket = Storage(f"{s3}/sources")
    for path in frames.rglob("*"):
        if path.is_file():
            bucket.write(f"in/{path.relative_to(frames)}", path.read_bytes())
    rows = {row.name: row.path for row in rows_of([bucket.url("in")])}
    assert rows.keys() == find_images([str(frames)], []).keys()
    assert rows["drive0/0002"] == f"{s3}/sources/in/drive0/0002.png"
    bucket.write("list.txt", b"in/drive0/0000.png\n")
    (row,) = rows_of([bucket.url("list.txt")])
    assert row[:2] == ("in/drive0/0000", f"{s3}/sources/in/drive0/0000.png")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("list.csv", b"file\n1.png\n", "column path"),
        ("list.parquet", b"no Parquet", "not valid Parquet"),
        ("list.txt", b"\xff\xfe\xff", "not UTF-8"),
        ("list.txt", b"\n", "no images"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        list(rows_of([str(tmp_path / name)]))


def test_nothing_there(tmp_path: Path, s3: str) -> None:
    for source in (str(tmp_path), str(tmp_path / "no"), f"{s3}/no-such-folder"):
        with pytest.raises(InputError, match="no "):
            list(rows_of([source]))
