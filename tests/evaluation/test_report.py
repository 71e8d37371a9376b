"""report/index.html: whole on its own, safe with any name, and alive in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.data import Sample
from dashseg.evaluation import evaluate
from dashseg.labels import Classes


@pytest.fixture
def page(frames: Any, segmenter: Any, tmp_path: Path) -> Path:
    """The report of a model with a run of two epochs."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.csv").write_text(
        "epoch,step,train_loss,val_loss,val_miou,learning_rate,images_per_s\n"
        "0,10,0.9,0.8,0.4,1e-3,5\n1,20,0.7,0.6,0.5,1e-3,5\n"
    )
    evaluate(replace(segmenter, run=run), frames, tmp_path / "out", examples=2)
    return tmp_path / "out" / "report" / "index.html"


def test_everything_it_shows_lies_beside_it(parse_tags: Any, page: Path) -> None:
    html = page.read_text("utf-8")
    assert not re.search(r"https?://|url\(|@import", html)
    tags = parse_tags(html)
    links = [link for link in tags.values("href") if not link.startswith("#")]
    files = {*tags.values("src"), *tags.values("data-src"), *links}
    assert len(files) == 4 * 4 + 3 + 2  # pictures, charts, metrics.json and per_image.csv
    for file in files:
        assert (page.parent / file).is_file(), file
    shown = {path.name for path in page.parent.iterdir()} - {"index.html"}
    assert shown == {file for file in files if not file.startswith("../")}


def test_every_section_linked_to_is_there(parse_tags: Any, page: Path) -> None:
    tags = parse_tags(page.read_text("utf-8"))
    sections = {link[1:] for link in tags.values("href") if link.startswith("#")}
    assert sections >= {"losses", "classes", "brightness", "training", "worst", "best", "reading"}
    assert sections <= set(tags.values("id"))


def test_every_picture_has_words_and_every_slider_a_name(parse_tags: Any, page: Path) -> None:
    tags = parse_tags(page.read_text("utf-8")).tags
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert images and all(attrs.get("alt") for attrs in images)
    sliders = [attrs for tag, attrs in tags if tag == "input" and attrs.get("type") == "range"]
    assert len(sliders) == 4
    assert all(attrs.get("aria-label") for attrs in sliders)


def test_names_are_shown_not_run(make_frames: Any, segmenter: Any, tmp_path: Path) -> None:
    evil = "<script>alert('&1')</script>"
    classes = Classes((f"road {evil}", "b"), ((1, 2, 3), (4, 5, 6)))
    image, label = np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9), np.uint8)
    frames = replace(
        make_frames(samples=[Sample(image, label, f"a/{evil}.{i}") for i in range(2)]),
        classes=classes,
        root=f"/data/{evil}",
    )
    evaluate(replace(segmenter, classes=classes, name=evil), frames, tmp_path / "out", examples=1)
    html = (tmp_path / "out" / "report" / "index.html").read_text("utf-8")
    assert evil not in html
    assert html.count("&lt;script&gt;") > 5
    assert html.count("<script>") == 1


def test_published_numbers_stand_beside_comma10k_only(
    frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    def text(kind: str) -> str:
        evaluate(segmenter, replace(frames, kind=kind), tmp_path / "out", examples=0)
        return (tmp_path / "out" / "report" / "index.html").read_text("utf-8")

    assert "SegFormer-B3 0.0345" in text("comma10k")
    assert "0.0345" not in text("camvid")


def test_a_model_without_a_run_and_no_examples_leave_those_sections_out(
    parse_tags: Any, frames: Any, segmenter: Any, tmp_path: Path
) -> None:
    evaluate(segmenter, frames, tmp_path / "out", examples=0)
    page = tmp_path / "out" / "report" / "index.html"
    ids = parse_tags(page.read_text("utf-8")).values("id")
    assert not {"training", "worst", "best"} & set(ids)
    assert {path.name for path in page.parent.iterdir()} == {"index.html", "losses.svg"}


def test_a_browser_opens_it_from_disk_and_the_slider_fades_the_overlay(
    parse_tags: Any, page: Path, browse: Callable[..., str]
) -> None:
    # The hash moves the sliders and switches, by the same events that a hand sends.
    dom = browse(f"{page.as_uri()}#fade=0.3&show=label", "--dump-dom")
    overlays = [attrs for tag, attrs in parse_tags(dom).tags if attrs.get("class") == "over"]
    assert [attrs["src"] for attrs in overlays] == [
        f"{side}-{rank}-label.png" for side in ("worst", "best") for rank in (1, 2)
    ]
    assert {attrs["style"] for attrs in overlays} == {"opacity: 0.3;"}
    controls = [attrs for _, attrs in parse_tags(dom).tags if attrs.get("class") == "controls"]
    assert len(controls) == 4 and not any("hidden" in attrs for attrs in controls)


def test_wide_tables_scroll_on_a_phone_and_the_page_does_not(
    make_frames: Any, segmenter: Any, browse: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    evaluate(segmenter, make_frames(4), out)
    page = out / "report" / "index.html"
    measure = """<script>
    const tables = [...document.querySelectorAll("table")].map((table) => {
      const box = table.closest(".scroll");
      table.querySelector("tbody tr :last-child").scrollIntoView({ inline: "end" });
      const last = table.querySelector("tbody tr").lastElementChild.getBoundingClientRect();
      const first = table.querySelector("tbody th").getBoundingClientRect();
      return [box !== null, last.right <= innerWidth, first.left >= 0 && first.right < innerWidth];
    });
    parent.postMessage([innerWidth, document.documentElement.scrollWidth, tables], "*");
    </script>"""
    html = page.read_text("utf-8").replace("</body>", measure + "</body>")
    page.with_name("measured.html").write_text(html, "utf-8")
    phone = page.with_name("phone.html")
    phone.write_text(
        "<pre></pre><script>onmessage = (e) => { document.querySelector('pre').textContent ="
        " JSON.stringify(e.data); };</script>"
        "<iframe src='measured.html' style='width:375px;height:700px;border:0'></iframe>"
    )
    dom = browse(phone.as_uri(), "--virtual-time-budget=3000", "--dump-dom")
    found = re.search(r"<pre>(.+?)</pre>", dom)
    assert found, dom[:500]
    width, needed, tables = json.loads(found[1])
    assert (width, needed <= 375, len(tables)) == (375, True, 4)
    assert tables == [[True, True, True]] * 4
