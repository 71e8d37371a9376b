"""Data sets broken on purpose: drawn and damaged by Pillow, with a list of what was planted.

Nothing here calls dashseg: what is planted is the truth that `check` is held to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import pytest
from numpy.typing import NDArray

COLOURS = np.array(
    [(0x40, 0x20, 0x20), (0xFF, 0, 0), (0x80, 0x80, 0x60), (0, 0xFF, 0x66), (0xCC, 0, 0xFF)],
    np.uint8,
)
GREYS = np.array([(90, 92, 95), (230, 230, 225), (120, 150, 110), (40, 40, 160), (20, 20, 22)])
SIZE = 160, 240  # H, W
Array = NDArray[np.uint8]


def draw_label(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> Array:
    """A road with lane markings, cars and a bonnet: uint8 H×W ids."""
    height, width = size
    picture = PIL.Image.new("L", (width, height), 2)
    draw = PIL.ImageDraw.Draw(picture)
    top, middle = (
        int(rng.integers(int(height * 0.35), int(height * 0.5))),
        int(rng.integers(width // 3, 2 * width // 3)),
    )
    draw.polygon([(middle - 8, top), (middle + 8, top), (width, height), (0, height)], fill=0)
    for x in (middle - 40, middle + 35):
        draw.line([(middle, top), (x, height)], fill=1, width=5)
    for _ in range(4):
        x, y = int(rng.integers(0, width - 40)), int(rng.integers(top // 2, height // 2 + 10))
        w, h = int(rng.integers(16, 40)), int(rng.integers(12, 30))
        draw.rectangle([x, y, x + w, y + h], fill=3)
    x = int(rng.integers(20, 60))
    draw.ellipse([x, height - 18, width - x, height + 30], fill=4)
    return np.asarray(picture).copy()


def draw_image(rng: np.random.Generator, label: Array) -> Array:
    """What a camera sees of a label: every class in its shade, with noise."""
    shades = GREYS + rng.integers(-15, 15, (5, 1))
    return (shades[label] + rng.normal(0, 6, (*label.shape, 3))).clip(0, 255).astype(np.uint8)


class Plants:
    """A comma10k folder, sound at first, and what was done to it.

    Each `plant_…` method takes frames that nothing was done to and notes in `planted` what `check`
    must find; `lost` are the frames that a repaired copy cannot have.
    """

    def __init__(self, root: Path, seed: int, frames: int) -> None:
        self.root = root
        self.rng = np.random.default_rng(seed)
        self.labels: dict[str, Array] = {}
        self.fresh: list[str] = []
        self.planted: set[tuple[str, str]] = set()
        self.kinds: dict[str, str] = {}  # of unknown colours, by file
        self.lost: set[str] = set()
        self.renamed: dict[str, str] = {}  # name on disk -> name in a repaired copy
        self.smeared: set[str] = set()  # frames whose mask comes back nearly, not exactly
        for folder in ("imgs", "masks"):
            (root / folder).mkdir(parents=True)
        for index in range(frames):
            route = f"{self.rng.bytes(8).hex()}_2018-07-0{index % 9 + 1}--10-11-12"
            name = f"{index:04d}_{route}_3_{index}"
            label = draw_label(self.rng)
            self.labels[name] = label
            self.save(self.image(name), draw_image(self.rng, label))
            self.save(self.mask(name), COLOURS[label])
            self.fresh.append(name)

    def image(self, name: str) -> Path:
        return self.root / "imgs" / f"{name}.png"

    def mask(self, name: str) -> Path:
        return self.root / "masks" / f"{name}.png"

    @staticmethod
    def save(path: Path, pixels: Array, **options: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(path, **{"compress_level": 1, **options})

    def take(self) -> str:
        return self.fresh.pop(int(self.rng.integers(len(self.fresh))))

    def note(self, code: str, path: Path, kind: str = "") -> None:
        file = path.relative_to(self.root).as_posix()
        self.planted.add((code, file))
        if kind:
            self.kinds[file] = kind

    def choose(self, *choices: str) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def plant_missing_mask(self) -> None:
        name = self.take()
        self.mask(name).unlink()
        self.note("missing-mask", self.image(name))
        self.lost.add(name)

    def plant_missing_image(self) -> None:
        name = self.take()
        self.image(name).unlink()
        self.note("missing-image", self.mask(name))
        self.lost.add(name)

    def plant_unreadable(self) -> None:
        name = self.take()
        path = self.image(name) if self.rng.random() < 0.5 else self.mask(name)
        data = path.read_bytes()
        half = len(data) // 2
        how = self.choose("empty", "cut", "text", "damaged", "dead link")
        if how == "dead link":
            path.unlink()
            path.symlink_to("nowhere.png")
        else:
            content = {
                "empty": b"",
                "cut": data[:half],
                "text": b"404: Not Found",
                "damaged": data[:half] + bytes(64) + data[half + 64 :],
            }[how]
            path.write_bytes(content)
        self.note("unreadable", path)
        self.lost.add(name)

    def plant_size_mismatch(self) -> None:
        name = self.take()
        with PIL.Image.open(self.mask(name)) as mask:
            zoomed = mask.resize((200, 133), PIL.Image.Resampling.NEAREST)
        zoomed.save(self.mask(name))
        self.note("size-mismatch", self.mask(name))
        self.lost.add(name)

    def plant_unexpected_size(self) -> None:
        name = self.take()
        label = draw_label(self.rng, (120, 200))
        self.save(self.image(name), draw_image(self.rng, label))
        self.save(self.mask(name), COLOURS[label])
        self.labels[name] = label
        self.note("unexpected-size", self.image(name))

    def plant_antialiased(self) -> None:
        name = self.take()
        self.smear(name)
        self.note("unknown-colour", self.mask(name), "antialiased")
        self.smeared.add(name)

    def smear(self, name: str) -> None:
        """Leave the mask as an editor's filter or a browser's zoom would."""
        with PIL.Image.open(self.mask(name)) as mask:
            if self.rng.random() < 0.5:
                smeared = mask.filter(PIL.ImageFilter.GaussianBlur(0.6))
            else:
                big = mask.resize((mask.width * 2, mask.height * 2), PIL.Image.Resampling.BICUBIC)
                smeared = big.resize(mask.size, PIL.Image.Resampling.BILINEAR)
        smeared.save(self.mask(name))

    def plant_own_colour(self) -> None:
        name = self.take()
        self.paint_over(name)
        self.note("unknown-colour", self.mask(name), "own")
        self.lost.add(name)

    def paint_over(self, name: str) -> None:
        """A region in a colour of its own, or in one that lies between two of the palette."""
        with PIL.Image.open(self.mask(name)) as mask:
            draw = PIL.ImageDraw.Draw(mask)
            x, y = int(self.rng.integers(10, 180)), int(self.rng.integers(10, 120))
            draw.rectangle([x, y, x + 12, y + 9], fill=self.choose("#123456", "#805040", "#ffffff"))
            mask.save(self.mask(name))

    def plant_smeared_and_own(self) -> None:
        name = self.take()
        self.smear(name)
        self.paint_over(name)
        self.note("unknown-colour", self.mask(name), "own")
        self.lost.add(name)

    def plant_alpha(self) -> None:
        name = self.take()
        path = self.image(name) if self.rng.random() < 0.5 else self.mask(name)
        alpha = np.full(SIZE, 255, np.uint8)
        invisible = self.rng.random() < 0.5
        alpha[20:30, 40:70] = 0 if invisible else 128
        with PIL.Image.open(path) as file:
            pixels = np.dstack((np.asarray(file), alpha))
        self.save(path, pixels)
        self.note("alpha", path)
        if invisible:
            self.lost.add(name)

    def plant_palette(self) -> None:
        name = self.take()
        self.as_palette(name)
        self.note("palette-png", self.mask(name))

    def as_palette(self, name: str) -> None:
        order = self.rng.permutation(5).astype(np.uint8)  # the indices are no class ids
        picture = PIL.Image.fromarray(np.argsort(order).astype(np.uint8)[self.labels[name]])
        picture.putpalette(COLOURS[order].tobytes())
        picture.save(self.mask(name))

    def plant_palette_and_size(self) -> None:
        name = self.take()
        self.labels[name] = draw_label(self.rng, (90, 130))
        self.as_palette(name)
        self.note("palette-png", self.mask(name))
        self.note("size-mismatch", self.mask(name))
        self.lost.add(name)

    def plant_wrong_depth(self) -> None:
        name = self.take()
        how = self.choose("grey mask", "1 bit mask", "16 bits exact", "16 bits")
        path = self.mask(name) if "mask" in how else self.image(name)
        if how == "grey mask":
            self.save(path, self.labels[name])
            self.lost.add(name)
        elif how == "1 bit mask":
            PIL.Image.fromarray(self.labels[name] == 0).save(path)
            self.lost.add(name)
        else:
            deep = cv2.imread(str(path)).astype(np.uint16) * 257
            if how == "16 bits":
                deep[0, 0, 0] ^= 1
                self.lost.add(name)
            cv2.imwrite(str(path), deep)
        self.note("wrong-depth", path)

    def plant_duplicate_image(self) -> None:
        first, second = sorted((self.take(), self.take()))
        if self.rng.random() < 0.5:
            self.image(second).write_bytes(self.image(first).read_bytes())
        else:
            with PIL.Image.open(self.image(first)) as file:
                file.save(self.image(second), compress_level=6)
        # The second mask was drawn for another picture; that it does not fit may show as well.
        self.labels[second] = self.labels[first].copy()
        self.labels[second][-12:, :40] = 3
        self.save(self.mask(second), COLOURS[self.labels[second]])
        self.note("duplicate-content", self.image(second))
        self.lost.add(second)

    def plant_duplicate_mask(self) -> None:
        first, second = sorted((self.take(), self.take()))
        self.labels[second] = self.labels[first]
        self.save(self.image(second), draw_image(self.rng, self.labels[first]))
        self.save(self.mask(second), COLOURS[self.labels[first]], compress_level=6)
        self.note("duplicate-content", self.mask(second))
        self.lost |= {first, second}

    def plant_mask_in_root(self) -> None:
        name = self.take()
        place = self.root / f"{name}{self.choose('', ' (1)')}.png"
        self.mask(name).rename(place)
        self.note("misplaced-file", place)

    def plant_copy_in_root(self) -> None:
        name = self.take()
        place = self.root / f"{name}.png"
        place.write_bytes(self.image(name).read_bytes())
        self.note("misplaced-file", place)
        self.note("duplicate-content", place)

    def plant_unknown_number_in_root(self) -> None:
        place = self.root / "00042.png"
        self.save(place, COLOURS[draw_label(self.rng)])
        self.note("misplaced-file", place)

    def plant_file_in_subfolder(self) -> None:
        name = self.take()
        place = self.root / "imgs" / "done" / f"{name}.png"
        place.parent.mkdir(exist_ok=True)
        self.image(name).rename(place)
        self.note("misplaced-file", place)

    def plant_swapped(self) -> None:
        name = self.take()
        image, mask = self.image(name).read_bytes(), self.mask(name).read_bytes()
        self.image(name).write_bytes(mask)
        self.mask(name).write_bytes(image)
        self.note("misplaced-file", self.image(name))
        self.note("misplaced-file", self.mask(name))

    def plant_mask_over_image(self) -> None:
        name = self.take()
        self.mask(name).rename(self.image(name))
        self.note("misplaced-file", self.image(name))
        self.lost.add(name)

    def plant_stray(self) -> None:
        folder = self.choose("imgs", "masks")
        path = self.root / folder / self.choose(
            ".DS_Store", "Thumbs.db", "desktop.ini", "._0001.png", "work.xcf", "notes.txt"
        )  # fmt: skip
        path.write_bytes(b"\0\1\2")
        self.note("stray-file", path)

    def plant_stray_in_root(self) -> None:
        (self.root / ".DS_Store").write_bytes(b"\0\1\2")
        self.note("stray-file", self.root / ".DS_Store")

    def plant_bad_name(self) -> None:
        name = self.take()
        addition = self.choose(" (1)", " copy", " - Copy", "(2)", " ")
        place = self.mask(name + addition) if addition != " " else self.mask(f" {name}")
        self.mask(name).rename(place)
        self.note("bad-name", place)

    def plant_upper_case(self) -> None:
        name = self.take()
        path = self.image(name) if self.rng.random() < 0.5 else self.mask(name)
        path.rename(path.with_suffix(".PNG"))
        self.note("bad-name", path.with_suffix(".PNG"))

    def plant_bad_name_twice(self) -> None:
        name = self.take()
        for path in (self.image(name), self.mask(name)):
            place = path.with_name(f"{name} (1).png")
            path.rename(place)
            self.note("bad-name", place)

    def plant_odd_name(self) -> None:
        name = self.take()
        for path in (self.image(name), self.mask(name)):
            place = path.with_name(f"holiday{name[:4]}.png")
            path.rename(place)
            self.note("bad-name", place)
        self.lost.add(name)

    def plant_copy_of_a_mask(self) -> None:
        name = self.take()
        place = self.mask(f"{name} (1)")
        place.write_bytes(self.mask(name).read_bytes())
        self.note("bad-name", place)
        self.note("duplicate-content", place)

    def plant_wrong_suffix(self) -> None:
        name = self.take()
        self.image(name).unlink()
        jpeg = self.image(name).with_suffix(".jpg")
        self.save(jpeg, draw_image(self.rng, self.labels[name]))
        if self.rng.random() < 0.5:
            jpeg = jpeg.rename(self.image(name))
        self.note("bad-name", jpeg)

    def plant_single_class(self) -> None:
        name = self.take()
        self.labels[name] = np.full(SIZE, 2, np.uint8)
        self.save(self.mask(name), COLOURS[self.labels[name]])
        self.note("single-class", self.mask(name))

    def plant_shift(self) -> None:
        name = self.take()
        moved = np.pad(self.labels[name], ((0, 0), (10, 0)), mode="edge")[:, : SIZE[1]]
        self.labels[name] = moved
        self.save(self.mask(name), COLOURS[moved])
        self.note("suspect-shift", self.mask(name))

    def plant_see_through_smear(self) -> None:
        name = self.take()
        self.smear(name)
        alpha = np.full(SIZE, 255, np.uint8)
        alpha[:9] = 77
        with PIL.Image.open(self.mask(name)) as file:
            pixels = np.dstack((np.asarray(file), alpha))
        self.save(self.mask(name), pixels)
        self.note("alpha", self.mask(name))
        self.note("unknown-colour", self.mask(name), "antialiased")
        self.smeared.add(name)

    def all_plants(self) -> list[Callable[[], None]]:
        return [getattr(self, name) for name in sorted(dir(self)) if name.startswith("plant_")]

    def damage(self, share: float) -> None:
        """Each kind with a probability, in random order."""
        plants = self.all_plants()
        for index in self.rng.permutation(len(plants)):
            if self.rng.random() < share:
                plants[index]()


def hash_of_tree(root: Path) -> dict[str, str]:
    """What every file below a folder holds, and where every link leads."""
    return {
        path.relative_to(root).as_posix(): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., Plants]:
    """make(seed, frames=60) -> a sound comma10k folder, to be planted with problems."""

    def make(seed: int, frames: int = 60) -> Plants:
        return Plants(tmp_path / f"broken{seed}", seed, frames)

    return make


@pytest.fixture
def tree() -> Callable[[Path], dict[str, str]]:
    return hash_of_tree
