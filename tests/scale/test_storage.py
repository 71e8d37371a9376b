"""Files in folders and in an object store."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from dashseg.errors import InputError
from dashseg.scale.storage import Storage, absolute


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage(str(tmp_path / "out"))
    return Storage(f"{request.getfixturevalue('s3')}/{tmp_path.name}")


def test_what_is_written_is_read_back(storage: Storage) -> None:
    storage.write("a/b.bin", b"0123456789")
    storage.write("a/odd name %20?.bin", b"1")
    storage.write("a/b.bin", b"abcdefghij")  # the earlier one is replaced
    assert storage.read("a/b.bin") == b"abcdefghij"
    assert storage.read("a/b.bin", 3, 4) == b"defg"
    assert storage.size("a/b.bin") == 10
    assert storage.size("a/c.bin") is None
    assert storage.names("a") == ["b.bin", "odd name %20?.bin"]
    assert Storage(storage.url("a/odd name %20?.bin")).read() == b"1"


def test_walk_lists_every_file_that_is_not_hidden_folder_by_folder(storage: Storage) -> None:
    for name in ("b/2.png", "b/1.png", "a/c/3.png", "0.png", ".git/x.png", "b/.thumb.png"):
        storage.write(name, b"12")
    storage.delete("tmp")
    assert list(storage.walk()) == [("0.png", 2), ("a/c/3.png", 2), ("b/1.png", 2), ("b/2.png", 2)]


def test_a_folder_is_deleted_with_all_in_it(storage: Storage) -> None:
    storage.write("a/b/1", b"")
    storage.write("c", b"")
    storage.delete("a")
    storage.delete("a")  # it need not be there
    assert storage.size("a/b/1") is None
    assert storage.size("c") == 0


def test_missing_files_and_folders(storage: Storage) -> None:
    with pytest.raises(InputError, match=r"a/b\.bin: no such file"):
        storage.read("a/b.bin")
    assert storage.names("nowhere") == []
    assert not Storage(storage.url("nowhere")).is_folder()


def test_it_travels_to_other_processes(storage: Storage) -> None:
    storage.write("x", b"1")
    assert pickle.loads(pickle.dumps(storage)).read("x") == b"1"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    storage.write("x", b"before")
    storage.write("y", b"")
    os.chmod(tmp_path / "tmp", 0)
    os.rmdir(tmp_path / "tmp")
    (tmp_path / "tmp").write_text("no folder: nothing can be written there")
    with pytest.raises(InputError, match="x: "):
        storage.write("x", b"after")
    assert storage.read("x") == b"before"


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "1.png").write_bytes(b"1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert list(Storage(str(tmp_path)).walk()) == [("1.png", 1)]


def test_unknown_schemes_and_missing_settings_are_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="nothing://x/y: "):
        Storage("nothing://x/y")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InputError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        Storage("az://container/x")


def test_paths_of_a_list_are_relative_to_it(tmp_path: Path) -> None:
    listing = Storage(str(tmp_path / "lists" / "a.txt"))
    assert absolute("x/1.png", listing) == str(tmp_path / "lists/x/1.png")
    assert absolute("../1.png", listing) == str(tmp_path / "1.png")
    assert absolute("/data/1.png", listing) == "/data/1.png"
    assert absolute("s3://b/1.png", listing) == "s3://b/1.png"
