"""The page: whole on its own, safe with any name, and marked by keys in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from dashseg.data import Dataset
from dashseg.labels import read_mask
from dashseg.review.output import write_review
from dashseg.review.page import _outline
from dashseg.review.suspects import Part


@pytest.fixture
def page(frames: Dataset, oracle: Any, tmp_path: Path) -> Path:
    write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    return tmp_path / "out" / "index.html"


def test_everything_it_shows_lies_beside_it(parse_tags: Any, page: Path) -> None:
    html = page.read_text("utf-8")
    assert not re.search(r"https?://|url\(|@import", html)
    tags = parse_tags(html)
    files = {*tags.values("src"), *tags.values("href")}
    for file in files:
        assert (page.parent / file).is_file(), file
    shown = {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("[!.]*.*")}
    assert shown - files == {"index.html"}


def test_it_shows_the_worst_first_with_class_drawn_and_seen(parse_tags: Any, page: Path) -> None:
    tags = parse_tags(page.read_text("utf-8"))
    names = tags.values("data-name")
    assert names[0] == "c" and set(names) == set("acde")
    text = re.sub(r"<[^>]+>", "", page.read_text("utf-8"))
    assert re.search(r"drawn as\s+road, seen as\s+movable: 240 pixels at 48, 24", text)


def test_every_picture_has_words(parse_tags: Any, page: Path) -> None:
    images = [attrs for tag, attrs in parse_tags(page.read_text("utf-8")).tags if tag == "img"]
    assert len(images) == 4 * 5 and all(attrs.get("alt") for attrs in images)


def test_a_model_of_unknown_past_comes_with_a_warning(
    page: Path, frames: Dataset, oracle: Any, tmp_path: Path
) -> None:
    assert "learnt their mistakes" in page.read_text("utf-8")
    write_review(tmp_path / "folds", frames, [Part(oracle, frames, fold=1)])
    assert "learnt their mistakes" not in (tmp_path / "folds" / "index.html").read_text("utf-8")


def test_names_are_shown_not_run(
    parse_tags: Any,
    write_scenes: Callable[..., Dataset],
    scene: NDArray[np.uint8],
    oracle: Any,
    tmp_path: Path,
) -> None:
    evil = "a#b?<script>alert('&1')"  # as much as a file can be called
    frames = write_scenes({f"sub/{evil}": scene})
    oracle.name = "</script>" + evil
    write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    html = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "<script>alert" not in html
    assert html.count("<script>") == 1 and html.count("</script>") == 1
    link = next(href for href in parse_tags(html).values("href") if href.startswith("proposals"))
    assert link == "proposals/sub/a%23b%3F%3Cscript%3Ealert%28%27%261%27%29.png"
    assert (tmp_path / "out" / "proposals" / "sub" / f"{evil}.png").is_file()


def test_proposals_have_the_frame_s_size_and_change_only_the_suspect_regions(
    page: Path, frames: Dataset
) -> None:
    for index, name in enumerate(frames.names):
        if name == "b":  # nowhere labelled, so not shown
            continue
        proposed = read_mask(page.parent / "proposals" / f"{name}.png", frames.classes)
        drawn = frames.label(index)
        changed = proposed != drawn
        assert not (changed & (drawn == 255)).any()
        expected = np.zeros_like(changed)
        if name == "c":
            expected[20:36, 48:68] = True
        assert np.array_equal(changed, expected)
        assert (proposed[changed] == 3).all()


def test_an_outline_follows_its_region_holes_included() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:12, 3:20], mask[5:9, 8:15] = True, False
    paths = re.findall(r"M([^Z]+)Z", _outline(mask))
    assert len(paths) == 2
    points = [{tuple(map(int, xy.split())) for xy in path.split("L")} for path in paths]
    assert {(3, 2), (19, 2), (19, 11), (3, 11)} in points


@pytest.fixture(scope="module")
def tabs() -> Iterator[Any]:
    """A real browser: `new_page()` opens a tab; all share what pages keep."""
    driver = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome to open the page in")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_context()
        browser.close()


def _press(tabs: Any, page: Path, keys: str) -> tuple[dict[str, Any], str]:
    """What the page would export once they are pressed, and its DOM."""
    tab = tabs.new_page()
    try:
        tab.goto(page.as_uri())
        for key in keys:
            tab.keyboard.press(key)
        return json.loads(tab.evaluate("exported()")), tab.content()
    finally:
        tab.close()


@pytest.fixture
def play(page: Path, tabs: Any) -> Callable[[str], tuple[dict[str, Any], str]]:
    return partial(_press, tabs, page)


def _current(tags: Any) -> list[str]:
    cards = (attrs for _, attrs in tags.tags if "data-name" in attrs)
    return [card["data-name"] for card in cards if "current" in card["class"].split()]


def test_keys_mark_labels_and_the_marks_are_exported_as_json(
    parse_tags: Any, page: Path, play: Callable[[str], tuple[dict[str, Any], str]], frames: Dataset
) -> None:
    names = parse_tags(page.read_text("utf-8")).values("data-name")
    # Wrong (and on), right (and on), back, back, unsure instead (and on).
    exported, dom = play("wrkks")
    tags = parse_tags(dom)
    assert exported == {
        "schema": 1,
        "data": frames.root,
        "fingerprint": frames.fingerprint(),
        "shown": 4,
        "marks": [{"name": names[0], "mark": "unsure"}, {"name": names[1], "mark": "right"}],
    }
    cards = [attrs for _, attrs in tags.tags if "data-name" in attrs]
    assert [card["data-mark"] for card in cards] == ["unsure", "right", "", ""]
    assert _current(tags) == [names[1]]


def test_marks_are_kept_when_the_page_is_opened_again_and_x_takes_one_back(
    parse_tags: Any, page: Path, play: Callable[[str], tuple[dict[str, Any], str]]
) -> None:
    names = parse_tags(page.read_text("utf-8")).values("data-name")
    first, _ = play("wjjjw")
    assert first["marks"] == [
        {"name": names[0], "mark": "wrong"},
        {"name": names[3], "mark": "wrong"},
    ]
    again, _ = play("x")
    assert again["marks"] == [{"name": names[3], "mark": "wrong"}]


def test_undo_takes_back_one_change_after_the_other(
    parse_tags: Any, page: Path, play: Callable[[str], tuple[dict[str, Any], str]]
) -> None:
    names = parse_tags(page.read_text("utf-8")).values("data-name")
    # Wrong, right; undo the second; back to the first, right instead; undo; unsure on the first.
    exported, dom = play("wrukruu")
    assert exported["marks"] == []
    assert _current(parse_tags(dom)) == [names[0]]
    exported, _ = play("wrukruuus")
    assert exported["marks"] == [{"name": names[0], "mark": "unsure"}]


def test_the_page_says_that_a_mark_moves_on(page: Path) -> None:
    text = re.sub(r"<[^>]+>", "", page.read_text("utf-8"))
    assert "mark the frame and move on to the next" in text and "u undo" in text


def test_frames_called_like_parts_of_javascript_are_marked_too(
    write_scenes: Callable[..., Dataset],
    scene: NDArray[np.uint8],
    oracle: Any,
    tabs: Any,
    tmp_path: Path,
) -> None:
    names = ["__proto__", "constructor", "hasOwnProperty", "toString"]
    frames = write_scenes(dict.fromkeys(names, scene))
    write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    page = tmp_path / "out" / "index.html"
    exported, dom = _press(tabs, page, "wrw")
    marks = {mark["name"]: mark["mark"] for mark in exported["marks"]}
    assert list(marks.values()) == ["wrong", "right", "wrong"] and marks.keys() < set(names)
    assert "3</b> of 4 marked" in dom
    assert _press(tabs, page, "")[0] == exported  # kept by the browser


def test_pictures_are_of_the_frame_the_label_and_the_prediction(
    page: Path, frames: Dataset
) -> None:
    drawn = np.asarray(PIL.Image.open(page.parent / "pictures" / "0001-label.png"))
    seen = np.asarray(PIL.Image.open(page.parent / "pictures" / "0001-prediction.png"))
    image = frames[2].image
    assert np.array_equal(
        drawn, np.asarray(PIL.Image.open(Path(frames.root) / "masks" / f"{frames.names[2]}.png"))
    )
    assert np.array_equal(seen[1::2, 1::2], image[1::2, 1::2])


def test_frames_called_as_javascript_s_own_properties_are_marked_like_others(
    page: Path, play: Callable[[str], tuple[dict[str, Any], str]]
) -> None:
    html = page.read_text("utf-8")
    first, second = re.findall('data-name="(.)"', html)[:2]
    for letter, name in ((first, "constructor"), (second, "__proto__")):
        html = html.replace(f'data-name="{letter}"', f'data-name="{name}"')
    page.write_text(html, "utf-8")
    assert play("")[0]["marks"] == []
    assert play("wr")[0]["marks"] == [
        {"name": "constructor", "mark": "wrong"}, {"name": "__proto__", "mark": "right"},
    ]  # fmt: skip
