"""Which vehicles are on a road, in road coordinates, and when each is painted."""

import numpy as np

from dashseg.scenes.light import Light
from dashseg.scenes.road import Lane, Road
from dashseg.scenes.roadside import Order, order
from dashseg.scenes.vehicle_shapes import SHAPES
from dashseg.scenes.vehicles import Vehicle, sample_vehicle

FARTHEST = 230.0  # m; a car looks 7 pixels wide there


def place_traffic(
    road: Road, light: Light, rng: np.random.Generator, abroad: bool = False
) -> list[Vehicle]:
    """Vehicles lane by lane, none inside another or inside our own car."""
    busy = rng.choice([0.25, 0.7, 1.4], p=[0.35, 0.4, 0.25])  # vehicles per 30 m of lane
    vehicles = []
    for lane in road.lanes:
        if lane.parking:
            vehicles += _park(lane, rng, abroad)
            continue
        ours = abs(lane.x - road.ego_x) < lane.width / 2
        z = rng.uniform(9.0, 45.0) if ours else rng.uniform(-4.0, 40.0)
        while z < FARTHEST:
            x = lane.x + rng.uniform(-0.3, 0.3)
            vehicle = sample_vehicle(rng, x, z, lane.direction, light.lamps_lit, abroad)
            if z > 2.5:
                vehicles.append(vehicle)
            z += SHAPES[vehicle.kind].length + 5.0 + rng.exponential(30.0 / busy)
    return vehicles


def _park(lane: Lane, rng: np.random.Generator, abroad: bool) -> list[Vehicle]:
    """A row of parked cars with gaps."""
    vehicles, z = [], rng.uniform(3.0, 12.0)
    filled = rng.uniform(0.3, 0.9)
    while z < 110.0:
        x = lane.x + rng.uniform(-0.1, 0.1)
        vehicle = sample_vehicle(rng, x, z, lane.direction, False, abroad)
        if SHAPES[vehicle.kind].length < 6.0:
            if rng.random() < filled:
                vehicles.append(vehicle._replace(braking=False))
            z += SHAPES[vehicle.kind].length + rng.uniform(0.7, 1.6)
    return vehicles


def vehicle_order(road: Road, vehicle: Vehicle) -> Order:
    """When to paint a vehicle: one beyond a barrier before the whole stretch that it spans."""
    beyond = order(road, vehicle.x, vehicle.z)[1] > 0
    far = vehicle.z + SHAPES[vehicle.kind].length * beyond
    stretch, rank, _ = order(road, vehicle.x, far)
    return stretch, rank, order(road, vehicle.x, vehicle.z)[2]
