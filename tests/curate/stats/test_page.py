"""index.html: whole on its own, safe with any name, and shown by a real browser."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.curate.stats import Statistics, collect, write_page
from dashseg.curate.stats.page import paint_heat_map
from dashseg.data import open_dataset
from dashseg.errors import InputError

DEVICES = [f"{device:016x}" for device in range(13)]
NAMES = [f"{i:04}_{device}_2018-07-09--08-15-59_1_{i}" for i, device in enumerate(DEVICES)]
YELLOW = 253, 231, 36  # viridis' last


@pytest.fixture
def statistics(tmp_path: Path, write_comma10k: Any) -> Statistics:
    write_comma10k(tmp_path / "data", NAMES)
    return collect(open_dataset(DataConfig(root=str(tmp_path / "data"))), 1)


@pytest.fixture
def page(statistics: Statistics, tmp_path: Path) -> Path:
    write_page(tmp_path / "page", statistics)
    return tmp_path / "page" / "index.html"


def test_everything_it_shows_lies_beside_it(parse_tags: Any, page: Path) -> None:
    html = page.read_text("utf-8")
    assert not re.search(r"https?://|url\(|@import|<script", html)
    files = set(parse_tags(html).values("src"))
    assert files == {f"where-{class_id}.png" for class_id in range(5)}
    assert {path.name for path in page.parent.iterdir()} == {"index.html", *files}


def test_every_section_linked_to_is_there_and_every_picture_has_words(
    parse_tags: Any, page: Path
) -> None:
    parsed = parse_tags(page.read_text("utf-8"))
    sections = {link[1:] for link in parsed.values("href")}
    assert sections == {"classes", "where", "brightness", "names", "reading"}
    assert sections <= set(parsed.values("id"))
    pictures = [(tag, attrs) for tag, attrs in parsed.tags if tag in ("img", "svg")]
    assert len(pictures) == 5 + 3  # maps; luma, hours, months
    assert all(attrs.get("alt") or attrs.get("aria-label") for _, attrs in pictures)


def test_bars_are_as_tall_as_what_they_count(parse_tags: Any, page: Path) -> None:
    bars = [attrs for tag, attrs in parse_tags(page.read_text("utf-8")).tags if tag == "rect"]
    hour, month = bars[-2:]  # all routes began at 8 in one month: one bar each
    assert hour["height"] == month["height"] == f"{160 * 13 / 14:.2f}"  # the axis ends at 14
    assert float(hour["x"] or 0) == pytest.approx(44 + 430 / 24 * 8, abs=1)


def test_devices_beyond_the_largest_are_summed(page: Path) -> None:
    html = page.read_text("utf-8")
    assert html.count("<code>0000") == 10
    assert re.search(r'3 more</th><td class="n">3<', html)


def test_names_are_shown_not_run(statistics: Statistics, tmp_path: Path) -> None:
    evil = "<script>alert('&1')</script>"
    classes = tuple(replace(row, name=evil) for row in statistics.classes)
    names = replace(statistics.names, unparsed=1, examples=[evil], devices=Counter({evil: 13}))
    write_page(
        tmp_path / "page", replace(statistics, root=evil, split=evil, classes=classes, names=names)
    )
    html = (tmp_path / "page/index.html").read_text("utf-8")
    assert evil not in html and html.count("&lt;script&gt;") > 10


def test_names_without_times_or_devices_leave_those_parts_out(
    tmp_path: Path, write_comma10k: Any
) -> None:
    write_comma10k(tmp_path / "data", ["a_1", "b_2"])
    write_page(tmp_path / "page", collect(open_dataset(DataConfig(root=str(tmp_path / "data"))), 1))
    html = (tmp_path / "page/index.html").read_text("utf-8")
    assert "2 of 2 names have no form" in html
    assert html.count("<svg") == 1 and "most frames" not in html


def test_a_taken_folder_is_an_error_and_stays_as_it_is(
    statistics: Statistics, tmp_path: Path
) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("mine")
    with pytest.raises(InputError, match="page exists"):
        write_page(tmp_path / "page", statistics)
    assert [path.read_text() for path in (tmp_path / "page").iterdir()] == ["mine"]


def test_a_heat_map_is_yellow_where_the_class_is_most_and_dark_where_it_is_not() -> None:
    shares = np.zeros((72, 96))
    shares[10:20, 30:40], shares[50:60, 60:70] = 0.02, 0.01
    picture = paint_heat_map(shares, (360, 480)).astype(int)
    assert picture.shape == (360, 480, 3)
    assert np.abs(picture[75, 175] - YELLOW).max() <= 2
    assert np.abs(picture[0, 0] - (68, 1, 84)).max() <= 2
    assert np.abs(picture[275, 325] - (33, 145, 140)).max() <= 2  # viridis' middle
    assert (paint_heat_map(np.zeros((72, 96)), (36, 48)) == picture[0, 0]).all()


def test_a_map_has_the_shape_of_most_frames(tmp_path: Path, write_comma10k: Any) -> None:
    write_comma10k(tmp_path / "data", ["a_1", "b_2"], size=(30, 90))
    write_comma10k(tmp_path / "data", ["c_3"])
    write_page(tmp_path / "page", collect(open_dataset(DataConfig(root=str(tmp_path / "data"))), 1))
    assert PIL.Image.open(tmp_path / "page/where-0.png").size == (480, 160)


def test_a_browser_opens_it_from_disk_and_shows_maps_and_bars(
    page: Path, browse: Callable[..., str], tmp_path: Path
) -> None:
    browse(page.as_uri(), "--window-size=1200,2400", f"--screenshot={tmp_path / 'page.png'}")
    pixels = np.asarray(PIL.Image.open(tmp_path / "page.png").convert("RGB")).astype(int)
    assert (np.abs(pixels - YELLOW).max(-1) <= 3).sum() > 1000  # the maps
    accents = [(0x25, 0x63, 0xEB), (0x7A, 0xA7, 0xFF)]  # of the light page and of the dark one
    assert sum((pixels == accent).all(-1).sum() for accent in accents) > 1000  # the bars
