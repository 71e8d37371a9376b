"""Write statistics as a web page: index.html and one picture per class."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.curate.brightness import GROUPS, group_bounds
from dashseg.curate.stats.count import LUMA_BINS
from dashseg.curate.stats.summary import Statistics
from dashseg.images import Array, encode_png
from dashseg.outputs import replace_folder, require_empty
from dashseg.pages import environment

_MAP_WIDTH = 480  # pixels of a heat map's picture


@dataclass(frozen=True)
class Columns:
    """A chart of upright bars, one beside the other."""

    title: str  # for screen readers
    x_title: str
    values: list[int]  # frames
    names: list[str]  # of each bar, shown on hover
    ticks: list[tuple[float, str]]  # below the axis: position in bars from the left, text
    lines: tuple[float, ...] = ()  # upright lines, in bars from the left

    @property
    def top(self) -> int:
        """The top of the axis: an even number, so that half of it is a whole one."""
        most = max(*self.values, 2)
        return most + most % 2


def write_page(folder: Path, statistics: Statistics) -> None:
    """Write index.html and its pictures to a new folder, whole or not at all.

    Raises:
        InputError: `folder` exists and is not empty, or cannot be written.
    """
    require_empty(folder)
    html = environment("dashseg.curate.stats").get_template("page.html").render(
        statistics=statistics,
        largest_share=max((row.share or 0.0) for row in statistics.classes) or 1.0,
        map_size=_map_size(statistics),
        luma=_luma_chart(statistics),
        group_bounds=group_bounds(),
        hours=_hours_chart(statistics),
        months=_months_chart(statistics),
        names=statistics.names.to_dict(),
        written=datetime.now(UTC),
    )  # fmt: skip
    with replace_folder(folder, last="index.html") as temporary:
        (temporary / "index.html").write_text(html, encoding="utf-8")
        for index, row in enumerate(statistics.classes):
            picture = paint_heat_map(row.heat_map, _map_size(statistics))
            (temporary / f"where-{index}.png").write_bytes(encode_png(picture))


def paint_heat_map(shares: NDArray[np.float64], size: tuple[int, int]) -> Array:
    """Shares of a grid, 0 to their largest, as uint8 H×W×3 RGB from dark blue to yellow.

    The colours are viridis': equal steps in share look like equal steps.
    """
    most = shares.max()
    levels = np.round(shares * (255 / most) if most else shares).astype(np.uint8)
    smooth = cv2.resize(levels, size[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(cv2.applyColorMap(smooth, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _map_size(statistics: Statistics) -> tuple[int, int]:
    """Height and width of a heat map's picture: the aspect ratio of most frames."""
    height, width = next(iter(statistics.sizes))
    return max(1, round(_MAP_WIDTH * height / width)), _MAP_WIDTH


def _luma_chart(statistics: Statistics) -> Columns:
    values = list(statistics.luma_frames)
    per_bin = 256 // LUMA_BINS
    used = max(index for index, frames in enumerate(values) if frames) + 1
    used = max(-(-used // 8) * 8, 16)  # to a multiple of 32 grey levels
    lows = [per_bin * index for index in range(used)]
    return Columns(
        title="Histogram: how many frames have which mean luma",
        x_title="mean luma of a frame; dashed: where dim and bright begin",
        values=values[:used],
        names=[f"luma {low} to {low + per_bin}" for low in lows],
        ticks=[(edge, str(per_bin * edge)) for edge in range(0, used + 1, 8)],
        lines=tuple(below / per_bin for below in GROUPS.values() if below < per_bin * used),
    )


def _hours_chart(statistics: Statistics) -> Columns | None:
    hours = statistics.names.hours
    if not hours:
        return None
    return Columns(
        title="Frames by the hour at which their route began",
        x_title="hour at which the route began, by the device’s clock",
        values=[hours[hour] for hour in range(24)],
        names=[f"{hour}:00 to {hour}:59" for hour in range(24)],
        ticks=[(hour + 0.5, str(hour)) for hour in range(0, 24, 3)],
    )


def _months_chart(statistics: Statistics) -> Columns | None:
    """Every month from the first to the last, including those without frames."""
    months = statistics.names.months
    if not months:
        return None
    first, last = ((int(m[:4]) * 12 + int(m[5:]) - 1) for m in (min(months), max(months)))
    names = [f"{number // 12}-{number % 12 + 1:02}" for number in range(first, last + 1)]
    every = -(-len(names) // 8)  # at most eight names fit
    return Columns(
        title="Frames by the month in which their route began",
        x_title="month in which the route began",
        values=[months[name] for name in names],
        names=names,
        ticks=[(index + 0.5, names[index]) for index in range(0, len(names), every)],
    )
