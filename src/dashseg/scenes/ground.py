"""The ground of a road's plan, painted on a canvas pixel by pixel.

Each pixel knows where on the ground its centre falls, so that surfaces and lines are exact: the
picture takes the share of the pixel's footprint that they cover, the label takes its centre.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.scenes.camera import Float32s, Floats, GroundPixels, View
from dashseg.scenes.canvas import MARKING, ROAD, Canvas, colour
from dashseg.scenes.light import Light
from dashseg.scenes.road import PERIOD, Line, Mark, Road, Shade
from dashseg.scenes.textures import crack_tile, noise_tile, sample

# Colour, and how much fine, middle and coarse noise varies it.
MATERIALS: dict[str, tuple[str, float, float, float]] = {
    "asphalt": ("67666a", 0.08, 0.035, 0.05),
    "old asphalt": ("827f7c", 0.085, 0.04, 0.06),
    "fresh asphalt": ("4b4a4e", 0.08, 0.035, 0.04),
    "concrete": ("989387", 0.05, 0.03, 0.05),
    "gravel": ("8a8071", 0.22, 0.12, 0.08),
    "grass": ("56683a", 0.22, 0.25, 0.2),
    "dry grass": ("9a8753", 0.2, 0.2, 0.18),
    "dirt": ("8a7456", 0.18, 0.15, 0.12),
    "pavement": ("8f8c86", 0.08, 0.05, 0.08),
    "pale asphalt": ("a19e98", 0.08, 0.04, 0.07),
    "brick": ("8d6f62", 0.16, 0.1, 0.08),
    "cobbles": ("77736d", 0.3, 0.16, 0.07),
    "red tiles": ("96594b", 0.12, 0.06, 0.08),
    "red earth": ("8f5f42", 0.16, 0.14, 0.14),
    "dark kerb": ("5f5d59", 0.08, 0.05, 0.05),
    "white kerb": ("d8d8d2", 0.06, 0.08, 0.08),
    "yellow kerb": ("c79a35", 0.06, 0.08, 0.08),
    "kerb": ("a39f96", 0.08, 0.05, 0.05),
}
WHITE, YELLOW = colour("dcdcd8"), colour("d2a437")
STRIP = 48  # rows worked on at once: their arrays stay in the processor's cache
FAINTEST = 0.7  # pixels; a line that looks narrower than this is left out of picture and label


class Pool(NamedTuple):
    """A street lamp's light on the ground."""

    x: float
    z: float
    colour: Floats


class Window(NamedTuple):
    """A range of columns and the share of each of its pixels that something covers."""

    columns: slice
    cover: Float32s  # (R, columns)
    inside: NDArray[np.bool_]  # whether the pixel's centre is covered


def window(ground: GroundPixels, left: float | Float32s, right: float | Float32s) -> Window | None:
    """The pixels between two lines along the road; None if the image shows none.

    left, right: metres, or (R, 1) for lines that are not parallel to the road.
    """
    columns = _columns(ground, left, right)
    if columns.stop <= columns.start:
        return None
    x, half = ground.x[:, columns], ground.pixel * 0.5
    low, high = np.asarray(left, np.float32), np.asarray(right, np.float32)
    cover = np.minimum(x + half, high) - np.maximum(x - half, low)
    np.maximum(cover, 0.0, out=cover)
    cover /= ground.pixel
    np.minimum(cover, 1.0, out=cover)
    return Window(columns, cover, (x >= left) & (x < right))


def _columns(ground: GroundPixels, left: float | Float32s, right: float | Float32s) -> slice:
    first = int(np.floor(((left - ground.x[:, :1]) / ground.pixel).min())) - 1
    last = int(np.ceil(((right - ground.x[:, :1]) / ground.pixel).max())) + 2
    width = ground.x.shape[1]
    return slice(min(max(0, first), width), min(max(0, last), width))


def paint_ground(
    canvas: Canvas,
    view: View,
    road: Road,
    light: Light,
    pools: list[Pool],
    until: int,
    rng: np.random.Generator,
) -> None:
    """Paint the ground above image row `until`: verges, road surface, lines, light and air."""
    ground = view.ground_pixels(until)
    seed = int(rng.integers(0, 2**32))
    for top in range(0, len(ground.z), STRIP):
        rows = slice(top, top + STRIP)
        first = ground.first_row + top
        strip = GroundPixels(first, *(part[rows] for part in ground[1:]))
        # Every strip draws the same numbers, since it shows a part of the same road.
        _paint_strip(canvas, view, road, light, pools, strip, np.random.default_rng(seed))


def _paint_strip(
    canvas: Canvas,
    view: View,
    road: Road,
    light: Light,
    pools: list[Pool],
    ground: GroundPixels,
    rng: np.random.Generator,
) -> None:
    rows, width = ground.x.shape
    noise = _noise(ground, rng)
    lost = _lost_paint(ground, road.missing, rng) if road.missing else None
    if road.grain != 1.0:
        noise = tuple(layer * np.float32(road.grain) for layer in noise)
    planes = _flat(road.verge, noise)  # (3, R, W) linear surface colour
    seen = slice(ground.first_row, ground.first_row + rows)
    label = canvas.label[seen]

    on_road = np.zeros((rows, width), bool)
    for band in road.bands:
        w = window(ground, band.left, band.right)
        if w is None:
            continue
        part = planes[:, :, w.columns]
        patch = tuple(layer[:, w.columns] for layer in noise)
        part += w.cover * (_flat(band.material, patch) - part)
        on_road[:, w.columns][w.inside] = band.drivable
    if road.junction:
        _pave_junction(planes, on_road, ground, road, noise)
    label[on_road] = ROAD

    gain = _marks_of_use(ground, road, rng)
    planes *= np.where(on_road, gain, np.float32(1.0))
    if road.crossing:
        _paint_crossing(planes, ground, road)
    for line in road.lines:
        _paint_line(planes, label, ground, line, road, noise[1], lost)
    for mark in road.marks:
        _paint_mark(planes, label, ground, mark, road.wear, noise[1], lost)

    if light.wet:
        planes *= np.where(on_road, np.float32(1.0 - 0.45 * light.wet), np.float32(1.0))
    lit = _light_on_ground(ground, view, road, light, pools, rng)
    clear = light.clearness(ground.z).astype(np.float32)
    mirror = np.float32(light.wet * 0.5) * ground.z / (ground.z + 25.0) * on_road  # more at a graze
    for channel in range(3):
        plane = planes[channel]
        plane *= lit[channel]
        horizon = np.float32(light.horizon[channel])
        if light.wet:
            plane += mirror * (horizon * np.float32(0.8) - plane)
        plane *= clear
        plane += horizon * (1.0 - clear)
    canvas.rgb[seen] = cv2.merge(list(planes))
    canvas.depth[seen] = ground.z


def _noise(ground: GroundPixels, rng: np.random.Generator) -> tuple[Float32s, ...]:
    """Fine, middle and coarse noise (R, W); each fades where a pixel holds many of its grains."""
    layers = []
    x = np.clip(ground.x, -150.0, 150.0)
    z = np.minimum(ground.z, 400.0)
    for tile, cells, octaves, per_metre in (
        (21, 256, 1, 45.0),
        (22, 64, 3, 22.0),
        (23, 16, 4, 2.2),
    ):
        shift = rng.uniform(0, 512, 2).astype(np.float32)
        grain = per_metre * cells / 512  # features per metre
        fade = np.minimum(1.0, 1.5 / (grain * ground.depth_step + 1e-6))
        values = sample(
            noise_tile(tile, cells, octaves),
            x * per_metre + shift[0],
            z * (per_metre * 0.7) + shift[1],
        )
        layers.append(values * fade)
    return tuple(layers)


def _flat(material: str, noise: tuple[Float32s, ...]) -> Float32s:
    """A material's colour with its noise, (3, R, W)."""
    tone, fine, middle, coarse = MATERIALS[material]
    amount = np.float32(fine) * noise[0]
    amount += np.float32(middle) * noise[1]
    amount += np.float32(coarse) * noise[2]
    amount += 1.0
    np.maximum(amount, 0.2, out=amount)
    return amount * colour(tone).astype(np.float32)[:, None, None]


def _marks_of_use(ground: GroundPixels, road: Road, rng: np.random.Generator) -> Float32s:
    """What traffic and repairs did to the surface, as a factor (R, W)."""
    gain = np.ones(ground.x.shape, np.float32)
    polish, oil = rng.uniform(-0.1, 0.14), rng.uniform(0.0, 0.14)
    for lane in road.lanes:
        if lane.parking or lane.x < road.ego_x - 15.0:  # too far to be seen
            continue
        for x, half, depth in ((lane.x - 0.8, 0.5, polish), (lane.x + 0.8, 0.5, polish)):
            _streak(gain, ground, x, half, depth)
        _streak(gain, ground, lane.x, 0.55, -oil)
    for _ in range(int(rng.integers(0, 7))):  # patches and old trenches
        near_lane = road.lanes[int(rng.integers(0, len(road.lanes)))]
        x, z = near_lane.x + rng.uniform(-1.5, 1.5), rng.uniform(4.0, 60.0)
        wide, long = rng.uniform(0.4, 1.8), rng.uniform(0.8, 12.0)
        tone = rng.uniform(-0.22, 0.1)
        along = _share(ground, z, z + long)
        w = window(ground, x - wide / 2, x + wide / 2) if along.any() else None
        if w is not None:
            gain[:, w.columns] *= 1.0 + tone * w.cover * along
    if road.joints:
        for start in np.arange(rng.uniform(0, road.joints), 70.0, road.joints):
            along = _share(ground, start, start + 0.05)
            if along.any():
                gain *= 1.0 - np.float32(0.35) * along
    shift = rng.uniform(0, 512, 2).astype(np.float32)
    if road.cracks > 0.05 and ground.z.min() < 60.0:
        fade = np.clip(1.2 - ground.depth_step * 1.5, 0.0, 1.0)
        near = np.clip(ground.x, -40, 40) * 28.0 + shift[0]
        lines = sample(crack_tile(), near, np.minimum(ground.z, 60.0) * 28.0 + shift[1])
        gain *= 1.0 - 0.45 * road.cracks * lines * fade
    return gain


def _streak(gain: Float32s, ground: GroundPixels, x: float, half: float, depth: float) -> None:
    """Darken or lighten (depth < 0, > 0) a soft streak along the road."""
    columns = _columns(ground, x - half, x + half)
    if columns.stop > columns.start:
        near = 1.0 - np.abs(ground.x[:, columns] - np.float32(x)) * np.float32(1 / half)
        gain[:, columns] *= 1.0 + np.float32(depth) * np.maximum(near, 0.0)


def _share(ground: GroundPixels, near: float, far: float) -> Float32s:
    """The share (R, 1) of each row's footprint between two distances."""
    half = ground.depth_step * 0.5
    overlap = np.minimum(ground.z + half, far) - np.maximum(ground.z - half, near)
    return np.clip(overlap / (2 * half + 1e-9), 0.0, 1.0).astype(np.float32)


def _dashes(line: Line, z: Float32s) -> Floats:
    """Metres of paint along a dashed line between its start and z."""
    turns, rest = np.divmod(z.astype(float) + line.phase, PERIOD)
    return turns * line.dash + np.minimum(rest, line.dash)


def _paint_line(
    planes: Float32s,
    label: NDArray[np.uint8],
    ground: GroundPixels,
    line: Line,
    road: Road,
    noise: Float32s,
    lost: NDArray[np.bool_] | None,
) -> None:
    """Paint one line in picture and label; a junction interrupts it.

    lost: (R, W) where the paint has gone, in picture and label.
    """
    along, inside_along = np.ones_like(ground.z), np.ones(ground.z.shape, bool)
    if line.dash:
        half = ground.depth_step * 0.5
        painted = _dashes(line, ground.z + half) - _dashes(line, ground.z - half)
        along = np.clip(painted / (2 * half + 1e-9), 0.0, 1.0).astype(np.float32)
        inside_along = np.mod(ground.z + line.phase, PERIOD) < line.dash
    near_enough = line.width / ground.pixel >= FAINTEST
    along, inside_along = along * near_enough, inside_along & near_enough
    if road.junction:
        along = along * (1 - _share(ground, *road.junction))
        inside_along = inside_along & (
            (ground.z < road.junction[0]) | (ground.z >= road.junction[1])
        )
    w = window(ground, line.x - line.width / 2, line.x + line.width / 2) if along.any() else None
    if w is None:
        return
    w = _without(w, lost)
    _apply_paint(planes, label, w, along, inside_along, line.yellow, road.wear, noise)


def _lost_paint(
    ground: GroundPixels, missing: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """(R, W): patches of 3 m and less without paint, where a pixel is small enough to show them."""
    shift = rng.uniform(0, 512, 2).astype(np.float32)
    x, z = np.clip(ground.x, -60.0, 60.0), np.minimum(ground.z, 100.0)
    patches = sample(noise_tile(29, 32, 4, 0.8), x * 6.0 + shift[0], z * 6.0 + shift[1])
    # missing 1: half of it; the tile has mean 0 and deviation 1
    return (patches > 2.0 * (1.0 - missing)) & (ground.depth_step < 0.7)


def _without(w: Window, lost: NDArray[np.bool_] | None) -> Window:
    """The window less the pixels (R, W) that are lost."""
    if lost is None:
        return w
    kept = ~lost[:, w.columns]
    return Window(w.columns, w.cover * kept, w.inside & kept)


def _apply_paint(
    planes: Float32s,
    label: NDArray[np.uint8],
    w: Window,
    along: Float32s,
    inside_along: NDArray[np.bool_],
    yellow: bool,
    wear: float,
    noise: Float32s,
) -> None:
    """along: (R, 1) the painted share of each row. inside_along: whether its centre is painted."""
    tone = (YELLOW if yellow else WHITE).astype(np.float32)[:, None, None]
    grit = noise[:, w.columns]
    kept = np.clip(1.0 - np.float32(wear) * (0.55 + 0.5 * grit), 0.25, 1.0)
    part = planes[:, :, w.columns]
    part += (w.cover * along * kept) * (tone * (1.0 + np.float32(0.05) * grit) - part)
    label[:, w.columns][w.inside & inside_along] = MARKING


def _paint_mark(
    planes: Float32s,
    label: NDArray[np.uint8],
    ground: GroundPixels,
    mark: Mark,
    wear: float,
    noise: Float32s,
    lost: NDArray[np.bool_] | None,
) -> None:
    """Paint an arrow's stroke, a stop line and the like, in picture and label."""
    near_enough = (mark.right - mark.left) / ground.pixel >= FAINTEST
    # A stroke across the road is as deep as it is far enough seen.
    near_enough &= (mark.far - mark.near) >= FAINTEST * ground.depth_step
    along = _share(ground, mark.near, mark.far) * near_enough
    if not along.any():
        return
    shift = _shift(ground, mark)
    w = window(ground, mark.left + shift, mark.right + shift)
    if w is not None:
        inside = near_enough & (ground.z >= mark.near) & (ground.z < mark.far)
        w = _without(w, lost)
        _apply_paint(planes, label, w, along, inside, mark.yellow, wear, noise)


def _shift(ground: GroundPixels, mark: Mark | Shade) -> Float32s:
    """How far (R, 1) a slope has moved a shape to the right in each row."""
    deep = np.clip(ground.z - np.float32(mark.near), 0.0, mark.far - mark.near)
    return (np.float32(mark.slope) * deep).astype(np.float32)


def _pave_junction(
    planes: Float32s,
    on_road: NDArray[np.bool_],
    ground: GroundPixels,
    road: Road,
    noise: tuple[Float32s, ...],
) -> None:
    """A side road across what lies beside the carriageway, in the carriageway's material."""
    assert road.junction is not None
    near, far = road.junction
    along = _share(ground, near, far)
    if not along.any():
        return
    w = window(ground, *_beside(road))
    if w is None:
        return
    material = next(band.material for band in road.bands[::-1] if band.drivable)
    part = planes[:, :, w.columns]
    patch = tuple(layer[:, w.columns] for layer in noise)
    fresh = along * w.cover * ~on_road[:, w.columns]
    part += fresh * (_flat(material, patch) - part)
    on_road[:, w.columns] |= w.inside & (ground.z >= near) & (ground.z < far)


def _beside(road: Road) -> tuple[float, float]:
    """Left and right end of all that is paved or kerbed."""
    return min(band.left for band in road.bands), max(band.right for band in road.bands)


def _paint_crossing(planes: Float32s, ground: GroundPixels, road: Road) -> None:
    """White bars across the road; comma10k counts a crossing as road, not as lane markings."""
    along = _share(ground, road.crossing, road.crossing + 3.0)
    if not along.any():
        return
    left, right = road.paved()
    tone = WHITE.astype(np.float32)[:, None, None]
    for x in np.arange(left + 0.3, right - 0.6, 1.2):
        w = window(ground, float(x), float(x) + 0.6)
        if w is not None:
            part = planes[:, :, w.columns]
            part += (w.cover * along * np.float32(1.0 - 0.6 * road.wear)) * (tone - part)


def _light_on_ground(
    ground: GroundPixels,
    view: View,
    road: Road,
    light: Light,
    pools: list[Pool],
    rng: np.random.Generator,
) -> Float32s:
    """The light that falls on the ground, (3, R, W)."""
    sunlit = np.ones(ground.x.shape, np.float32)
    if light.sun[1] > 0.3 and rng.random() < 0.5:
        _tree_shadows(sunlit, ground, rng)
    for shade in road.shades:
        along = _share(ground, shade.near, shade.far)
        shift = _shift(ground, shade)
        w = window(ground, shade.left + shift, shade.right + shift) if along.any() else None
        if w is not None:
            sunlit[:, w.columns] *= 1.0 - np.float32(shade.depth) * w.cover * along
    direct = light.sun * max(0.0, light.sun_direction[1])
    lit = np.stack([sunlit * np.float32(direct[c]) + np.float32(light.sky[c]) for c in range(3)])
    if light.headlights:
        world_x = ground.x + view.centre(ground.z).astype(np.float32)
        beam = light.beam(world_x, ground.z).astype(np.float32)
        lit += beam * np.array([1.0, 0.93, 0.8], np.float32)[:, None, None]
    for pool in pools:
        if ground.z.min() - 40.0 > pool.z or ground.z.max() + 40.0 < pool.z:
            continue
        away = (
            (ground.x - np.float32(pool.x)) ** 2 + (ground.z - np.float32(pool.z)) ** 2
        ) * np.float32(1 / 60.0)
        away += 1.0
        spot = 1.0 / (away * away)
        lit += spot * pool.colour.astype(np.float32)[:, None, None]
    return lit


def _tree_shadows(sunlit: Float32s, ground: GroundPixels, rng: np.random.Generator) -> None:
    """Dappled shade that reaches over the road from one side."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    reach = rng.uniform(-4.0, 8.0)
    shift = rng.uniform(0, 512, 2).astype(np.float32)
    x, z = np.clip(ground.x, -60, 60), np.minimum(ground.z, 250.0)
    leaves = sample(noise_tile(24, 8, 5, 0.6), x * 9.0 + shift[0], z * 5.0 + shift[1])
    crowns = sample(noise_tile(25, 16, 2), x * 0.4 + shift[1], z * 1.3 + shift[0])
    inwards = np.clip((x * side - reach) / 6.0, -2.0, 1.0)
    shade = np.clip((crowns + 0.5 * leaves + inwards * 2.0) * 0.9, 0.0, 1.0)
    sunlit *= 1.0 - 0.85 * shade
