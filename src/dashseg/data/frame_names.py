"""Parse a frame's name: its camera, drive and time.

comma10k's names are `{index}_{device}_{date--time}_{segment}_{frame}`; imgs2 puts the camera after
the index (`e` wide, `f` narrow; a pair shares the rest). CamVid's are `{sequence}_{frame}`, all
from one camera.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

_COMMA10K = re.compile(
    r"\d+_(?:(?P<camera>[a-z])_)?(?P<device>[0-9a-f]{16})"
    r"_(?P<time>\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d)_(?P<segment>\d+)_(?P<frame>\d+)"
)
_CAMVID = re.compile(r"(?P<sequence>0001TP|0006R0|0016E5|Seq05VD)_f?(?P<frame>\d{5,6})")


class FrameName(NamedTuple):
    """Each of device, route and segment is unique by itself: it contains the one before."""

    device: str
    route: str  # one drive of a device
    segment: str  # one minute of a route
    frame: int  # number within the segment
    camera: str = ""


def parse_name(name: str) -> FrameName | None:
    """Parse a frame's name without suffix; folders in front of it are ignored.

    Returns:
        None for an unrecognised name.
    """
    stem = PurePosixPath(name).name
    if match := _COMMA10K.fullmatch(stem):
        device = match["device"]
        route = f"{device}_{match['time']}"
        segment = f"{route}_{match['segment']}"
        return FrameName(device, route, segment, int(match["frame"]), match["camera"] or "")
    if match := _CAMVID.fullmatch(stem):
        sequence = match["sequence"]  # recorded in one go: it has no smaller units
        return FrameName("CamVid", sequence, sequence, int(match["frame"]))
    return None
