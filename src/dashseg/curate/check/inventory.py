"""Pair the files of a data set by name, and report files with a wrong name or place.

A file whose name or place is wrong but that fits only one frame is assigned to it, so that there
is one problem instead of three (a misplaced mask, an image without a mask, a mask without an
image). Only the few files whose role is unclear from their names are decoded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dashseg.curate.check.inspect import Work, looks_like_a_mask
from dashseg.curate.check.picture import read_picture
from dashseg.curate.check.problems import FrameKey, Problem
from dashseg.data.folder_pair import FolderPair
from dashseg.data.frame_names import parse_name
from dashseg.errors import InputError
from dashseg.files import files_below, printable
from dashseg.images import IMAGE_SUFFIXES, is_image_file

_IMAGE, _MASK = "image", "mask"
_OTHER = {_IMAGE: _MASK, _MASK: _IMAGE}

# What a browser or a file manager adds to the name of a second copy.
_COPY = re.compile(r"( ?\(\d+\)| ?- ?copy| copy( \d+)?)+$", re.IGNORECASE)
_KEPT = (".gitkeep", ".gitignore", ".gitattributes", ".keep")  # hold an empty folder in git
_JUNK = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|ehthumbs\.db|desktop\.ini", re.IGNORECASE)
_SAME_NAME = "has the same name as"
_MOST = 0.5  # share of names that parse, from which one that does not is a mistake


@dataclass
class Slot:
    """A frame: the paths of its image and mask."""

    image: Path | None = None
    mask: Path | None = None

    def get(self, role: str) -> Path | None:
        return self.image if role == _IMAGE else self.mask

    def put(self, role: str, path: Path) -> None:
        if role == _IMAGE:
            self.image = path
        else:
            self.mask = path


@dataclass(frozen=True)
class Loose:
    """A file with a name or place that the layout does not read, or without a partner."""

    path: Path
    pair: int
    role: str
    name: str  # of the frame that it would belong to
    code: str
    why: str


@dataclass
class Inventory:
    """The frames and other files of a data set.

    Args:
        slots: the frames, in the order of their keys.
        extra: files that belong to no frame, such as the copy of a mask; they are inspected too.
        problems: those found from names and places alone.
        renamed: frames whose files get another name in a repaired copy.
    """

    root: Path
    pairs: tuple[FolderPair, ...]
    slots: dict[FrameKey, Slot] = field(default_factory=dict)
    extra: list[Loose] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    renamed: dict[FrameKey, str] = field(default_factory=dict)

    def work(self) -> list[Work]:
        """What to inspect: the frames, then the extra files."""
        frames = [Work(key.pair, slot.image, slot.mask) for key, slot in self.slots.items()]
        return frames + [
            Work(loose.pair, *((loose.path, None) if loose.role == _IMAGE else (None, loose.path)))
            for loose in self.extra
        ]

    def shown(self, path: Path) -> str:
        """A path as problems name it; bytes that are not UTF-8 as \\xe9."""
        return printable(path.relative_to(self.root).as_posix())


def take_inventory(root: Path, pairs: Sequence[FolderPair], comma_names: bool) -> Inventory:
    """List the folders of `pairs` and the images in `root`, and pair them.

    Args:
        comma_names: report names unlike comma10k's where most names are like them.

    Raises:
        InputError: a folder cannot be listed.
    """
    inventory = Inventory(root, tuple(pairs))
    slots: dict[FrameKey, Slot] = {}
    loose: list[Loose] = []
    for index, pair in enumerate(pairs):
        for role, folder in ((_IMAGE, pair.images), (_MASK, pair.masks)):
            for path in files_below(folder):
                _place(inventory, slots, loose, index, role, path)
    loose += _lone_files(inventory, slots)
    loose += _files_in_root(inventory, slots)
    _join(inventory, slots, loose)
    inventory.slots = {key: slots[key] for key in sorted(slots) if slots[key] != Slot()}
    if comma_names:
        _find_odd_names(inventory)
    return inventory


def target(inventory: Inventory, key: FrameKey, role: str, source: Path) -> Path:
    """The right path of a frame's file, relative to the data set's folder."""
    pair = inventory.pairs[key.pair]
    name = inventory.renamed.get(key, key.name).removeprefix(pair.prefix)
    folder, ending = (pair.images, "") if role == _IMAGE else (pair.masks, pair.mask_ending)
    suffix = source.suffix if _suffix_is_read(pair, source) else ".png"
    path = folder / f"{name}{ending}{suffix}"
    return path.relative_to(inventory.root)


def _place(
    inventory: Inventory,
    slots: dict[FrameKey, Slot],
    loose: list[Loose],
    index: int,
    role: str,
    path: Path,
) -> None:
    """Assign one file of a folder to a slot, the loose files or the problems."""
    pair = inventory.pairs[index]
    if inventory.shown(path) != path.relative_to(inventory.root).as_posix():
        inventory.problems.append(Problem("bad-name", inventory.shown(path), "not UTF-8"))
        return
    if pair.reads(path):
        slot = slots.setdefault(FrameKey(index, pair.name(path)), Slot())
        other = slot.get(role)
        if other is None:
            slot.put(role, path)
            return
        why = f"{_SAME_NAME} {inventory.shown(other)}"
        loose.append(Loose(path, index, role, pair.name(path), "bad-name", why))
        return
    if path.name in _KEPT:
        return
    inside = path.relative_to(pair.folder_of(path))
    if not is_image_file(path) or any(part.startswith(".") for part in inside.parts):
        inventory.problems.append(_stray(inventory, path, f"no {role}"))
        return
    name = pair.prefix + _stem(pair, path, role)
    if len(inside.parts) > 1 and not pair.deep:
        why = "lies in a sub-folder, which is not read"
        loose.append(Loose(path, index, role, name, "misplaced-file", why))
    else:
        why = f"ends in {path.suffix}: only {', '.join(pair.suffixes)} is read here"
        loose.append(Loose(path, index, role, name, "bad-name", why))


def _lone_files(inventory: Inventory, slots: dict[FrameKey, Slot]) -> list[Loose]:
    """Take those files without a partner out of `slots` whose names fit another frame."""
    alike: dict[tuple[int, str], list[FrameKey]] = defaultdict(list)
    plain = {key: (key.pair, _plain(inventory.pairs[key.pair], key.name)) for key in slots}
    for key in slots:
        alike[plain[key]].append(key)
    taken: dict[FrameKey, Loose] = {}
    for key, slot in slots.items():
        if slot.image and slot.mask:
            continue
        role = _IMAGE if slot.image else _MASK
        path = slot.get(role)
        pair = inventory.pairs[key.pair]
        assert path is not None
        if role == _IMAGE and pair.mask_ending and key.name.endswith(pair.mask_ending):
            name = key.name.removesuffix(pair.mask_ending)  # "x_L" among the images: x's mask
            if FrameKey(key.pair, name) in slots and _is_mask(path, pair):
                why = "a mask that lies among the images"
                taken[key] = Loose(path, key.pair, _MASK, name, "misplaced-file", why)
                continue
        others = [other for other in alike[plain[key]] if other != key]
        better = [other for other in others if _is_better(other, key, slots, role)]
        if better:
            best = min(better, key=lambda other: _badness(other.name))
            why = f"differs from {best.name.rsplit('/')[-1]} only by {_difference(key, best)}"
            taken[key] = Loose(path, key.pair, role, best.name, "bad-name", why)
    for key in taken:
        slots[key] = Slot()
    return list(taken.values())


def _files_in_root(inventory: Inventory, slots: dict[FrameKey, Slot]) -> list[Loose]:
    """Images in the data set's own folder that are frames or masks, by their name."""
    found = []
    names = defaultdict(list)
    for key in slots:
        names[_normal(key.name.rsplit("/")[-1])].append(key)
    for path in sorted(inventory.root.iterdir()):
        if path.is_dir():
            continue
        if _JUNK.fullmatch(path.name):
            inventory.problems.append(_stray(inventory, path, "nothing of the data"))
        if not is_image_file(path):
            continue
        endings = {"", *(pair.mask_ending for pair in inventory.pairs)}
        stems = {_normal(path.stem.removesuffix(ending)) for ending in endings}
        keys = sorted({key for stem in stems for key in names.get(stem, ())})
        why = "lies beside the folders of images and masks"
        if len(keys) == 1:
            pair = inventory.pairs[keys[0].pair]
            role = _MASK if _is_mask(path, pair) else _IMAGE
            found.append(Loose(path, keys[0].pair, role, keys[0].name, "misplaced-file", why))
        elif keys or parse_name(_COPY.sub("", path.stem)) or path.stem.isdigit():
            inventory.problems.append(
                Problem("misplaced-file", inventory.shown(path), f"{why}; of which frame, unclear")
            )
    return found


def _join(inventory: Inventory, slots: dict[FrameKey, Slot], loose: Iterable[Loose]) -> None:
    """Assign each loose file to its place if that is free and no other file fits it."""
    wanted: dict[tuple[FrameKey, str], list[Loose]] = defaultdict(list)
    for item in loose:
        wanted[_place_of(slots, item), item.role].append(item)
    for (key, role), items in wanted.items():
        slot = slots.setdefault(key, Slot())
        there = slot.get(role)
        if there is not None and len(items) == 1 and items[0].code == "bad-name":
            _settle_same_name(inventory, slot, key, items[0])
            continue
        for item in items:
            if there is None and len(items) == 1:
                slot.put(role, item.path)
                detail, fits = f"{item.why}; it is the {role} of {key.name}", True
            elif there is not None:
                detail, fits = f"{item.why}; {key.name} has {inventory.shown(there)}", False
            else:
                rivals = ", ".join(inventory.shown(i.path) for i in items if i is not item)
                detail = f"{item.why}; {rivals} may be the {role} of {key.name} as well"
                fits = False
            if not fits:
                inventory.extra.append(item)
            inventory.problems.append(
                Problem(
                    item.code, inventory.shown(item.path), detail,
                    {"belongs_to": key.name, "role": role},
                    repairable=fits, frames=(key,) if fits or _has_same_name(item) else (),
                )
            )  # fmt: skip


def _settle_same_name(inventory: Inventory, slot: Slot, key: FrameKey, item: Loose) -> None:
    """Two files for one place: one of them may be a mask among the images; else it is unclear."""
    pair = inventory.pairs[key.pair]
    there = slot.get(item.role)
    assert there is not None
    free = slot.get(_OTHER[item.role]) is None
    file, detail, fits = item.path, f"{item.why}; {key.name} has {inventory.shown(there)}", False
    code = item.code
    frames: tuple[FrameKey, ...] = ()
    if item.role == _IMAGE and free and _is_mask(item.path, pair) != _is_mask(there, pair):
        image, mask = (there, item.path) if _is_mask(item.path, pair) else (item.path, there)
        slot.image, slot.mask = image, mask
        file, code, fits, frames = mask, "misplaced-file", True, (key,)
        detail = f"a mask that lies among the images; it is the mask of {key.name}"
    elif _has_same_name(item):
        frames = (key,)  # a.jpg and a.png: nobody knows which one the mask was drawn for
    if not fits:
        inventory.extra.append(item)
    more = {"belongs_to": key.name, "role": item.role}
    inventory.problems.append(Problem(code, inventory.shown(file), detail, more, fits, frames))


def _has_same_name(item: Loose) -> bool:
    return item.why.startswith(_SAME_NAME)


def _place_of(slots: dict[FrameKey, Slot], item: Loose) -> FrameKey:
    exact = FrameKey(item.pair, item.name)
    if exact in slots:
        return exact
    alike = [
        key
        for key in slots
        if key.pair == item.pair
        and _normal(key.name) == _normal(item.name)
        and slots[key] != Slot()
    ]
    return alike[0] if len(alike) == 1 else exact


def _find_odd_names(inventory: Inventory) -> None:
    """comma10k: report names that do not parse where most do. Driver frames have only numbers."""
    named = {problem.file for problem in inventory.problems if problem.code == "bad-name"}
    for pair in range(len(inventory.pairs)):
        keys = [key for key in inventory.slots if key.pair == pair]
        odd = [key for key in keys if parse_name(key.name) is None]
        if len(odd) > (1 - _MOST) * len(keys):
            continue
        names = {key.name for key in keys}
        for key in odd:
            mended = re.sub(r"\s+", "", _COPY.sub("", key.name))
            mends = mended not in names and parse_name(mended) is not None
            detail = "no index_device_date--time_segment_frame, as the other names are"
            if mends:
                names.add(mended)
                inventory.renamed[key] = mended
                detail += f"; without its addition {mended}"
            for path in (inventory.slots[key].image, inventory.slots[key].mask):
                if path is not None and inventory.shown(path) not in named:
                    shown = inventory.shown(path)
                    inventory.problems.append(Problem("bad-name", shown, detail, {}, mends, (key,)))


def _stray(inventory: Inventory, path: Path, what: str) -> Problem:
    kind = "left by the system" if _JUNK.fullmatch(path.name) else what
    return Problem("stray-file", inventory.shown(path), kind, repairable=True)


def _normal(name: str) -> str:
    """Names that look the same to a person give the same result."""
    return re.sub(r"\s+", "", _COPY.sub("", name)).casefold()


def _plain(pair: FolderPair, name: str) -> str:
    """The same for a frame and for a mask of it whose ending is hidden: by the "(1)" of a copy."""
    return _normal(name).removesuffix(_normal(pair.mask_ending))


def _badness(name: str) -> tuple[bool, bool, bool, str]:
    """Smaller is a better name for a frame."""
    has_copy, has_space = _COPY.search(name) is not None, re.search(r"\s", name) is not None
    return parse_name(name) is None, has_copy, has_space, name


def _is_better(other: FrameKey, key: FrameKey, slots: dict[FrameKey, Slot], role: str) -> bool:
    """Whether a lone file of `key` is to be taken for a file of the frame `other`."""
    mark, mark_other = _badness(key.name)[:3], _badness(other.name)[:3]
    if slots[other].image and slots[other].mask:
        return mark_other < mark  # a copy of a file that is there
    if slots[other].get(role):
        return mark_other < mark
    if mark_other != mark:
        return mark_other < mark
    return role == _MASK  # the image names the frame


def _difference(key: FrameKey, other: FrameKey) -> str:
    if match := _COPY.search(key.name):
        return f'"{match[0]}"'
    return "spaces" if re.search(r"\s", key.name + other.name) else "case"


def _stem(pair: FolderPair, path: Path, role: str) -> str:
    return path.stem.removesuffix(pair.mask_ending) if role == _MASK else path.stem


def _suffix_is_read(pair: FolderPair, path: Path) -> bool:
    known = pair.suffixes or IMAGE_SUFFIXES
    return (path.suffix if pair.suffixes else path.suffix.lower()) in known


def _is_mask(path: Path, pair: FolderPair) -> bool:
    """By its pixels; False for a file that cannot be read."""
    try:
        return looks_like_a_mask(read_picture(path).pixels, pair.classes)
    except InputError:
        return False
