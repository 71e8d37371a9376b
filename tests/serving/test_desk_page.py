"""The desk in a real Chromium: what each tool does is read from what the server was sent."""

import io
import itertools
import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.labels import COMMA10K

pytest.importorskip("fastapi")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
HEIGHT, WIDTH = 96, 128
NAMES = [f"frame{number:02}" for number in range(24)]
# Clicks a button until it can do no more; how often that was.
TO_THE_END = "button => { let n = 0; for (; !button.disabled; n++) button.click(); return n }"
Point = tuple[float, float]
Label = Any


def draw_frame(index: int) -> tuple[Any, Label]:
    """Noise and blocks of classes; frame 0 has an edge that its label misses by three pixels."""
    rng = np.random.default_rng(index)
    if index == 0:
        image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        image[:, 64:] = 200
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[:, 61:] = 2
        label[:, 30:33] = 1  # thinner than what the snap moves
        return image, label
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return image, rng.integers(0, 5, (HEIGHT // 16, WIDTH // 16), np.uint8).repeat(16, 0).repeat(
        16, 1
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames in folders of images and masks, black for pixels to ignore."""
    root = tmp_path_factory.mktemp("desk") / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    lines = [
        f'  {name}: "#{bytes(colour).hex()}"'
        for name, colour in zip(COMMA10K.names, COMMA10K.colours, strict=True)
    ]
    palette = "\n".join(["classes:", *lines, 'ignore: ["#000000"]', ""])
    (root / "palette.yaml").write_text(palette)
    colours = np.array(COMMA10K.colours, np.uint8)
    for index, name in enumerate(NAMES):
        image, label = draw_frame(index)
        PIL.Image.fromarray(image).save(root / "images" / f"{name}.png")
        PIL.Image.fromarray(colours[label]).save(root / "masks" / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def address(serve: Any, segmenter: Any, data: Path) -> Iterator[str]:
    """A server with a desk."""
    from dashseg.serving.desk import Desk, open_frames

    frames = open_frames(DataConfig(root=str(data)), "all", segmenter.classes)
    models = {"tiny": segmenter}
    with (
        Desk(frames, data.parent / "edits", models) as desk,
        serve(models, desk=desk) as address,
    ):
        yield f"http://{address}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Person:
    """Somebody at the desk, with a browser of their own."""

    def __init__(self, browser: Any, address: str, name: str = "Ann", **context: Any) -> None:
        self.address = address
        self.context = browser.new_context(
            **{"viewport": {"width": 1100, "height": 720}, **context}
        )
        self.context.set_default_timeout(10_000)
        if name:
            self.context.add_init_script(f"localStorage.setItem('dashseg-desk-name', '{name}')")
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.visits = 0
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)

    def _note(self, message: Any) -> None:
        # Chromium reports an answer of 409 as an error; the page is there for it.
        if message.type in ("error", "warning") and "409" not in message.text:
            self.errors.append(message.text)

    def open(self, index: int) -> None:
        self.visits += 1  # in the address, as another hash alone loads nothing
        self.page.goto(f"{self.address}/desk/?{self.visits}#frame={index}")
        self.wait_for(index)

    def wait_for(self, index: int) -> None:
        self.page.wait_for_function(
            "([name]) => document.getElementById('frame-name').textContent === name"
            " && !document.getElementById('layer-seen').disabled"
            " && document.getElementById('canvas').dataset.scale",
            arg=[NAMES[index]],
        )
        self.measure()

    def measure(self) -> None:
        """Where the frame is in the window, once it is drawn."""
        self.left, self.top, self.scale = self.page.evaluate(
            "async () => { await new Promise(requestAnimationFrame);"
            " const c = document.getElementById('canvas'), b = c.getBoundingClientRect();"
            " return [b.left + +c.dataset.left, b.top + +c.dataset.top, +c.dataset.scale] }"
        )

    def at(self, point: Point) -> Point:
        """A point of the frame -> its place in the window."""
        return self.left + point[0] * self.scale, self.top + point[1] * self.scale

    def click(self, *points: Point) -> None:
        for point in points:
            self.page.mouse.click(*self.at(point))

    def drag(self, *points: Point) -> None:
        places = [self.at(point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place)
        self.page.mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def resize(self, size: int) -> None:
        self.page.locator("#size").fill(str(size))

    def says(self, text: str) -> None:
        sync_api.expect(self.page.locator("#status")).to_have_text(re.compile(text))

    def save(self, index: int) -> Label:
        """Saves; what the server has then."""
        before = self.version(index)
        self.press("Control+s")
        self.says(rf"Saved as version {before + 1}\.")
        return self.label(index)

    def version(self, index: int) -> int:
        with urllib.request.urlopen(f"{self.address}/desk/api/frames/{index}") as answer:
            return json.load(answer)["version"]

    def label(self, index: int, version: str = "current") -> Label:
        return self._png(f"/desk/api/frames/{index}/label?version={version}")

    def seen(self, index: int) -> Label:
        return self._png(f"/desk/api/frames/{index}/seen")

    def _png(self, path: str) -> Label:
        with urllib.request.urlopen(self.address + path) as answer:
            image = PIL.Image.open(io.BytesIO(answer.read()))
        assert image.mode == "L"
        return np.array(image)


@pytest.fixture
def person(browser: Any, address: str) -> Iterator[Any]:
    """person(name, **context of the browser) -> somebody; no page may have reported an error."""
    people = []

    def come(name: str = "Ann", **context: Any) -> Person:
        people.append(Person(browser, address, name, **context))
        return people[-1]

    yield come
    for one in people:
        one.context.close()
        assert one.errors == []


def stroke(points: Sequence[Point], size: int) -> Label:
    """Pixels whose centre is within size / 2 of the way through points: centres of pixels for an
    odd size, corners for an even one."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    covered = np.zeros((HEIGHT, WIDTH), bool)
    for a, b in itertools.pairwise(points if len(points) > 1 else [*points, *points]):
        along, across = b[0] - a[0], b[1] - a[1]
        squared = along**2 + across**2
        t = np.clip(((xs - a[0]) * along + (ys - a[1]) * across) / (squared or 1), 0, 1)
        covered |= (xs - a[0] - t * along) ** 2 + (
            ys - a[1] - t * across
        ) ** 2 <= size**2 / 4 + 1e-9
    return covered


def polygon(points: Sequence[Point]) -> Label:
    """Pixels whose centre is inside, by matplotlib. No centre may lie on an edge."""
    from matplotlib.path import Path as Outline

    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = Outline(points).contains_points(np.stack([xs.ravel(), ys.ravel()], 1))
    return inside.reshape(HEIGHT, WIDTH)


def region(inside: Label, x: int, y: int) -> Label:
    """The pixels connected with (x, y) by their sides, by OpenCV."""
    _, numbers = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    return numbers == numbers[y, x]


@pytest.mark.parametrize("ratio", [1, 1.5, 2, 0.67], ids=lambda ratio: f"ratio{ratio}")
def test_tools_are_exact_on_any_screen_and_at_any_zoom_of_the_browser(person, ratio) -> None:
    """A browser's zoom of 67 % is a screen of fewer pixels and a wider window."""
    index = [1, 1.5, 2, 0.67].index(ratio) + 1
    wide = 1 if ratio > 1 else 1 / ratio
    ann = person(
        device_scale_factor=ratio, viewport={"width": int(1100 * wide), "height": int(720 * wide)}
    )
    ann.open(index)
    expected = ann.label(index)
    way = [(20.5, 20.5), (60.5, 35.5), (61.5, 80.5)]
    ann.press("b", "4")  # the 4th class: 3
    ann.resize(9)
    ann.drag(*way)
    expected[stroke(way, 9)] = 3
    corners = [(70, 50), (100, 41), (121, 71), (89, 90), (85, 64)]
    ann.press("p", "1")
    ann.click(*corners)
    ann.press("Enter")
    expected[polygon(corners)] = 0
    line = [(5, 90), (50, 55), (110, 20)]
    ann.press("l", "2")
    ann.resize(4)
    ann.click(*line)
    ann.press("Enter")
    expected[stroke(line, 4)] = 1
    ann.press("f", "5")
    ann.click((2.5, 2.5))
    expected[region(expected == expected[2, 2], 2, 2)] = 4
    saved = ann.save(index)
    np.testing.assert_array_equal(saved, expected)
    assert set(np.unique(saved)) <= set(range(5))


def test_a_drag_with_fill_changes_only_the_class_that_it_began_on(person) -> None:
    ann = person()
    ann.open(5)
    expected = ann.label(5)
    ann.press("f", "i")  # ignore
    way = [(8.5, 8.5), (100.5, 60.5)]
    ann.drag(*way)
    expected[stroke(way, 15) & (expected == expected[8, 8])] = 255
    np.testing.assert_array_equal(ann.save(5), expected)


def test_paint_over_leaves_other_classes_alone(person) -> None:
    ann = person()
    ann.open(6)
    expected = ann.label(6)
    ann.press("p", "3")
    ann.page.locator("#over").select_option("1")
    corners = [(3, 3), (120, 11), (110, 90), (10, 81)]
    ann.click(*corners)
    ann.page.locator("#finish").click()
    expected[polygon(corners) & (expected == 1)] = 2
    np.testing.assert_array_equal(ann.save(6), expected)


def test_the_eraser_brings_back_the_label_as_drawn(person) -> None:
    ann = person()
    ann.open(7)
    drawn = ann.label(7)
    expected = drawn.copy()
    ann.press("b", "4")
    ann.resize(40)
    ann.drag((60, 50), (80, 50))
    expected[stroke([(60, 50), (80, 50)], 40)] = 3
    np.testing.assert_array_equal(ann.save(7), expected)
    ann.press("e")
    ann.resize(21)
    ann.drag((70.5, 30.5), (70.5, 60.5))
    under = stroke([(70.5, 30.5), (70.5, 60.5)], 21)
    expected[under] = drawn[under]
    np.testing.assert_array_equal(ann.save(7), expected)


def test_take_what_the_model_sees_by_click_and_under_the_brush(person) -> None:
    ann = person()
    ann.open(8)
    seen, expected = ann.seen(8), ann.label(8)
    ys, xs = np.nonzero(seen != expected)
    x, y = int(xs[len(xs) // 2]), int(ys[len(ys) // 2])
    ann.press("t")
    ann.click((x + 0.5, y + 0.5))
    taken = region((seen == seen[y, x]) & (expected != seen), x, y)
    assert 1 < taken.sum() < (seen != expected).sum()
    expected[taken] = seen[taken]
    way = [(10.5, 60.5), (110.5, 30.5)]
    ann.drag(*way)
    under = stroke(way, 15)
    expected[under] = seen[under]
    np.testing.assert_array_equal(ann.save(8), expected)


def test_snap_moves_a_border_to_the_edge_in_the_image_and_keeps_a_thin_line(person) -> None:
    ann = person()
    ann.open(0)
    ann.press("s")
    ann.resize(20)
    ann.drag((61, 15), (61, 80))
    ann.drag((31, 15), (31, 80))
    expected = ann.label(0)
    expected[15:80, 61:64] = 0  # up to the image's edge
    saved = ann.save(0)
    np.testing.assert_array_equal(saved[15:80], expected[15:80])
    beyond = ~(stroke([(61, 15), (61, 80)], 20) | stroke([(31, 15), (31, 80)], 20))
    np.testing.assert_array_equal(saved[beyond], expected[beyond])


def test_undo_returns_to_the_start_and_redo_to_the_end(person) -> None:
    ann = person()
    ann.open(9)
    start = ann.label(9)
    rng = np.random.default_rng(0)
    ann.resize(11)
    steps = 0
    while steps < 50:
        tool = rng.choice(["b", "e", "f", "t", "p"])
        points = [(float(x), float(y)) for x, y in rng.integers(3, 93, (4, 2))]
        ann.press(tool, str(rng.integers(1, 6)))
        if tool == "p":
            ann.click(*points)
            ann.press("Enter")
        elif rng.random() < 0.5:
            ann.click(points[0])
        else:
            ann.drag(*points[:2])
        steps += 1
    end = ann.save(9)
    assert (end != start).any()
    undo, redo = ann.page.locator("#undo"), ann.page.locator("#redo")
    ann.press("Control+z")
    undone = 1 + undo.evaluate(TO_THE_END)
    assert 25 < undone <= 50  # what changed nothing is no step
    sync_api.expect(undo).to_be_disabled()
    np.testing.assert_array_equal(ann.save(9), start)
    ann.press("Control+Shift+z")
    assert 1 + redo.evaluate(TO_THE_END) == undone
    np.testing.assert_array_equal(ann.save(9), end)


def test_two_people_at_one_frame_lose_nothing(person) -> None:
    ann, bob = person("Ann"), person("Bob")
    for one in (ann, bob):
        one.open(10)
        one.press("b")
        one.resize(21)
    base = ann.label(10)
    mine, theirs = base.copy(), base.copy()
    ann.press("4")
    ann.drag((20.5, 30.5), (60.5, 30.5))
    theirs[stroke([(20.5, 30.5), (60.5, 30.5)], 21)] = 3
    np.testing.assert_array_equal(ann.save(10), theirs)
    bob.press("5")
    bob.drag((50.5, 10.5), (50.5, 80.5))
    bob.click((100.5, 80.5))
    mine[stroke([(50.5, 10.5), (50.5, 80.5)], 21) | stroke([(100.5, 80.5)], 21)] = 4
    bob.press("Control+s")
    merge = bob.page.locator("#merge")
    sync_api.expect(merge).to_be_visible()
    assert "Ann saved version 1" in merge.inner_text()
    assert bob.version(10) == 1
    conflict = (mine != base) & (theirs != base) & (mine != theirs)
    expected = np.where(mine != base, mine, theirs)
    count, numbers = cv2.connectedComponents(conflict.astype(np.uint8), connectivity=4)
    bob.press("z")
    bob.measure()
    sync_api.expect(bob.page.locator("#merge-save")).to_be_disabled()
    for number in range(1, count):  # a click takes mine, one more theirs
        ys, xs = np.nonzero(numbers == number)
        for _ in range(1 + number % 2):
            bob.click((xs[0] + 0.5, ys[0] + 0.5))
        if number % 2:
            expected[numbers == number] = 3
    bob.page.locator("#merge-save").click()
    bob.says(r"Saved as version 2\.")
    np.testing.assert_array_equal(bob.label(10), expected)
    np.testing.assert_array_equal(bob.label(10, "1"), theirs)


def test_changes_that_are_not_saved_outlast_the_frame_and_the_page(person) -> None:
    ann = person()
    ann.open(11)
    expected = ann.label(11)
    ann.press("b", "4")
    ann.click((64.5, 48.5))
    expected[stroke([(64.5, 48.5)], 15)] = 3
    ann.page.locator("#order").select_option("files")
    row = ann.page.locator("#queue li", has_text=NAMES[11])
    sync_api.expect(row).to_contain_text("not saved")
    ann.press("j")
    ann.wait_for(12)
    ann.press("k")
    ann.wait_for(11)
    ann.press("Control+z")
    sync_api.expect(ann.page.locator("#save")).to_be_disabled()
    ann.press("Control+y")
    ann.open(11)
    sync_api.expect(ann.page.locator("#frame-state")).to_contain_text("not saved")
    np.testing.assert_array_equal(ann.save(11), expected)


def test_an_unanswered_save_keeps_the_changes(person) -> None:
    ann = person()
    ann.open(12)
    ann.press("b", "3")
    ann.click((40.5, 40.5))
    ann.page.route("**/label?by=*", lambda route: route.abort())
    ann.press("Control+s")
    sync_api.expect(ann.page.locator("#error")).to_contain_text("Not saved")
    ann.errors.clear()  # Chromium notes the request that failed
    ann.page.unroute("**/label?by=*")
    expected = ann.label(12)
    expected[stroke([(40.5, 40.5)], 15)] = 2
    np.testing.assert_array_equal(ann.save(12), expected)
    sync_api.expect(ann.page.locator("#error")).to_be_hidden()


def test_what_is_saved_is_called_saved_though_the_next_answer_is_damaged(person) -> None:
    ann = person()
    ann.open(21)
    ann.page.route("**/desk/api/frames/21", lambda route: route.fulfill(body="{"))
    ann.press("b", "5" if ann.label(21)[48, 64] != 4 else "1")
    ann.click((64.5, 48.5))
    ann.press("Control+s")
    ann.says(r"Saved as version 1\.")
    assert ann.version(21) == 1
    sync_api.expect(ann.page.locator("#error")).to_be_hidden()


def test_keys_choose_tools_classes_and_what_is_shown(person) -> None:
    ann = person()
    ann.open(13)
    pressed = ann.page.locator('[aria-pressed="true"]')

    def shown() -> list[str]:
        return [text.split("\n")[0] for text in pressed.all_inner_texts()]

    for key, text in {"l": "Line", "e": "Eraser", "t": "Take what the model sees"}.items():
        ann.press(key)
        assert text in " ".join(shown())
    ann.press("b", "2")
    assert "lane markings" in " ".join(shown())
    ann.press("]", "]", "[")
    assert ann.page.locator("#size-out").inner_text() == "17 px"
    for text in ("Drawn", "Seen", "Edited"):
        ann.press(" ")
        assert text in shown()
    ann.page.mouse.move(*ann.at((60, 40)))
    ann.page.keyboard.down(" ")
    ann.drag((60, 40), (70, 50))
    ann.page.keyboard.up(" ")
    before = ann.at((60, 40))
    ann.measure()
    assert ann.at((60, 40)) == pytest.approx(
        (before[0] + 10 * ann.scale, before[1] + 10 * ann.scale)
    )
    assert "Edited" in shown()  # a drag moves the frame and flips nothing
    sync_api.expect(ann.page.locator("#undo")).to_be_disabled()
    ann.press("?")
    sync_api.expect(ann.page.locator("#help")).to_be_visible()
    ann.press("Escape")
    ann.press("ArrowRight", "Shift+ArrowDown", "Enter")  # from the frame's middle
    expected = ann.label(13)
    expected[stroke([(65.5, 58.5)], 17)] = 1
    np.testing.assert_array_equal(ann.save(13), expected)


def test_the_wheel_zooms_at_the_pointer_and_pixels_stay_square(person) -> None:
    ann = person()
    ann.open(14)
    left, top = ann.at((0, 0))
    scale = (ann.at((WIDTH, 0))[0] - left) / WIDTH
    place = (round(left + 30.5 * scale), round(top + 70.5 * scale))
    point = ((place[0] - left) / scale, (place[1] - top) / scale)
    ann.page.mouse.move(*place)  # a wheel's event says no fractions of its place
    for _ in range(6):
        ann.page.mouse.wheel(0, -300)
    ann.page.wait_for_function("document.getElementById('canvas').dataset.scale > 40")
    ann.measure()
    assert ann.at(point) == pytest.approx(place, abs=0.5)
    ann.press("b", "5", "1")
    ann.page.locator("#opacity").fill("100")
    ann.page.mouse.move(1, 1)
    ann.measure()
    picture = PIL.Image.open(io.BytesIO(ann.page.screenshot())).convert("RGB")
    colours = np.array(COMMA10K.colours)
    label = ann.label(14)
    for x, y in itertools.product((29, 30, 31), (69, 70, 71)):
        for dx, dy in itertools.product((0.1, 0.9), repeat=2):  # up to the pixel's corners
            left, top = ann.at((x + dx, y + dy))
            assert picture.getpixel((int(left), int(top))) == tuple(colours[label[y, x]])


def test_marks_say_who_made_them_and_move_a_frame_out_of_the_open_ones(person) -> None:
    ann = person("Ann")
    ann.open(15)
    sync_api.expect(ann.page.locator("#scoring")).to_be_hidden()  # then the list is loaded again
    with ann.page.expect_response("**/frames?order=files*"):
        ann.page.locator("#order").select_option("files")
    ann.press("w")
    row = ann.page.locator("#queue li", has_text=NAMES[15])
    sync_api.expect(row).to_contain_text("wrong by Ann")
    ann.page.locator("#comment").fill("the kerb")
    ann.page.locator("#comment").blur()
    sync_api.expect(row).to_contain_text("the kerb")
    ann.page.locator("#state").select_option("done")
    sync_api.expect(row).to_be_visible()
    ann.page.locator("#state").select_option("open")
    sync_api.expect(row).to_have_count(0)
    ann.page.locator("#state").select_option("all")
    ann.press("w")  # again: takes it back
    sync_api.expect(row).not_to_contain_text("wrong by")


def test_a_late_list_does_not_undo_what_was_marked_meanwhile(person) -> None:
    ann = person("Ann")
    ann.open(17)
    sync_api.expect(ann.page.locator("#scoring")).to_be_hidden()
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append((route, route.fetch()))

    ann.page.route("**/frames?order=files&state=all*", hold)
    ann.page.locator("#order").select_option("files")
    with ann.page.expect_request("**/frames?*state=all*"):
        ann.page.locator("#state").select_option("all")
    ann.page.locator("#canvas").focus()
    ann.press("w")
    sync_api.expect(ann.page.locator("#marked-by")).to_contain_text("Ann")
    (route, answer), *_ = held
    with ann.page.expect_response("**/frames?*state=all*"):
        route.fulfill(response=answer)
    row = ann.page.locator("#queue li", has_text=NAMES[17])
    sync_api.expect(ann.page.locator("#pages")).to_contain_text(f"of {len(NAMES)}")
    sync_api.expect(row).to_contain_text("wrong by Ann")


def test_page_and_desk_lead_to_each_other(person) -> None:
    ann = person()
    ann.open(16)
    ann.page.get_by_role("link", name="Try a model").click()
    sync_api.expect(ann.page).to_have_title("dashseg: try a model")
    ann.page.get_by_role("link", name="The desk").click()
    sync_api.expect(ann.page.locator("#data")).to_have_text("data")


def test_the_name_is_asked_once(person) -> None:
    someone = person(name="")
    someone.open(16)
    someone.press("r")
    dialog = someone.page.locator("#name")
    sync_api.expect(dialog).to_be_visible()
    dialog.locator("input").fill("Élodie")
    someone.press("Enter")
    sync_api.expect(someone.page.locator("#marked-by")).to_contain_text("Élodie")
    someone.open(17)
    someone.press("u")
    sync_api.expect(someone.page.locator("#marked-by")).to_contain_text("Élodie")
    sync_api.expect(dialog).to_be_hidden()


def test_a_phone_views_marks_and_takes_what_the_model_sees(person) -> None:
    ann = person(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True,
        is_mobile=True,
    )  # fmt: skip
    ann.open(18)
    seen, expected = ann.seen(18), ann.label(18)
    ys, xs = np.nonzero(seen != expected)
    x, y = int(xs[len(xs) // 2]), int(ys[len(ys) // 2])
    width = ann.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    ann.page.locator("#in").tap()
    ann.page.locator("#fit").tap()
    ann.page.locator("#tool-take").tap()
    ann.measure()
    ann.page.touchscreen.tap(*ann.at((x + 0.5, y + 0.5)))
    taken = region((seen == seen[y, x]) & (expected != seen), x, y)
    expected[taken] = seen[taken]
    ann.page.locator("#save").tap()
    ann.says(r"Saved as version 1\.")
    np.testing.assert_array_equal(ann.label(18), expected)
    ann.page.locator("#mark-right").tap()
    sync_api.expect(ann.page.locator("#marked-by")).to_contain_text("Ann")
