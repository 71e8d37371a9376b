"""docs/recipe.md is what the schema says."""

from __future__ import annotations

from pathlib import Path

from dashseg.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs/recipe.md"
COMMAND = "python -m dashseg.config.reference > docs/recipe.md"


def test_the_page_of_all_keys_is_up_to_date() -> None:
    fresh = PAGE.read_text("utf-8") == reference()  # not in the assert: pytest would show both
    assert fresh, f"docs/recipe.md is stale; run: {COMMAND}"


def test_the_page_says_how_to_make_it_anew() -> None:
    assert COMMAND in reference().split("# All keys")[0]


def test_a_line_has_key_description_values_and_default() -> None:
    lines = reference().splitlines()
    (row,) = (line for line in lines if line.startswith("| `epochs` | "))
    assert row.endswith(". | integer >= 1 | `50` |")
    assert lines.index("## training") < lines.index(row) < lines.index("## evaluation")
    assert "## loss.terms" in lines and "## data.extra" in lines


def test_every_row_has_four_cells_and_every_link_a_heading() -> None:
    page = reference()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5}
    for heading in ("data.extra", "model.decoder.levels", "loss.terms"):
        assert f"(#{heading.replace('.', '')})" in page and f"## {heading}\n" in page
