"""The orders of the queue, held against the tables that review and select write."""

from __future__ import annotations

import csv
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.curate.select.candidates import Candidate
from dashseg.curate.select.choose import Pick
from dashseg.curate.select.output import write_table
from dashseg.errors import InputError
from dashseg.serving.desk import queue

from .conftest import OpenDesk


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def test_suspects_are_in_the_reviews_order_with_its_regions(
    open_desk: OpenDesk, reviewed: tuple[Path, Path], tmp_path: Path
) -> None:
    data, review = reviewed
    ann = open_desk(data, tmp_path / "out", review=review)
    info, items = ann.get("/info"), ann.get("/frames?order=suspects")["items"]
    assert info["orders"] == ["suspects", "files"]
    assert info["scoring"] is None
    rows, regions = rows_of(review / "suspects.csv"), rows_of(review / "regions.csv")
    assert [item["name"] for item in items] == [row["name"] for row in rows]
    assert [item["score"] for item in items] == [float(row["score"]) for row in rows]
    names = [entry["name"] for entry in info["classes"]]
    found = [
        (item["name"], region["number"], names[region["drawn"]], names[region["seen"]],
         region["area"], *region["box"])
        for item in items for region in item["regions"]
    ]  # fmt: skip
    assert found
    assert found == [
        (row["name"], int(row["region"]), row["drawn"], row["seen"],
         *(int(row[key]) for key in ("area", "left", "top", "right", "bottom")))
        for row in regions
    ]  # fmt: skip
    first = next(item for item in items if item["regions"])
    region = first["regions"][0]
    assert first["why"] == (
        f"{region['area']} pixels drawn as {names[region['drawn']]}"
        f" look like {names[region['seen']]}"
    )
    assert ann.get(f"/frames/{first['id']}")["regions"] == first["regions"]


def test_without_a_review_the_model_scores_the_same_order_meanwhile(
    open_desk: OpenDesk, reviewed: tuple[Path, Path], model: Any, tmp_path: Path
) -> None:
    data, review = reviewed
    ann = open_desk(data, tmp_path / "out", {"tiny": model})
    assert ann.get("/info")["scoring"] == {"done": 0, "total": 4}
    assert ann.get("/frames?order=suspects")["total"] == 4  # from the first moment on
    give_up = time.monotonic() + 30
    while ann.get("/info")["scoring"]["done"] < 4:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    items = ann.get("/frames?order=suspects")["items"]
    rows = rows_of(review / "suspects.csv")
    assert [item["name"] for item in items] == [row["name"] for row in rows]
    expected = [float(row["score"]) for row in rows]
    assert np.allclose([item["score"] for item in items], expected, atol=1e-5)
    regions = {row["name"]: int(row["regions"]) for row in rows}
    for item in items:  # a review drops regions that are less sure than the model mostly is
        assert len(item["regions"]) >= regions[item["name"]]


def test_a_frame_that_cannot_be_scored_does_not_end_the_scoring(
    open_desk: OpenDesk, comma: Path, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, calls = queue.score_frame, iter(range(4))

    def fail_once(*arguments: Any) -> queue.Entry:
        if next(calls) == 1:
            raise RuntimeError("out of memory")
        return score(*arguments)

    monkeypatch.setattr(queue, "score_frame", fail_once)
    ann = open_desk(comma, tmp_path / "out", {"tiny": model})
    assert ann.get("/frames?order=suspects")["total"] == 4
    give_up = time.monotonic() + 30
    while ann.get("/info")["scoring"]["done"] < 4:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    items = ann.get("/frames?order=suspects")["items"]
    assert [item["name"] for item in items if item["score"] is None] == ["0002"]
    assert "log" in items[-1]["why"]


def test_the_table_of_select_is_read_as_it_is_written(
    open_desk: OpenDesk, write_comma10k: Any, tmp_path: Path
) -> None:
    names = ["=1+2", "'=x", "-5", '@a, "b"', unicodedata.normalize("NFD", "Straße é"), "0001"]
    write_comma10k(tmp_path / "data", [unicodedata.normalize("NFC", name) for name in names])
    picks = [
        Pick(Candidate(name, f"{name}.png", None, 0.1, 0.3, (0, 0, 8, 8), np.zeros(2, np.float16)),
             "", None if index == 0 else 0.25, names[0], 0.5)
        for index, name in enumerate(names)
    ]  # fmt: skip
    write_table(tmp_path / "picks.csv", picks)
    ann = open_desk(tmp_path / "data", tmp_path / "out", picks=tmp_path / "picks.csv")
    items = ann.get("/frames?order=picks")["items"]
    assert [item["name"] for item in items] == [unicodedata.normalize("NFC", n) for n in names]
    assert {item["score"] for item in items} == {0.2}
    assert items[0]["why"] == "more unsure than 50% of the frames; the first pick"
    assert items[1]["why"].endswith("; 0.25 from =1+2, the nearest one labelled or picked")


def test_picks_are_in_their_tables_order(
    open_desk: OpenDesk, comma: Path, model: Any, tmp_path: Path
) -> None:
    picks = tmp_path / "picks.csv"
    picks.write_text(
        "rank,name,source,frame,score,why\n"
        '1,0009,data/imgs/0009.png,,0.9,"unlike the rest, and unsure"\n'
        "2,elsewhere,x.mp4,17,0.8,unsure\n"
        "3,0002,data/imgs/0002.png,,,\n"
        "4,0001,data/imgs/0001.png,,nan,odd\n"
    )
    ann = open_desk(comma, tmp_path / "out", {"tiny": model}, picks=picks)
    assert ann.get("/info")["orders"] == ["picks", "suspects", "files"]
    items = ann.get("/frames?order=picks")["items"]
    assert [(item["name"], item["score"], item["why"]) for item in items] == [
        ("0009", 0.9, "unlike the rest, and unsure"), ("0002", None, None), ("0001", None, "odd"),
    ]  # fmt: skip
    assert [item["name"] for item in ann.get("/frames?order=files")["items"]] == [
        "0001", "0002", "0003", "0009",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "name,score\nx,y\n", "name,score\nx,1\n"])
def test_other_tables_than_picks_are_refused(
    text: str, open_desk: OpenDesk, comma: Path, tmp_path: Path
) -> None:
    (tmp_path / "picks.csv").write_text(text)
    with pytest.raises(InputError, match=r"picks\.csv"):
        open_desk(comma, tmp_path / "out", picks=tmp_path / "picks.csv")
    assert not (tmp_path / "out").exists()


def test_a_review_of_other_masks_is_refused(
    open_desk: OpenDesk, reviewed: tuple[Path, Path], write_comma10k: Any, tmp_path: Path
) -> None:
    data, review = reviewed
    write_comma10k(tmp_path / "others", ["0001", "0002", "0003", "1000"])
    with pytest.raises(InputError, match="other frames or masks"):
        open_desk(tmp_path / "others", tmp_path / "out", review=review)
    with pytest.raises(InputError, match="review"):
        open_desk(data, tmp_path / "out", review=data)
    assert not (tmp_path / "out").exists()
