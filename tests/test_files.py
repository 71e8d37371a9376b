"""Files and folders are written whole or not at all, and a refusal says which file and why."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dashseg import outputs
from dashseg.errors import InputError
from dashseg.files import (
    files_below,
    join_inside,
    make_folder,
    natural_key,
    read_json,
    read_text,
    replace_file,
    write_json,
    writing_to,
)

# Writes 100 kB to an old file and an old folder, and prints what became of them.
REPLACE_BOTH = """
import sys
from pathlib import Path
from dashseg import outputs
from dashseg.errors import InputError
from dashseg.files import replace_file
from dashseg.outputs import Record

def replace_folder(path):
    return Record(path, "test").replacing(last="part")

disk = Path(sys.argv[1])
if sys.argv[2] == "fill":
    (disk / "file").write_text("old")
    with replace_folder(disk / "folder") as temporary:
        (temporary / "part").write_text("old")
for replace, name in ((replace_file, "file"), (replace_folder, "folder")):
    try:
        with replace(disk / name) as temporary:
            target = temporary / "part" if name == "folder" else temporary
            target.write_bytes(bytes(100_000))
    except InputError as error:
        print("error:", error)
for path in sorted(disk.rglob("[!.]*")):
    print(path.relative_to(disk), path.is_file() and path.read_text())
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_names_sort_by_the_numbers_in_them() -> None:
    names = ["a10", "a2", "a02", "a1b10", "a1b9", "b", "a", "10", "9", "a" + "9" * 5000, "a²", ""]
    assert sorted(names, key=natural_key) == [
        *("", "9", "10", "a", "a1b9", "a1b10", "a02", "a2", "a10", "a" + "9" * 5000, "a²", "b")
    ]


def test_every_file_below_a_folder_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/b/c", "a/d", "e"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "broken").symlink_to("gone")
    (tmp_path / "other").symlink_to("a/b")
    os.mkfifo(tmp_path / "pipe")
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == [
        "a/b/c", "a/d", "a/self", "broken", "e", "other/c", "pipe",
    ]  # fmt: skip
    assert files_below(tmp_path / "gone") == []


def test_links_that_fan_out_and_deep_folders_end_in_an_error(tmp_path: Path) -> None:
    for level in range(28):
        (tmp_path / f"{level}").mkdir()
        for link in "ab":
            (tmp_path / f"{level}" / link).symlink_to(f"../{level + 1}")
    with pytest.raises(InputError, match="links lead to the same folders again and again"):
        files_below(tmp_path / "0")
    deep = tmp_path / "deep"
    (deep / "/".join("d" * 150)).mkdir(parents=True)
    with pytest.raises(InputError, match="more than 100 folders in each other"):
        files_below(deep)


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replace_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path, stop: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(stop), replace_file(path) as temporary:
        temporary.write_text("ne")
        raise stop
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/a.txt", "No such file or directory"),
        ("file/a.txt", "Not a directory"),
        ("a" * 254, "File name too long"),
    ],
)
def test_a_path_that_cannot_be_is_an_error_that_names_it(
    tmp_path: Path, path: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=reason) as error,
        replace_file(tmp_path / path) as temporary,
    ):
        temporary.write_text("new")
    assert str(tmp_path / path) in str(error.value)


def test_a_full_disk_is_an_error_and_leaves_the_old(
    in_small_disk: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    result = in_small_disk(REPLACE_BOTH, "fill", size="64k")
    file, folder, *rest = result.stdout.splitlines()
    assert file.startswith("error: cannot write") and "/file: No space left on device" in file
    assert folder.startswith("error: cannot write") and "/folder: No space left" in folder
    assert rest == ["file old", "folder False", "folder/part old"]
    assert result.returncode == 0, result.stderr


def test_a_read_only_disk_is_an_error(
    in_small_disk: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    result = in_small_disk(REPLACE_BOTH, "", read_only=True)
    file, folder = result.stdout.splitlines()
    assert file.startswith("error: cannot write") and "/file: Read-only file system" in file
    assert folder.startswith("error: cannot write") and "/folder: Read-only file system" in folder
    assert result.returncode == 0, result.stderr


def test_make_folder_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match=r"cannot write .*out: File exists"):
        make_folder(tmp_path / "out")
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b").is_dir()  # there already


def test_json_is_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"straße": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"straße": [1, 2.5, None]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"loss": value})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_damaged_json_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: not (valid JSON|UTF-8 text)"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", ["[" * 200_000, "9" * 5000])
def test_deep_json_and_numbers_of_5000_digits_are_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_text_is_read_from_regular_files_of_a_sane_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("é")
    assert read_text(tmp_path / "a") == "é"
    (tmp_path / "latin").write_bytes(b"\xe9")
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    for name, message in {
        "latin": "not UTF-8",
        "pipe": "a pipe, socket or device",
        "/dev/zero": "a pipe, socket or device",
        "huge": "1099511627776 bytes; at most",
        "gone": "cannot be read: No such file",
        ".": "cannot be read: Is a directory",
        "x" * 300: "cannot be read: File name too long",
        "a\0b": "cannot be read: embedded null",
    }.items():
        with pytest.raises(InputError, match=message):
            read_text(tmp_path / name)


def test_missing_json_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json: cannot be read: No such file"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["a.png", "imgs/a.png", "a..b/..c", "./a", "é\udce9.png"])
def test_names_inside_a_folder_are_joined(tmp_path: Path, name: str) -> None:
    assert join_inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../a", "a/../../b", "a/..", "/etc/passwd", "a\0b", "C:a", "c:\\a", "\\a",
        "//server/share/a", "\\\\server\\share\\a", "..\\a", "a\\..\\..\\b",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_of_a_folder_is_an_error_that_names_both(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError, match="is not a path inside this folder") as error:
        join_inside(tmp_path, name)
    assert str(error.value).startswith(f"{tmp_path}: {name!r}")


def test_links_may_stay_inside_a_folder_and_not_lead_out_of_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-2"
    (root / "real").mkdir(parents=True)
    outside.mkdir()
    for link, target in {"in": "real", "out": "../root-2", "file": "/etc/hosts"}.items():
        (root / link).symlink_to(target)
    assert join_inside(root, "in/a.png") == root / "in" / "a.png"
    (tmp_path / "alias").symlink_to(root)  # a folder that the user names by a link is no way out
    assert join_inside(tmp_path / "alias", "real/a.png") == tmp_path / "alias" / "real" / "a.png"
    for name in ("out", "out/a.png", "out/b/c.png", "file"):
        with pytest.raises(InputError, match=f"{root / name}: a symbolic link leads out of {root}"):
            join_inside(root, name)


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    gone, out = tmp_path / "out-frames" / "a.png", tmp_path / "out"
    for replace in (replace_file, outputs.replace_folder, writing_to):
        with pytest.raises(InputError) as error, replace(out):
            gone.read_bytes()
        assert str(error.value) == f"{gone}: cannot be read: No such file or directory"
    for name in ("out", "out/b.png", ".out.7.tmp/b.png"):  # relative or not, it is the output
        with pytest.raises(InputError, match=f"cannot write {out}: No such file"), writing_to(out):
            Path(os.path.relpath(tmp_path / name)).read_bytes()
