"""Count devices, routes, segments and recording times from frame names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from dashseg.data.frame_names import parse_name

_EXAMPLES = 5  # unrecognised names that are shown
_LARGEST = 10  # devices, routes and segments that are listed


@dataclass
class NameCounts:
    """Frames by device, route, segment and time, as far as their names contain these."""

    parsed: int = 0
    unparsed: int = 0
    examples: list[str] = field(default_factory=list)  # of names that do not parse
    devices: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)  # 0-23, at which the route began
    months: Counter[str] = field(default_factory=Counter)  # "2018-07"

    def to_dict(self) -> dict[str, Any]:
        levels = {"devices": self.devices, "routes": self.routes, "segments": self.segments}
        return {
            "parsed": self.parsed,
            "unparsed": self.unparsed,
            "unparsed_examples": self.examples,
            **{level: _spread(frames) for level, frames in levels.items()},
            "hours": [self.hours[hour] for hour in range(24)] if self.hours else None,
            "months": dict(sorted(self.months.items())) or None,
        }


def count_names(names: Iterable[str]) -> NameCounts:
    """Parse and count frames' names (`dashseg.data.frame_names`)."""
    counts = NameCounts()
    for name in names:
        parsed = parse_name(name)
        if parsed is None:
            counts.unparsed += 1
            if counts.unparsed <= _EXAMPLES:
                counts.examples.append(name)
            continue
        counts.parsed += 1
        counts.devices[parsed.device] += 1
        counts.routes[parsed.route] += 1
        counts.segments[parsed.segment] += 1
        if began := _time(parsed.route):
            counts.hours[began.hour] += 1
            counts.months[f"{began:%Y-%m}"] += 1
    return counts


def largest(frames: Counter[str], count: int = _LARGEST) -> list[tuple[str, int]]:
    """The groups with most frames, most first; equal ones by name."""
    return sorted(frames.items(), key=lambda item: (-item[1], item[0]))[:count]


def _spread(frames: Counter[str]) -> dict[str, Any] | None:
    """How frames are spread over groups of one kind; None if there are none."""
    if not frames:
        return None
    sizes = np.array(list(frames.values()))
    return {
        "count": len(frames),
        "frames_min": int(sizes.min()),
        "frames_median": float(np.median(sizes)),
        "frames_max": int(sizes.max()),
        "largest": [{"name": name, "frames": count} for name, count in largest(frames)],
    }


def _time(route: str) -> datetime | None:
    """When a comma10k route began, by its device's clock; None for CamVid, which has no times."""
    try:
        return datetime.strptime(route.rpartition("_")[2], "%Y-%m-%d--%H-%M-%S")
    except ValueError:
        return None
