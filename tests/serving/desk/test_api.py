"""The desk over HTTP: two people at once, marks, and bodies made to harm."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.cli import main
from dashseg.serving.desk import api

from .conftest import Editor, OpenDesk, pixels, png, state_of

SIZE = 40, 56


@pytest.fixture
def ann(open_desk: OpenDesk, comma: Path, tmp_path: Path) -> Editor:
    return open_desk(comma, tmp_path / "out")


def test_a_stale_save_is_told_whose_the_newest_version_is_and_both_stay(ann: Editor) -> None:
    bob = Editor(ann.client, "Bob")
    drawn = ann.label(0)
    theirs, mine = drawn.copy(), drawn.copy()
    theirs[:3], mine[-3:] = 4, 4
    saved = bob.save(0, theirs, 0)
    assert saved.headers["ETag"] == '"1"'
    answer = ann.save(0, mine, 0)
    assert answer.status_code == 409
    assert answer.json()["version"] == 1
    assert answer.json()["edited_by"] == "Bob"
    assert answer.json()["edited_at"] == saved.json()["edited_at"]
    assert np.array_equal(ann.label(0, 1), theirs)
    merged = theirs.copy()
    merged[-3:] = 4
    assert ann.save(0, merged, 1).json()["version"] == 2
    for version, label in (("drawn", drawn), (0, drawn), (1, theirs), ("current", merged)):
        assert np.array_equal(ann.label(0, version), label)
    assert [(v["version"], v["by"]) for v in ann.get("/frames/0/history")] == [
        (0, ""), (1, "Bob"), (2, "Ann"),
    ]  # fmt: skip
    item = ann.get("/frames/0")
    assert (item["version"], item["edited_by"]) == (2, "Ann")
    assert (item["width"], item["height"]) == (56, 40)


def test_of_saves_at_one_moment_one_wins_and_none_is_mixed(ann: Editor, tmp_path: Path) -> None:
    answers: dict[int, Any] = {}
    barrier = threading.Barrier(5)

    def save(class_id: int) -> None:
        barrier.wait()
        label = np.full(SIZE, class_id, np.uint8)
        answers[class_id] = Editor(ann.client, f"editor {class_id}").save(0, label, 0)

    threads = [threading.Thread(target=save, args=(class_id,)) for class_id in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(answer.status_code for answer in answers.values())
    assert codes == [200, 409, 409, 409, 409]
    winner = next(k for k, answer in answers.items() if answer.status_code == 200)
    assert (ann.label(0) == winner).all()
    mask = pixels((tmp_path / "out" / "masks" / "0001.png").read_bytes())
    assert len(np.unique(mask.reshape(-1, 3), axis=0)) == 1


def test_a_save_whose_answer_got_lost_can_be_sent_again(ann: Editor) -> None:
    label = np.zeros(SIZE, np.uint8)
    assert ann.save(0, label, 0).json() == ann.save(0, label, 0).json()
    assert len(ann.get("/frames/0/history")) == 2
    assert Editor(ann.client, "Bob").save(0, label, 0).status_code == 409
    assert ann.save(0, label, 1).json()["version"] == 2


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises more than anyone wants to decode."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


GREY = np.zeros(SIZE, np.uint8)
TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


NO_LABELS = [
    b"", b"hello", png(GREY)[:20], png(GREY)[:-40], png(GREY)[:33] + b"\0" * 200,
    png(GREY.T), png(np.zeros((1, 1), np.uint8)), bomb(60_000, 60_000), bomb(56, 40),
    bomb(0, 0), bomb(1 << 31, 1 << 31), png(np.zeros((*SIZE, 3), np.uint8)),
    png(np.zeros(SIZE, np.uint16)), png(np.zeros(SIZE, bool)), png(GREY + 5), png(GREY + 254),
    png(GREY, exif=TURNED), png(GREY + 255),
]  # fmt: skip
NO_VERSIONS = [None, "0", '"x"', "*", '"0", "1"', 'W/"0"', '"-1"']


def test_what_is_no_label_of_the_frame_changes_nothing(ann: Editor, tmp_path: Path) -> None:
    before = state_of(tmp_path / "out" / "masks")
    for body in NO_LABELS:
        answer = ann.send(0, body, {"If-Match": '"0"'})
        assert answer.status_code == 422, body
        assert "\n" not in answer.json()["detail"]
    for match in NO_VERSIONS:  # a save says which version it was drawn on
        headers = {} if match is None else {"If-Match": match}
        assert ann.send(0, png(GREY), headers).status_code == 428, match
    for name in ("", "  ", "a\nb", "\0", "x" * 101):  # and who saves
        nobody = Editor(ann.client, name)
        assert nobody.save(0, GREY, 0).status_code == 422, name
        assert nobody.mark(0, "right").status_code == 422, name
    assert ann.get("/frames/0/history") == []
    assert ann.get("/frames/0")["mark"] is None
    assert state_of(tmp_path / "out" / "masks") == before


def test_a_body_too_large_is_refused_while_it_arrives(
    ann: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MAX_LABEL", 1000)
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while asked < 100:
            asked += 1
            yield b"\0" * 400

    path = "/desk/api/frames/0/label?by=Ann"
    answer = ann.client.put(path, content=endless(), headers={"If-Match": '"0"'})
    assert answer.status_code == 413


MISSING = {
    "/frames/4": 404, "/frames/-1": 422, "/frames/x": 422, f"/frames/{10**40}": 422,
    "/frames/4/image": 404, "/frames/4/history": 404, "/frames/4/label": 404,
    "/frames/0/label?version=1": 404, "/frames/0/label?version=../x": 422,
    "/frames/0/seen?model=../../etc": 404, "/frames/0/seen": 404, "/frames?order=best": 404,
    "/frames?state=new": 422, "/frames?limit=0": 422, "/frames?limit=501": 422,
    "/frames?offset=-1": 422, "/frames?order=picks": 404,
}  # fmt: skip


def test_what_is_not_there_is_one_sentence(ann: Editor) -> None:
    for path, code in MISSING.items():
        answer = ann.client.get(f"/desk/api{path}")
        assert answer.status_code == code, path
        assert isinstance(answer.json()["detail"], str)


def test_images_come_as_they_are_and_upright(open_desk: OpenDesk, tmp_path: Path) -> None:
    data, rng = tmp_path / "data", np.random.default_rng(0)
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
    (data / "palette.yaml").write_text('classes: {a: "#000000"}\n')
    shown = PIL.Image.fromarray(rng.integers(0, 255, (40, 56, 3), np.uint8))
    exif = PIL.Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees
    shown.save(data / "images" / "a.png")
    shown.save(data / "images" / "b.jpg")
    shown.save(data / "images" / "c.jpg", exif=exif)
    shown.save(data / "images" / "d.bmp")
    for name in "abcd":
        size = (40, 56) if name == "c" else (56, 40)
        PIL.Image.new("RGB", size).save(data / "masks" / f"{name}.png")
    ann = open_desk(data, tmp_path / "out")
    for index, name in enumerate(("a.png", "b.jpg")):
        answer = ann.client.get(f"/desk/api/frames/{index}/image")
        assert answer.content == (data / "images" / name).read_bytes()
        assert answer.headers["Content-Type"] == f"image/{'png' if index == 0 else 'jpeg'}"
    turned = pixels(ann.client.get("/desk/api/frames/2/image").content)
    with PIL.Image.open(data / "images" / "c.jpg") as file:
        upright = np.rot90(np.array(file), -1)
    assert turned.shape == (56, 40, 3)
    assert np.abs(turned.astype(int) - upright).max() <= 3  # another JPEG decoder's rounding
    again = ann.client.get("/desk/api/frames/3/image")
    assert np.array_equal(pixels(again.content), np.array(shown))
    known = {"If-None-Match": again.headers["ETag"]}
    assert ann.client.get("/desk/api/frames/3/image", headers=known).status_code == 304


def test_marks_count_as_done_and_can_be_taken_back(ann: Editor) -> None:
    item = ann.mark(1, "unsure", " is that a car? ").json()
    assert item["mark"]["verdict"] == "unsure"
    assert item["mark"]["comment"] == "is that a car?"
    assert item["mark"]["by"] == "Ann"
    ann.save(2, GREY, 0)
    listed = {
        state: [item["id"] for item in ann.get(f"/frames?state={state}")["items"]]
        for state in ("open", "done", "all")
    }
    assert listed == {"open": [0, 3], "done": [1, 2], "all": [0, 1, 2, 3]}
    assert ann.get("/frames?state=open&offset=1&limit=1")["items"][0]["id"] == 3
    assert ann.get("/frames?state=open&offset=1&limit=1")["total"] == 2
    assert ann.mark(1, None).json()["mark"] is None
    assert ann.get("/frames?state=open")["total"] == 3
    assert ann.mark(1, "maybe").status_code == 422
    assert ann.mark(1, "right", "x" * 2001).status_code == 422


def test_everything_is_there_after_a_restart(
    ann: Editor, open_desk: OpenDesk, comma: Path, tmp_path: Path
) -> None:
    ann.save(0, GREY, 0)
    ann.mark(3, "right", "fine")
    before = ann.get("/export"), ann.get("/frames"), ann.get("/frames/0/history")
    ann.desk.close()  # type: ignore[attr-defined]
    ann = open_desk(comma, tmp_path / "out")
    assert (ann.get("/export"), ann.get("/frames"), ann.get("/frames/0/history")) == before


def test_review_apply_reads_what_is_exported(
    open_desk: OpenDesk, reviewed: tuple[Path, Path], tmp_path: Path
) -> None:
    data, review = reviewed
    ann = open_desk(data, tmp_path / "out", review=review)
    ann.mark(0, "wrong")
    ann.mark(1, "right")
    ann.mark(2, None, "only a remark")
    ann.mark(3, "wrong")
    ann.save(3, GREY, 0)
    exported = ann.get("/export")
    assert [mark["name"] for mark in exported["marks"]] == ["0001", "0002", "0009"]
    assert [remark["name"] for remark in exported["comments"]] == ["0003"]
    (edit,) = exported["edits"]
    assert (edit["name"], edit["version"], edit["mask"]) == ("0009", 1, "masks/0009.png")
    marks = tmp_path / "marks.json"
    marks.write_text(json.dumps(exported))
    fixed = tmp_path / "fixed"
    assert main(["review", "apply", str(review), str(marks), "--to", str(fixed)]) == 0
    changed = json.loads((fixed / "changes.json").read_text())["changed"]
    assert set(changed) == {"0001", "0009"}


def test_a_full_disk_is_503_and_loses_nothing(ann: Editor, comma: Path, tmp_path: Path) -> None:
    ann.save(0, GREY, 0)
    journal = ann.desk.edits.journal  # type: ignore[attr-defined]
    journal._file.execute("PRAGMA max_page_count = 1")
    noise = np.random.default_rng(0).integers(0, 5, SIZE).astype(np.uint8)
    answers = [ann.save(frame, noise, 0) for frame in (1, 2, 3) for _ in range(9)]
    assert answers[-1].status_code == 503
    assert "full" in answers[-1].json()["detail"]
    assert answers[-1].headers["Retry-After"]
    assert ann.get("/frames/3")["version"] == 0
    assert (tmp_path / "out/masks/0009.png").read_bytes() == (comma / "masks/0009.png").read_bytes()
    journal._file.execute("PRAGMA max_page_count = 100000")
    assert ann.save(3, noise, 0).json()["version"] == 1
