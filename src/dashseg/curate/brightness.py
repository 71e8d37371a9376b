"""The brightness of a frame, and the group that it belongs to: night, dusk or day."""

from __future__ import annotations

import cv2

from dashseg.labels import Image

# Upper bounds of mean luma, 0-255. comma10k exposes darkly: its night frames have about 20, its
# sunny ones 49-101. Dusk lies between, but a frame at dusk with much sky is brighter (65 in
# comma10k, 45-67 in CamVid's 0001TP) and counts as day: the groups say how dark a picture is, not
# what time it was taken.
GROUPS = {"night": 35.0, "dusk": 48.0, "day": float("inf")}


def luminance(image: Image) -> float:
    """Mean BT.601 luma (0.299 R + 0.587 G + 0.114 B) of a uint8 H×W×3 RGB frame, 0-255."""
    return float(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])


def brightness_group(luma: float) -> str:
    """ "night", "dusk" or "day"."""
    return next(name for name, below in GROUPS.items() if luma < below)


def group_bounds() -> dict[str, str]:
    """Brightness group -> its range of mean luma, in words."""
    bounds, low = {}, 0.0
    for name, below in GROUPS.items():
        bounds[name] = f"{low:g} and more" if below == float("inf") else f"{low:g} to {below:g}"
        low = below
    return bounds
