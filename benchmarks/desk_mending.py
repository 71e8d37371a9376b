"""How much work it is to mend a label at the desk: "take what the model sees" against the brush.

    python benchmarks/desk_mending.py [--scenes N] [--record FILE.json]
    python benchmarks/desk_mending.py --smoke

Draws scenes, paints the largest vehicle of each over as road, and mends it twice in Chromium at
`dashseg serve small --data …`: with "take what the model sees", then the brush where that is not
enough; and with the brush alone. Both end with a save, once the class's IoU with the truth is 0.95
in the vehicle's box and 10 pixels around. The brush is held by an ideal hand: a stroke covers all
connected places where a brush of its size fits without an error, the largest brush first. The
browser itself counts keys, clicks and drags, and how far the drags went; a new size of the brush is
one click. --record keeps all events of the browser. Prints a table in Markdown.
--smoke mends one scene, by taking alone.

Where `small` does not see the vehicle (IoU below 0.5), the scene is left out; the table says how
many.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from common import arguments, spread
from numpy.typing import NDArray
from playwright.sync_api import sync_playwright

from dashseg.labels import COMMA10K, Label, read_mask, write_mask
from dashseg.scenes import synthesise

ROAD, MOVABLE = 0, 3
GOAL = 0.95  # IoU
SIZES = (61, 31, 15, 7, 3)  # of the brush, pixels; 15 is the desk's own
LEAST = 3000  # pixels of a vehicle
AROUND = 10  # pixels
Mask = NDArray[np.bool_]
Point = tuple[float, float]
# In the page, before its own code: what the person did, as the browser saw it.
LISTEN = """
window.events = [];
const note = (event) => window.events.push({
  type: event.type, key: event.key, x: event.clientX, y: event.clientY, time: event.timeStamp,
});
for (const type of ["pointerdown", "pointermove", "pointerup", "keydown"]) {
  addEventListener(type, (event) => { if (event.isTrusted) note(event); }, true);
}
localStorage.setItem("dashseg-desk-name", "benchmark");
"""


class Error(NamedTuple):
    """A vehicle that was painted over: where it is, and the label that is right."""

    truth: Label
    region: tuple[slice, slice]

    def iou(self, label: Label) -> float:
        drawn, right = label[self.region] == MOVABLE, self.truth[self.region] == MOVABLE
        return float((drawn & right).sum() / (drawn | right).sum())


@dataclass(frozen=True)
class Work:
    """What one mending took."""

    keys: int
    clicks: int
    drags: int
    way: float  # of the drags, in pixels of the frame
    iou: float

    @property
    def actions(self) -> int:
        return self.keys + self.clicks + self.drags


def plant(folder: Path) -> dict[int, Error]:
    """Paint the largest vehicle of each frame over as road -> frame number -> what was there."""
    errors = {}
    for index, path in enumerate(sorted((folder / "masks").glob("*.png"))):
        truth = read_mask(path, COMMA10K)
        _, numbers, stats, _ = cv2.connectedComponentsWithStats((truth == MOVABLE).astype(np.uint8))
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if len(stats) > 1 else 0
        if not largest or stats[largest, cv2.CC_STAT_AREA] < LEAST:
            continue
        left, top, width, height = (int(value) for value in stats[largest, :4])
        wrong = np.where(numbers == largest, np.uint8(ROAD), truth)
        write_mask(path, wrong, COMMA10K)
        rows = slice(max(0, top - AROUND), top + height + AROUND)
        columns = slice(max(0, left - AROUND), left + width + AROUND)
        errors[index] = Error(truth, (rows, columns))
    return errors


@contextmanager
def served(data: Path, edits: Path) -> Iterator[str]:
    """The address of a desk."""
    command = [sys.executable, "-m", "dashseg", "serve", "small", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--edits", str(edits), "--port", "0", "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as program:  # fmt: skip
        assert program.stdout
        try:
            for line in program.stdout:
                if "http://" in line:
                    yield "http://" + line.split("http://")[1].split("/")[0].strip()
                    return
            raise SystemExit("error: dashseg serve did not start")
        finally:
            program.terminate()


def get_label(address: str, index: int, what: str) -> Label:
    with urllib.request.urlopen(f"{address}/desk/api/frames/{index}/{what}") as answer:
        data = np.frombuffer(answer.read(), np.uint8)
    label: Label = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return label


class Hand:
    """A person at the desk, and the label as they have drawn it so far."""

    def __init__(self, page: Any, address: str, index: int) -> None:
        self.page, self.address, self.index = page, address, index
        page.goto(f"{address}/desk/?{index}#frame={index}")
        page.wait_for_selector("#layer-seen:enabled")
        self.left, self.top, self.scale = page.evaluate(
            "async () => { await new Promise(requestAnimationFrame);"
            " const c = document.getElementById('canvas'), b = c.getBoundingClientRect();"
            " return [b.left + +c.dataset.left, b.top + +c.dataset.top, +c.dataset.scale] }"
        )
        self.label = get_label(address, index, "label?version=drawn")
        self.resized = 0
        page.evaluate("() => { window.events.length = 0 }")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, x: float, y: float) -> Point:
        """The middle of a pixel in the window."""
        return self.left + (x + 0.5) * self.scale, self.top + (y + 0.5) * self.scale

    def take(self, seen: Label, error: Error) -> None:
        """Click the middle of what the model sees and the label has not."""
        inside = np.zeros(seen.shape, np.uint8)
        wrong = (seen == MOVABLE) & (self.label != MOVABLE)
        inside[error.region] = wrong[error.region]
        depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
        self.press("t")
        self.page.mouse.click(*self.at(int(x), int(y)))
        _, numbers = cv2.connectedComponents(wrong.astype(np.uint8), connectivity=4)
        self.label[numbers == numbers[y, x]] = MOVABLE

    def brush(self, error: Error) -> None:
        """Paint until the goal is reached, without an error."""
        self.press("b")
        size = class_id = None
        for wanted in SIZES:
            for painted in (MOVABLE, ROAD, 2, 1):
                while error.iou(self.label) < GOAL:
                    found = find_stroke(self.label, error, painted, wanted)
                    if found is None:
                        break
                    if class_id != painted:
                        class_id = painted
                        self.press(str(class_id + 1))
                    if size != wanted:
                        size = wanted
                        self.page.locator("#size").fill(str(size))
                        self.resized += 1
                    path, covered = found
                    self.drag(path)
                    self.label[covered] = class_id

    def drag(self, path: Sequence[Point]) -> None:
        self.page.mouse.move(*self.at(*path[0]))
        self.page.mouse.down()
        for point in path[1:]:
            self.page.mouse.move(*self.at(*point))
        self.page.mouse.up()

    def save(self) -> Label:
        self.press("Control+s")
        self.page.wait_for_function(
            "() => document.getElementById('frame-state').textContent.startsWith('version')"
            " && document.getElementById('save').disabled"
        )
        return get_label(self.address, self.index, "label")

    def work(self, iou: float) -> tuple[Work, list[dict[str, Any]]]:
        """What the browser saw of this person."""
        events = self.page.evaluate("window.events")
        keys = [event for event in events if event["type"] == "keydown"]
        keys = [event for event in keys if event["key"] != "Control"]
        clicks = drags = 0
        moved, way = False, 0.0
        down: dict[str, Any] = {}
        last: dict[str, Any] = {}
        for event in events:
            if event["type"] == "pointerdown":
                down = last = event
                moved = False
            elif event["type"] == "pointermove" and down:
                far = abs(event["x"] - down["x"]) + abs(event["y"] - down["y"])
                moved = moved or far > 4
                way += float(np.hypot(event["x"] - last["x"], event["y"] - last["y"]))
                last = event
            elif event["type"] == "pointerup":
                drags, clicks = drags + moved, clicks + (not moved)
                down = {}
        return Work(len(keys), clicks + self.resized, drags, way / self.scale, iou), events


def find_stroke(
    label: Label, error: Error, class_id: int, size: int
) -> tuple[list[Point], Mask] | None:
    """A way for a brush of this class and size on which it makes no error, and what it covers.

    None: there is none that mends at least a tenth of the brush's own area.
    """
    ys, xs = np.mgrid[:size, :size] - size // 2
    disc = (xs**2 + ys**2 <= size**2 / 4).astype(np.uint8)
    right = np.zeros(label.shape, np.uint8)
    right[error.region] = error.truth[error.region] == class_id
    fits = cv2.erode(right, disc, borderValue=0)
    needs = np.zeros(label.shape, np.uint8)
    needs[error.region] = (label != error.truth)[error.region] & (right[error.region] == 1)
    useful = fits & cv2.dilate(needs, disc)  # places from where the brush reaches an error
    count, numbers = cv2.connectedComponents(fits, connectivity=4)
    gains = np.bincount(numbers[useful == 1], minlength=count)
    gains[0] = 0
    best = int(np.argmax(gains))
    if gains[best] == 0:
        return None
    path = walk(numbers == best, useful == 1, max(1, size // 2))
    trail = np.zeros(label.shape, np.uint8)
    for (x0, y0), (x1, y1) in itertools.pairwise([path[0], *path]):
        cv2.line(trail, (int(x0), int(y0)), (int(x1), int(y1)), 1)
    covered = cv2.dilate(trail, disc) == 1
    gain = int((covered & (needs == 1)).sum())
    return (path, covered) if gain >= max(1, disc.sum() / 10) else None


def walk(inside: Mask, useful: Mask, step: int) -> list[Point]:
    """A way along pixels of a connected mask that passes all useful ones of a grid of `step`.

    Depth first from the grid's first useful pixel; branches without a useful pixel are left out.
    """
    grid = np.zeros_like(inside)
    grid[::step, ::step] = inside[::step, ::step]
    starts = np.argwhere(grid & useful)
    if not len(starts):
        starts = np.argwhere(inside & useful)
    start = (int(starts[0][0]), int(starts[0][1]))
    order, parent = [start], {start: start}
    stack = [start]
    while stack:
        y, x = stack.pop()
        order.append((y, x))
        for dy, dx in ((step, 0), (-step, 0), (0, step), (0, -step)):
            other = (y + dy, x + dx)
            if other in parent or not (0 <= other[0] < len(grid) and 0 <= other[1] < grid.shape[1]):
                continue
            between = inside[
                min(y, y + dy) : max(y, y + dy) + 1, min(x, x + dx) : max(x, x + dx) + 1
            ]
            if between.all():
                parent[other] = (y, x)
                stack.append(other)
    wanted = {start}
    for node in parent:
        if useful[node]:
            while node not in wanted:
                wanted.add(node)
                node = parent[node]
    children: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for node in order[1:]:
        if node in wanted and node != start:
            children.setdefault(parent[node], []).append(node)
    path: list[Point] = [(start[1], start[0])]
    ways = [iter(children.get(start, ()))]
    trail = [start]
    while ways:  # there and back along every branch
        branch = next(ways[-1], None)
        if branch is None:
            ways.pop()
            trail.pop()
            if trail:
                path.append((trail[-1][1], trail[-1][0]))
        else:
            ways.append(iter(children.get(branch, ())))
            trail.append(branch)
            path.append((branch[1], branch[0]))
    while len(path) > 1 and path.count(path[-1]) > 1:
        path.pop()  # the way back from the last branch
    return straightened(path)


def straightened(path: Sequence[Point]) -> list[Point]:
    """The path without the points that lie on the way between others."""
    kept = [path[0]]
    for here, after in itertools.pairwise(path[1:]):
        before = kept[-1]
        turn = (here[0] - before[0]) * (after[1] - here[1]) - (here[1] - before[1]) * (
            after[0] - here[0]
        )
        back = (here[0] - before[0]) * (after[0] - here[0]) + (here[1] - before[1]) * (
            after[1] - here[1]
        ) < 0
        if turn or back:
            kept.append(here)
    return [*kept, path[-1]] if len(path) > 1 else kept


def row(name: str, works: Sequence[Work]) -> str:
    """A line of the table: medians, and the smallest and largest in brackets."""
    figures = [
        spread([getattr(work, field) for work in works], 0)
        for field in ("keys", "clicks", "drags", "actions", "way")
    ]
    return f"| {name} | {' | '.join(figures)} | {spread([work.iou for work in works], 3)} |"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--scenes", type=int, default=12, help="how many scenes are drawn")
    parser.add_argument("--record", type=Path, help="file for the events of all sessions")
    options = parser.parse_args()
    scenes = 2 if options.smoke else options.scenes
    taking: list[Work] = []
    painting: list[Work] = []
    clicked: list[float] = []  # IoU after the one click that takes what the model sees
    sessions = []
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        synthesise(folder / "data", scenes, seed=11)
        errors = plant(folder / "data")
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        unseen = 0
        ways = {"take": taking} if options.smoke else {"take": taking, "brush": painting}
        for way, works in ways.items():
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.add_init_script(LISTEN)
            with served(folder / "data", folder / f"edits-{way}") as address:
                for index, error in errors.items():
                    seen = get_label(address, index, "seen")
                    if error.iou(seen) < 0.5:
                        unseen += way == "take"
                        continue
                    hand = Hand(page, address, index)
                    if way == "take":
                        hand.take(seen, error)
                        clicked.append(error.iou(hand.label))
                    if error.iou(hand.label) < GOAL:
                        hand.brush(error)
                    iou = error.iou(hand.save())
                    work, events = hand.work(iou)
                    works.append(work)
                    sessions.append({"with": way, "frame": index, **asdict(work), "events": events})
                    if options.smoke:
                        break
                context.close()  # a server that stops waits for its connections
        browser.close()
    if options.record:
        options.record.write_text(json.dumps(sessions))
    print(
        f"{scenes} scenes, {len(errors)} with a vehicle of {LEAST} pixels or more;"
        f" small does not see {unseen} of them\n"
    )
    print(
        "| to mend a vehicle that was painted over | keys | clicks | drags | actions"
        " | way of the drags, pixels | IoU |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(row("take what the model sees", taking))
    if painting:
        print(row("brush alone", painting))
    print(f"\nIoU after the one click that takes what the model sees: {spread(clicked, 3)}")


if __name__ == "__main__":
    main()
