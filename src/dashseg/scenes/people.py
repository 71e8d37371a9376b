"""People on foot and on bicycles: small jointed figures, labelled movable."""

import numpy as np

from dashseg.scenes.camera import View
from dashseg.scenes.canvas import MOVABLE, Canvas, Layer, bounds, colour
from dashseg.scenes.light import Light

CLOTHES = ["2b3a55", "7a2a2a", "d8d4c8", "3a3a3a", "5a6b4a", "b08a4a", "8aa0b8", "1c1c20"]
SKINS = ["d9a98a", "8a5a40", "5a3a2a", "e3bfa2"]
SMALLEST = 12.0  # pixels of height; smaller figures are left out of picture and label


def paint_person(
    canvas: Canvas, view: View, light: Light, x: float, z: float, cycling: bool, seed: int
) -> None:
    """A figure whose feet stand at (x, z), seen from behind or ahead."""
    rng = np.random.default_rng(seed)
    tall = rng.uniform(1.55, 1.9)
    if tall * view.scale(z) < SMALLEST or z < 3.0:
        return
    shirt, trousers = (colour(str(rng.choice(CLOTHES))) for _ in range(2))
    skin = colour(str(rng.choice(SKINS)))
    lift = 0.35 if cycling else 0.0  # a rider sits higher than a walker stands
    corners = view.project(np.array([x - 0.6, x + 0.6]), np.array([0.0, tall + lift + 0.1]), z)
    layer = Layer(canvas, bounds(corners, 2.0), scale=4)
    if layer.empty:
        return

    def limb(ax: float, ay: float, bx: float, by: float, wide: float, surface: str | None) -> None:
        tone = {"shirt": shirt, "trousers": trousers, "skin": skin}.get(surface or "", dark)
        points = view.project(x + np.array([ax, bx]), np.array([ay, by]), z)
        layer.line(points, light.shade(tone, z, x), wide * view.scale(z))

    dark = colour("1a1a1c")
    stride = rng.uniform(0.05, 0.2)
    hip, neck = 0.5 * tall + lift, 0.83 * tall + lift
    if cycling:
        limb(0.0, 0.05, 0.0, 0.68, 0.07, None)
        limb(-0.28, 1.0, 0.28, 1.0, 0.05, None)
    limb(-0.08, hip, -stride, 0.05 + lift, 0.14, "trousers")
    limb(0.08, hip, stride * 0.6, 0.05 + lift, 0.14, "trousers")
    limb(-0.2, neck - 0.05, -0.27, hip, 0.1, "shirt")
    limb(0.2, neck - 0.05, 0.27, hip, 0.1, "shirt")
    limb(0.0, hip, 0.0, neck - 0.1, 0.36, "shirt")
    limb(0.0, neck + 0.1, 0.0, neck + 0.16, 0.2, "skin")
    layer.stamp(MOVABLE, z, view.hidden_below(z))
