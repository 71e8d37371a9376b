"""Promises of the drawn scenes: repeatable, labelled exactly, and stored as comma10k stores its."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dashseg.errors import InputError
from dashseg.labels import COMMA10K, read_mask
from dashseg.scenes import render_scene, synthesise
from dashseg.scenes.camera import Camera, View
from dashseg.scenes.canvas import (
    MARKING,
    MOVABLE,
    MY_CAR,
    ROAD,
    UNDRIVABLE,
    Canvas,
    Layer,
    bounds,
    colour,
)
from dashseg.scenes.ground import paint_ground
from dashseg.scenes.light import sample_light
from dashseg.scenes.names import scene_name
from dashseg.scenes.road import Band, Lane, Line, Road
from dashseg.scenes.textures import TILE, noise_tile, sample
from dashseg.scenes.vehicles import Vehicle, paint_vehicle

SMALL = (219, 291)  # a quarter of comma10k's size
STRAIGHT = np.array([[0.0, 0.0], [3000.0, 0.0]])


@pytest.fixture(scope="module")
def labels():
    """Labels of sixteen scenes, each filmed by another device."""
    return [render_scene(5, index, SMALL).label for index in range(0, 160, 10)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("scenes") / "data"
    seen = []
    synthesise(out, 4, 7, workers=2, size=(110, 146), on_progress=lambda i, n: seen.append((i, n)))
    return out, seen


def flat_view(width=291, height=219):
    """A level, straight road seen by a camera whose numbers are easy to calculate with."""
    camera = Camera(width, height, 227.5, 145.5, 90.0, 1.25)
    return View(camera, STRAIGHT, STRAIGHT, 0.0)


def plain_road(lines, bands):
    return Road("country", 0.0, (Lane(0.0, 3.5, 1),), lines, bands, (), "grass", 0.0, 0.0, 0.0, 0.0)


def daylight():
    """The light of the first drawn scene that is bright and dry."""
    drawn = (sample_light(np.random.default_rng(n)) for n in range(100))
    return next(light for light in drawn if light.kind == "clear")


def test_the_same_seed_and_index_give_the_same_bytes_whatever_came_before() -> None:
    first = render_scene(3, 4, SMALL)
    render_scene(3, 5, (100, 133))
    again = render_scene(3, 4, SMALL)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.label.tobytes() == again.label.tobytes()
    assert first.name == again.name


def test_the_number_of_opencv_threads_changes_nothing() -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = render_scene(3, 8, SMALL)
        cv2.setNumThreads(4)
        four = render_scene(3, 8, SMALL)
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(one.image, four.image)
    assert np.array_equal(one.label, four.label)


def test_another_process_renders_the_same_bytes() -> None:
    code = (
        "import hashlib; from dashseg.scenes import render_scene;"
        "s = render_scene(3, 4, (219, 291));"
        "print(hashlib.sha256(s.image.tobytes() + s.label.tobytes()).hexdigest())"
    )
    scene = render_scene(3, 4, SMALL)
    here = hashlib.sha256(scene.image.tobytes() + scene.label.tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_another_index_or_seed_gives_another_scene() -> None:
    scenes = [render_scene(*which, SMALL) for which in ((3, 4), (3, 5), (4, 4))]
    assert len({s.image.tobytes() for s in scenes}) == 3
    assert len({s.label.tobytes() for s in scenes}) == 3
    assert len({s.name for s in scenes}) == 3


@pytest.mark.parametrize("size", [SMALL, (64, 64), (121, 203)])
def test_image_and_label_have_the_size_asked_for(size: Any) -> None:
    scene = render_scene(1, 2, size)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.label.shape == size
    assert scene.label.dtype == np.uint8


def test_a_scene_looks_alike_at_every_size() -> None:
    small, large = render_scene(2, 3, SMALL), render_scene(2, 3, (438, 582))
    shrunk = cv2.resize(large.image, SMALL[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small.image).mean() < 8.0
    assert (large.label[1::2, 1::2] == small.label).mean() > 0.96


def test_labels_hold_comma10ks_five_classes_and_nothing_else(labels: Any) -> None:
    assert set(np.unique(labels)) == {ROAD, MARKING, UNDRIVABLE, MOVABLE, MY_CAR}
    names = [COMMA10K.names[i] for i in (ROAD, MARKING, UNDRIVABLE, MOVABLE, MY_CAR)]
    assert names == ["road", "lane markings", "undrivable", "movable", "my car"]


def test_each_class_takes_a_plausible_share_of_the_pixels(labels: Any) -> None:
    """comma10k: about 29 % road, 1.5 % markings, 47 % undrivable, 3 % movable, 20 % my car."""
    share = np.bincount(np.stack(labels).ravel(), minlength=5) / np.stack(labels).size
    assert 0.2 < share[ROAD] < 0.45
    assert 0.004 < share[MARKING] < 0.04
    assert 0.3 < share[UNDRIVABLE] < 0.6
    assert 0.01 < share[MOVABLE] < 0.15
    assert 0.08 < share[MY_CAR] < 0.3


def test_road_lies_below_the_upper_third(labels: Any) -> None:
    for label in labels:
        assert not np.isin(label[: SMALL[0] // 3], (ROAD, MARKING)).any()


def test_a_bonnet_covers_the_whole_bottom_edge(labels: Any) -> None:
    shares = [(label[-1] == MY_CAR).mean() for label in labels]
    assert all(share == 1.0 or share < 0.2 for share in shares)
    assert np.mean([share == 1.0 for share in shares]) > 0.7


def test_ground_labels_agree_with_a_pinhole_camera_worked_out_by_hand() -> None:
    view, canvas = flat_view(), Canvas(219, 291)
    line, band = Line(1.6, 0.3, False), Band(-2.97, 3.93, "asphalt", True)
    road = plain_road((line,), (band,))
    paint_ground(canvas, view, road, daylight(), [], 219, np.random.default_rng(0))
    disagree = 0
    for row in range(95, 219):
        z = 227.5 * 1.25 / (row + 0.5 - 90.0)
        for column in range(291):
            x = (column + 0.5 - 145.5) * z / 227.5
            expected = UNDRIVABLE
            if -2.97 <= x < 3.93:
                expected = ROAD
                if abs(x - 1.6) < 0.15 and 0.3 * 227.5 / z >= 0.7:
                    expected = MARKING
            disagree += canvas.label[row, column] != expected
    assert disagree <= 2  # of 36,000: centres that fall on an edge


def test_dashes_are_as_long_in_the_label_as_on_the_road() -> None:
    view, canvas = flat_view(), Canvas(219, 291)
    road = plain_road((Line(0.0, 0.4, True, 3.05, 0.0),), (Band(-9.0, 9.0, "asphalt", True),))
    paint_ground(canvas, view, road, daylight(), [], 219, np.random.default_rng(0))
    for row in range(100, 219):
        z = 227.5 * 1.25 / (row + 0.5 - 90.0)
        if 0.05 < z % 12.2 < 3.0:
            assert canvas.label[row, 145] == MARKING
        elif z % 12.2 > 3.1:
            assert canvas.label[row, 145] == ROAD


def test_markings_are_where_the_picture_is_bright() -> None:
    view, canvas = flat_view(), Canvas(219, 291)
    road = plain_road((Line(1.6, 0.5, False),), (Band(-9.0, 9.0, "fresh asphalt", True),))
    paint_ground(canvas, view, road, daylight(), [], 219, np.random.default_rng(0))
    near = canvas.rgb[120:].mean(-1)
    label = canvas.label[120:]
    between = (near[label == ROAD].mean() + near[label == MARKING].mean()) / 2
    assert ((near > between) == (label == MARKING))[label <= MARKING].mean() > 0.995


def test_noise_repeats_beyond_its_tile_without_a_seam() -> None:
    tile = noise_tile(21, 256, 1)
    x = np.random.default_rng(0).uniform(-7000, 7000, (40, 50)).astype(np.float32)
    y = np.random.default_rng(1).uniform(-7000, 7000, (40, 50)).astype(np.float32)
    y[0], x[1] = 511.5, -0.5  # between the last row or column and the first

    def at(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return tile[row.astype(int) % TILE, column.astype(int) % TILE].astype(float)

    column, row = np.floor(x).astype(float), np.floor(y).astype(float)
    right, down = x - column, y - row
    above = at(row, column) * (1 - right) + at(row, column + 1) * right
    below = at(row + 1, column) * (1 - right) + at(row + 1, column + 1) * right
    expected = above * (1 - down) + below * down
    assert np.abs(sample(tile, x, y) - expected).max() < 5e-4  # of noise with deviation 1


def test_a_polygons_label_is_its_inside_at_the_pixels_centres() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        canvas = Canvas(80, 100)
        corners = rng.uniform((5, 5), (95, 75), (3, 2))
        layer = Layer(canvas, bounds(corners))
        layer.polygon(corners, (1.0, 1.0, 1.0))
        layer.stamp(MOVABLE, 5.0)
        outline = corners.astype(np.float32)
        for row in range(80):
            for column in range(100):
                away = cv2.pointPolygonTest(outline, (column + 0.5, row + 0.5), True)
                if abs(away) > 0.5:  # sharp corners hold less than half of a pixel nearer by
                    assert (canvas.label[row, column] == MOVABLE) == (away > 0)


def test_a_half_covered_pixel_is_half_painted_and_takes_the_depth_of_what_covers_it() -> None:
    canvas = Canvas(20, 20)
    corners = np.array([[4.0, 4.0], [10.5, 4.0], [10.5, 12.0], [4.0, 12.0]])
    layer = Layer(canvas, bounds(corners), scale=4)
    layer.polygon(corners, (1.0, 0.5, 0.25))
    layer.stamp(MOVABLE, 7.0)
    assert canvas.rgb[8, 6] == pytest.approx([1.0, 0.5, 0.25])
    assert canvas.rgb[8, 10, 0] == pytest.approx(0.5, abs=0.26)
    assert (canvas.rgb[8, 12:] == 0.0).all()
    assert canvas.depth[8, 6] == 7.0
    assert np.isinf(canvas.depth[8, 12])


@pytest.mark.parametrize("kind", ["sedan", "suv", "pickup", "van", "bus", "truck", "trailer"])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_vehicle_is_as_large_and_stands_where_the_road_says(kind: str, direction: int) -> None:
    view, canvas = flat_view(), Canvas(219, 291)
    paint = colour("c0c0c0")
    car = Vehicle(kind, 0.0, 20.0, direction, paint, False, False, paint)
    paint_vehicle(canvas, view, daylight(), car)
    rows, columns = np.nonzero(canvas.label == MOVABLE)
    per_metre = 227.5 / 20.0
    wide = {"sedan": 1.82, "suv": 1.92, "pickup": 2.0, "van": 2.0}.get(kind, 2.5)
    assert columns.max() - columns.min() + 1 == pytest.approx(wide * per_metre, abs=3.0)
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(145.5, abs=1.0)
    assert rows.max() + 1 == pytest.approx(90.0 + 1.25 * per_metre, abs=2.0)


def test_vehicles_too_small_to_see_are_neither_painted_nor_labelled() -> None:
    view, canvas = flat_view(), Canvas(219, 291)
    paint = colour("c0c0c0")
    paint_vehicle(
        canvas, view, daylight(), Vehicle("sedan", 0.0, 150.0, 1, paint, True, True, paint)
    )
    assert not (canvas.label == MOVABLE).any()
    assert not canvas.rgb.any()
    assert not canvas.lamps


def test_a_crest_hides_what_stands_behind_it() -> None:
    camera = Camera(291, 219, 227.5, 145.5, 90.0, 1.25)
    falls = np.array([[0.0, 0.0], [30.0, 0.0], [60.0, -0.1], [3000.0, -0.1]])
    view = View(camera, STRAIGHT, falls, 0.0)
    assert np.isinf(view.hidden_below(20.0))
    assert view.hidden_below(150.0) < float(view.project(0.0, 0.0, 150.0)[1])


def test_names_have_comma10ks_shape_and_one_in_ten_ends_in_nine() -> None:
    names = [Path(scene_name(11, index)) for index in range(200)]
    ends = [index for index, name in enumerate(names) if name.stem.endswith("9")]
    assert ends == list(range(9, 200, 10))
    assert len(set(names)) == 200
    for index, name in enumerate(names):
        number, device, route, segment, frame = name.name.removesuffix(".png").split("_")
        assert number == f"{index:04d}"
        assert len(device) == 16
        assert set(device) <= set("0123456789abcdef")
        assert len(route) == len("2018-08-19--13-26-08")
        assert segment.isdigit()
        assert frame.isdigit()


def test_a_written_frame_and_its_mask_are_the_scene_rendered_here(written: Any) -> None:
    out, _ = written
    for index in range(4):
        scene = render_scene(7, index, (110, 146))
        image = cv2.imread(str(out / "imgs" / scene.name), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(image[..., ::-1], scene.image)
        assert np.array_equal(read_mask(out / "masks" / scene.name, COMMA10K), scene.label)


def test_a_written_data_set_holds_pairs_and_says_that_they_are_drawn(written: Any) -> None:
    out, _ = written
    frames = sorted(p.name for p in (out / "imgs").iterdir())
    assert frames == sorted(p.name for p in (out / "masks").iterdir())
    assert len(frames) == 4
    assert sorted(p.name for p in out.iterdir()) == ["imgs", "masks", "scenes.json"]


def test_written_masks_show_exactly_the_palette(written: Any) -> None:
    out, _ = written
    palette = {(0x40, 0x20, 0x20), (255, 0, 0), (0x80, 0x80, 0x60), (0, 255, 0x66), (0xCC, 0, 255)}
    for path in (out / "masks").iterdir():
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels.shape == (110, 146, 3)
        assert {tuple(c) for c in pixels[..., ::-1].reshape(-1, 3).tolist()} <= palette


def test_progress_is_reported_once_per_scene(written: Any) -> None:
    _, seen = written
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="choose a new name, or an empty folder"):
        synthesise(tmp_path, 1, 0, workers=1, size=SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(("n", "workers"), [(0, 1), (-1, 1), (1, 0)])
def test_numbers_that_make_no_sense_are_refused_before_anything_is_written(
    tmp_path: Path, n: int, workers: int
) -> None:
    with pytest.raises(InputError):
        synthesise(tmp_path / "new", n, 0, workers=workers, size=SMALL)
    assert not (tmp_path / "new").exists()
