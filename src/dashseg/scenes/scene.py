"""A seed and an index in, one labelled dash-camera frame out.

Everything random comes from numpy's default_rng([seed, index]); the car and its camera come from
default_rng([seed, device]), since ten scenes in a row are filmed by one device.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashseg.scenes.bonnet import covered_from, paint_bonnet, sample_bonnet
from dashseg.scenes.camera import Camera, Floats, View
from dashseg.scenes.canvas import Canvas
from dashseg.scenes.crowd import Rider, cross_traffic, paint_rider, place_riders
from dashseg.scenes.finish import develop
from dashseg.scenes.ground import paint_ground
from dashseg.scenes.lens import finish, sample_camera
from dashseg.scenes.light import sample_light
from dashseg.scenes.names import PER_DEVICE, scene_name
from dashseg.scenes.road import Road, sample_road
from dashseg.scenes.roadside import Thing, order
from dashseg.scenes.scenery import place_lamps, place_scenery
from dashseg.scenes.sky import paint_hills, paint_sky, paint_tree_line
from dashseg.scenes.traffic import place_traffic, vehicle_order
from dashseg.scenes.varied import roughen, sample_varied_road, vary_light
from dashseg.scenes.vehicles import paint_shadow, paint_vehicle

NATIVE_WIDTH, NATIVE_FOCAL = 1164, 910.0  # pixels; comma's EON camera


class Scene(NamedTuple):
    """image: (H, W, 3) uint8 RGB. label: (H, W) uint8 class ids 0..4. name: ends in .png."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    name: str


def render_scene(
    seed: int, index: int, size: tuple[int, int] = (874, 1164), varied: bool = False
) -> Scene:
    """Render scene `index` of the endless set `seed` at size (height, width) in pixels.

    The same arguments give the same bytes whatever was rendered before. varied: of many cameras
    and countries, see `varied.py`.
    """
    rngs = np.random.default_rng([seed, index]).spawn(9)
    device = np.random.default_rng([seed, index // PER_DEVICE, 1])
    height, width = size
    camera = Camera(
        width=width,
        height=height,
        focal=NATIVE_FOCAL * width / NATIVE_WIDTH,
        centre_u=width * device.uniform(0.47, 0.53),
        horizon_v=height * (device.uniform(0.4, 0.47) + rngs[8].uniform(-0.012, 0.012)),
        eye=device.uniform(1.15, 1.4),
    )
    bonnet = sample_bonnet(device)
    light = sample_light(rngs[0])
    if varied:
        own = np.random.default_rng([seed, index, 3])
        camera, mounting = sample_camera(own, size)
        height, width = camera.height, camera.width
        light, road = vary_light(light, own), sample_varied_road(own)
    else:
        mounting, road = None, sample_road(rngs[1])
    view = View(camera, *_course(road, rngs[2]), -road.ego_x)
    traffic = place_traffic(road, light, rngs[3], varied)
    riders: list[Rider] = []
    if varied:
        traffic = cross_traffic(road, traffic, own)
        riders = place_riders(road, traffic, own)
    pools, posts = place_lamps(road, light, rngs[4])

    canvas = Canvas(height, width)
    paint_sky(canvas, camera, light, rngs[5])
    paint_hills(canvas, camera, light, rngs[5])
    paint_tree_line(canvas, camera, light, rngs[5])
    with_bonnet = mounting is None or mounting.bonnet
    until = covered_from(camera, bonnet) if with_bonnet else height
    paint_ground(canvas, view, road, light, pools, until, rngs[6])
    ground = canvas.depth.copy() if varied else canvas.depth
    for vehicle in traffic:
        paint_shadow(canvas, view, light, vehicle)
    things: list[Thing] = [
        (
            vehicle_order(road, vehicle),
            partial(paint_vehicle, view=view, light=light, vehicle=vehicle),
        )
        for vehicle in traffic
    ]
    things += [
        (order(road, rider.x, rider.z), partial(paint_rider, view=view, light=light, rider=rider))
        for rider in riders
    ]
    things += place_scenery(road, view, light, posts, rngs[4])
    for _, paint in sorted(things, key=lambda thing: thing[0], reverse=True):
        paint(canvas)
    if varied:
        roughen(canvas, ground, own)
    if with_bonnet:
        paint_bonnet(canvas, camera, light, bonnet)
    image, label = develop(canvas, camera, light, rngs[7]), canvas.label
    if mounting is not None:
        image, label = finish(image, label, mounting, size)
    return Scene(image, label, scene_name(seed, index))


def _course(road: Road, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Bends and slopes, each (K, 2) of distance and value, as the kind of road allows."""
    at = np.array([0.0, 40.0, 110.0, 240.0, 500.0, 1200.0, 3000.0])
    sharp = {"highway": 1 / 1100, "country": 1 / 350, "suburb": 1 / 700, "city": 1 / 3000}
    steep = {"highway": 0.018, "country": 0.035, "suburb": 0.028, "city": 0.012}
    bends = rng.normal(0.0, sharp[road.place] * 0.6, len(at)) * [0.5, 1, 1, 1, 0.3, 0, 0]
    slopes = rng.normal(0.0, steep[road.place], len(at)) * [0, 0.3, 0.7, 1, 0.8, 0.1, 0]
    return np.stack([at, bends], 1), np.stack([at, slopes], 1)
