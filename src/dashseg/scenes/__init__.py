"""Dash-camera scenes drawn by the program itself: frames with masks that are exact to the pixel.

`render_scene(seed, index)` gives one labelled frame, `synthesise(folder, n, seed)` a data set in
comma10k's format. They serve to try everything out before any real data is at hand, and in tests.
"""

from dashseg.scenes.scene import Scene, render_scene
from dashseg.scenes.write import synthesise

__all__ = ["Scene", "render_scene", "synthesise"]
