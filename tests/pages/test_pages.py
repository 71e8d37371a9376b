"""What pages have in common: names that cannot run, numbers that do not mislead."""

from __future__ import annotations

import jinja2
import pytest

from dashseg.pages import environment, grouped, number, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0.0, "0.00"),
        (1e-9, "<0.01"),
        (0.125, "12.50"),
        (0.99999, ">99.99"),
        (1.0, "100.00"),
    ],
)
def test_what_is_not_quite_all_or_nothing_never_reads_as_such(
    share: float | None, text: str
) -> None:
    assert percent(share, 2) == text


def test_numbers_are_written_for_reading() -> None:
    assert number(None, 3) == "–" and number(0.12345, 3) == "0.123"
    assert grouped(1234567) == "1\u202f234\u202f567" and grouped(999) == "999"


def test_text_is_escaped_and_what_a_template_lacks_is_an_error() -> None:
    pages = environment("dashseg.evaluation")
    shown = pages.from_string("{{ name }}").render(name="<script>")
    assert shown == "&lt;script&gt;"
    with pytest.raises(jinja2.UndefinedError):
        pages.from_string("{{ nothing }}").render()


@pytest.mark.parametrize(
    "package", ["dashseg.evaluation", "dashseg.curate.stats", "dashseg.review"]
)
def test_every_page_begins_with_the_one_style(package: str) -> None:
    pages = environment(package)
    assert pages.loader is not None
    style = pages.loader.get_source(pages, "base.css")[0]
    assert "--accent" in style and "url(" not in style
