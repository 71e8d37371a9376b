"""Scenes of many cameras and many countries' streets: what `varied` changes of a drawn scene.

A plain scene has comma's camera and American roads. A varied one draws another camera (`lens.py`),
paints the road as other countries do, puts junctions, arrows and hatching on it, and lets paint
wear, surfaces differ and shadows fall. The label stays exact.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dashseg.scenes.camera import Float32s
from dashseg.scenes.canvas import UNDRIVABLE, Canvas
from dashseg.scenes.light import Light
from dashseg.scenes.road import PLACES, Band, Mark, Road, Shade, sample_road
from dashseg.scenes.textures import noise_tile, sample

_ODDS = {"highway": 0.24, "country": 0.2, "suburb": 0.24, "city": 0.32}
_GROUND = {
    "asphalt": 0.32, "old asphalt": 0.28, "fresh asphalt": 0.14, "pale asphalt": 0.11,
    "concrete": 0.08, "brick": 0.04, "cobbles": 0.03,
}  # fmt: skip
_BESIDE = ("pavement", "old asphalt", "asphalt", "brick", "cobbles", "grass", "dirt", "concrete",
           "pale asphalt", "red tiles", "red earth")  # fmt: skip
_KERBS = ("kerb", "kerb", "dark kerb", "pavement", "white kerb", "yellow kerb")


def vary_light(light: Light, rng: np.random.Generator) -> Light:
    """Other exposures and colour casts than comma's camera has, and skies that are too bright."""
    cast = rng.uniform(0.82, 1.18, 3) if rng.random() < 0.5 else rng.uniform(0.95, 1.05, 3)
    # Cameras that expose for the street show most skies white.
    glare = rng.uniform(1.5, 7.0) if not light.dark and rng.random() < 0.55 else 1.0
    return replace(
        light,
        exposure=light.exposure * np.exp(rng.uniform(np.log(0.8), np.log(2.8))),
        tint=light.tint * cast,
        zenith=light.zenith * glare,
        horizon=light.horizon * glare,
        noise=light.noise * rng.uniform(0.5, 2.5),
        haze=light.haze * np.exp(rng.uniform(np.log(0.25), np.log(2.5))) / glare,
    )


def roughen(canvas: Canvas, ground: Float32s, rng: np.random.Generator) -> None:
    """Give walls, plants and whatever else stands beside the road the fine detail of real ones.

    The ground gets none: else its texture would tell what is road.

    Args:
        ground: the canvas's depth (H, W) before anything stood on the ground.
    """
    height, width = canvas.label.shape
    tile = noise_tile(28, int(rng.choice([16, 32, 64])), 3, 0.8)
    zoom = width / 1164.0 * rng.uniform(0.8, 1.8)  # the same look at every size
    across, down = (np.arange(n, dtype=np.float32) / np.float32(zoom) for n in (width, height))
    shift = rng.uniform(0, 512, 2).astype(np.float32)
    detail = sample(tile, across[None, :] + shift[0], down[:, None] + shift[1])
    beside = (canvas.label == UNDRIVABLE) & (canvas.depth != ground)
    gain = 1.0 + np.float32(rng.uniform(0.0, 0.4)) * detail * beside
    canvas.rgb *= np.maximum(gain, 0.25)[..., None]


def sample_varied_road(rng: np.random.Generator) -> Road:
    """Draw a road of any country."""
    places = list(PLACES)
    place = str(rng.choice(places, p=[_ODDS[name] for name in places]))
    road = sample_road(rng)
    while road.place != place:  # a handful of draws
        road = sample_road(rng)
    road = _paint(_surfaces(road, rng), rng)
    marks = [*_on_lanes(road, rng), *_along_kerbs(road, rng)]
    street = road.place in ("suburb", "city")
    near = rng.uniform(9.0, 60.0)
    junction = (near, near + rng.uniform(5.0, 11.0)) if street and rng.random() < 0.45 else None
    if junction:
        marks += _stop_lines(road, junction[0], rng)
    crossing = rng.uniform(8.0, 45.0) if street and rng.random() < 0.25 else 0.0
    shades = tuple(_shade(road, rng) for _ in range(int(rng.integers(0, 6))))
    if place != "highway" and rng.random() < 0.1:
        road, marks = _unpaved(road, rng), []
    return replace(
        road,
        marks=tuple(marks),
        junction=junction,
        crossing=crossing,
        shades=shades if rng.random() < 0.6 else (),
        wear=rng.uniform(0.0, 1.0) ** 1.3,
        cracks=rng.uniform(0.0, 1.0),
        missing=rng.uniform(0.0, 1.0) if rng.random() < 0.35 else 0.0,
        grain=rng.uniform(0.15, 1.1),
        ego_x=road.ego_x + rng.normal(0, 0.25),
    )


def _surfaces(road: Road, rng: np.random.Generator) -> Road:
    """Other materials; pavements that look like roads, and roads that look like pavements."""
    ground, beside = _material(rng), str(rng.choice(_BESIDE))
    shoulder = ground if rng.random() < 0.6 else _material(rng)
    kerb = str(rng.choice(_KERBS))
    main = max((band for band in road.bands if band.drivable), key=lambda band: band.right)
    bands = []
    for band in road.bands:
        material = band.material
        if band.drivable:
            material = ground if band == main else shoulder
        elif material == "pavement" and rng.random() < 0.7:
            material = beside
        elif material == "kerb":
            material = kerb
        bands.append(Band(band.left, band.right, material, band.drivable))
    return replace(road, bands=tuple(bands), joints=4.6 if ground == "concrete" else 0.0)


def _unpaved(road: Road, rng: np.random.Generator) -> Road:
    """A road of earth or gravel, without paint."""
    ground = str(rng.choice(["dirt", "gravel", "red earth"]))
    bands = [b._replace(material=ground) if b.drivable else b for b in road.bands]
    bands = [b for b in bands if b.material != "kerb" or rng.random() < 0.3]
    return replace(road, bands=tuple(bands), lines=(), joints=0.0)


def _material(rng: np.random.Generator) -> str:
    return str(rng.choice(list(_GROUND), p=list(_GROUND.values())))


def _paint(road: Road, rng: np.random.Generator) -> Road:
    """The lines in other colours, widths and dashes; sometimes a few, or all, are missing."""
    white = rng.random() < 0.6  # most countries' centre lines
    wide, dash = rng.uniform(0.7, 1.5), rng.uniform(1.0, 8.0)
    missing = rng.choice([0.0, 0.4, 1.0], p=[0.78, 0.14, 0.08])
    dashed_middle = rng.random() < 0.5
    lines = []
    for line in road.lines:
        if rng.random() < missing:
            continue
        if white and dashed_middle and line.yellow and road.place != "highway":
            if line.x > 0:
                continue  # one line where there were two
            line = line._replace(x=0.0, dash=dash, phase=rng.uniform(0, 12))
        lines.append(
            line._replace(
                yellow=line.yellow and not white,
                width=line.width * wide,
                dash=min(dash, 11.0) if line.dash else 0.0,
            )
        )
    return replace(road, lines=tuple(lines))


def _along_kerbs(road: Road, rng: np.random.Generator) -> list[Mark]:
    """Lines beside the kerb that forbid parking, and zigzags before a crossing."""
    if road.place == "highway" or rng.random() < 0.5:
        return []
    left, right = road.paved()
    yellow, wide = bool(rng.random() < 0.75), rng.uniform(0.08, 0.14)
    marks = []
    for edge, sign in ((left, 1), (right, -1)):
        if rng.random() < 0.3:
            continue
        for away in (0.25, 0.45) if rng.random() < 0.6 else (0.3,):
            x = edge + sign * (away + wide)
            marks.append(Mark(x - wide / 2, x + wide / 2, 0.0, 250.0, 0.0, yellow))
        if rng.random() < 0.25:
            z = rng.uniform(6.0, 30.0)
            for turn in range(int(rng.integers(4, 9))):
                slope = 0.25 if turn % 2 else -0.25
                x = edge + sign * 0.9 - slope
                marks.append(Mark(x - 0.06, x + 0.06, z, z + 2.0, slope, False))
                z += 2.0
    return marks


def _on_lanes(road: Road, rng: np.random.Generator) -> list[Mark]:
    """Arrows, hatched areas and rows of bars on lanes."""
    marks: list[Mark] = []
    lanes = [lane for lane in road.lanes if not lane.parking and lane.x > road.ego_x - 12]
    for lane in lanes:
        if rng.random() < 0.25:
            z = rng.uniform(5.0, 45.0)
            for _ in range(int(rng.integers(1, 3))):
                marks += _arrow(lane.x + rng.uniform(-0.2, 0.2), z, lane.direction)
                z += rng.uniform(12.0, 25.0)
        if rng.random() < 0.07:  # hatching, or a box junction's crossed lines
            z, half = rng.uniform(6.0, 40.0), lane.width / 2
            yellow, both = bool(rng.random() < 0.4), rng.random() < 0.5
            for k in range(int(rng.integers(4, 9))):
                at = z + 1.7 * k
                for slope in (0.9, -0.9) if both else (0.9,):
                    start = lane.x - half if slope > 0 else lane.x + half
                    long = 2 * half / abs(slope)
                    marks.append(Mark(start - 0.08, start + 0.08, at, at + long, slope, yellow))
        if rng.random() < 0.07:  # letters, a cycle: bars of all lengths
            z = rng.uniform(5.0, 30.0)
            for x in np.arange(lane.x - 0.9, lane.x + 0.8, rng.uniform(0.3, 0.5)):
                low = z + rng.uniform(0, 0.6)
                tilt = rng.uniform(-0.15, 0.15)
                high = low + rng.uniform(0.6, 2.2)
                marks.append(Mark(float(x), float(x) + 0.14, low, high, tilt, False))
    return marks


def _arrow(x: float, z: float, direction: int) -> list[Mark]:
    """A shaft, and two strokes that meet at its tip."""
    marks = [Mark(x - 0.09, x + 0.09, z, z + 3.4, 0.0, False)]
    for lean in (0.4, -0.4):
        if direction > 0:  # the strokes begin beside the shaft and end at its far end
            start, low = x - lean, z + 2.4
        else:
            start, low = x, z
        marks.append(Mark(start - 0.1, start + 0.1, low, low + 1.0, lean, False))
    return marks


def _stop_lines(road: Road, near: float, rng: np.random.Generator) -> list[Mark]:
    """Across the lanes before a junction: whole, or dashed as where one gives way."""
    ours = [lane for lane in road.lanes if lane.direction > 0 and not lane.parking]
    if not ours or rng.random() < 0.35:
        return []
    left = min(lane.x - lane.width / 2 for lane in ours) + 0.1
    right = max(lane.x + lane.width / 2 for lane in ours) - 0.1
    low, deep = near - 1.2, rng.uniform(0.2, 0.5)
    if rng.random() < 0.6:
        return [Mark(left, right, low, low + deep, 0.0, False)]
    starts = np.arange(left, right - 0.4, 0.9)
    return [Mark(float(x), float(x) + 0.6, low, low + deep, 0.0, False) for x in starts]


def _shade(road: Road, rng: np.random.Generator) -> Shade:
    """The hard shadow of a house, a pole or a crown across the road."""
    left, right = road.paved()
    z = rng.uniform(3.0, 60.0)
    long = rng.uniform(0.3, 1.0) if rng.random() < 0.3 else rng.uniform(2.0, 14.0)
    reach = rng.uniform(-1.0, 1.0) * (right - left)
    ends = (left - 12.0, right + reach) if rng.random() < 0.5 else (left + reach, right + 12.0)
    return Shade(min(ends), max(ends), z, z + long, rng.uniform(-0.5, 0.5), rng.uniform(0.35, 0.8))
