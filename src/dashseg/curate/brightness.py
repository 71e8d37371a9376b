"""The brightness of a frame, and the group that it belongs to: dark, dim or bright."""

from __future__ import annotations

import cv2

from dashseg.labels import Image

# Upper bounds of mean luma, 0-255, set by eye on real frames and on frames that the augmentation
# made night. Below 45 lie unlit night roads (comma10k: 19) and most of the augmented ones (23-44).
# From 45 to 70 lie lit streets at night (50-61), comma10k at dusk (65), CamVid under heavy clouds
# (45-68), but also sunny frames that comma10k exposed darkly (49-63): the groups say how dark a
# picture is, not what time it was taken.
GROUPS = {"dark": 45.0, "dim": 70.0, "bright": float("inf")}


def luminance(image: Image) -> float:
    """Mean BT.601 luma (0.299 R + 0.587 G + 0.114 B) of a uint8 H×W×3 RGB frame, 0-255."""
    return float(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])


def brightness_group(luma: float) -> str:
    """ "dark", "dim" or "bright"."""
    return next(name for name, below in GROUPS.items() if luma < below)


def group_bounds() -> dict[str, str]:
    """Brightness group -> its range of mean luma, in words."""
    bounds, low = {}, 0.0
    for name, below in GROUPS.items():
        bounds[name] = f"{low:g} and more" if below == float("inf") else f"{low:g} to {below:g}"
        low = below
    return bounds
