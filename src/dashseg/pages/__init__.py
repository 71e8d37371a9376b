"""What every page that dashseg writes has in common: one look, safe text, numbers for reading.

A page is one HTML file that opens from disk: its style, `base.css` first, stands in it.
"""

from __future__ import annotations

from functools import cache

import jinja2


@cache  # it keeps its templates, which take 0.05 s to compile
def environment(*packages: str) -> jinja2.Environment:
    """Templates of `packages`, which extend `base.html`: it has the head, and `base.css`.

    Filters: `number(digits)`, `percent(digits)` and `grouped`, as below.
    """
    templates = jinja2.Environment(
        loader=jinja2.ChoiceLoader(list(map(jinja2.PackageLoader, (*packages, "dashseg.pages")))),
        autoescape=True,  # names of classes, frames and folders are the user's
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": number, "percent": percent, "grouped": grouped}
    return templates


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals; "–" for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(share: float | None, digits: int) -> str:
    """A share in percent. What is not quite all or nothing never reads as such."""
    if share is None:
        return "–"
    text = f"{100 * share:.{digits}f}"
    least = 10.0**-digits
    if 0 < 100 * share < least:
        return f"<{least:.{digits}f}"
    if share < 1 and float(text) == 100:
        return f">{100 - least:.{digits}f}"
    return text


def grouped(value: float) -> str:
    """Digits in threes, by thin spaces."""
    return f"{value:,.10g}".replace(",", "\u202f")
