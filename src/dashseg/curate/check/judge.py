"""Turn the facts of all frames into problems: of a file, of a pair, and across frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dashseg.curate.check.inspect import Facts, FileFacts, Work
from dashseg.curate.check.inventory import Inventory, Slot
from dashseg.curate.check.picture import plain_image, plain_mask, read_picture
from dashseg.curate.check.problems import FrameKey, Problem, in_order
from dashseg.curate.check.shift import SURE
from dashseg.data.folder import PALETTE
from dashseg.errors import InputError
from dashseg.labels import IGNORE, Classes

_GREAT_MAJORITY = 0.8  # share of one size, from which another one is unexpected
_KNOWN_MAJORITY = 0.5  # the same for a size that the part is known to have


def judge(inventory: Inventory, facts: Sequence[Facts]) -> list[Problem]:
    """All problems, in order.

    Args:
        facts: of `inventory.work()`, in its order.
    """
    keys = list(inventory.slots)
    problems = list(inventory.problems)
    named = {problem.file for problem in problems if problem.code == "bad-name"}
    for key, found in zip(keys, facts, strict=False):  # facts of extra files follow
        problems += _frame(inventory, key, found, named)
    problems += _sizes(inventory, dict(zip(keys, facts, strict=False)))
    problems += _duplicates(inventory, facts)
    problems += _absent_classes(inventory, facts)
    return in_order(problems)


def _frame(inventory: Inventory, key: FrameKey, facts: Facts, named: set[str]) -> Iterator[Problem]:
    slot, classes = inventory.slots[key], inventory.pairs[key.pair].classes
    image, mask = facts.image, facts.mask
    if image and mask and image.foreign and mask.foreign:
        for path, what in ((slot.image, "a mask"), (slot.mask, "a photograph")):
            yield _problem(
                inventory, "misplaced-file", path, f"{what}; image and mask of {key.name} are"
                " in each other's folder", key, repairable=True,
            )  # fmt: skip
        return
    if image:
        yield from _file(inventory, key, slot.image, image, named, classes)
    if mask:
        yield from _file(inventory, key, slot.mask, mask, named, classes)
    if not mask and image and not image.foreign:
        yield _problem(inventory, "missing-mask", slot.image, f"no mask of {key.name}", key)
    if not image and mask and not mask.foreign:
        yield _problem(inventory, "missing-image", slot.mask, f"no image of {key.name}", key)
    if not image or not mask or any(side.error or side.foreign for side in (image, mask)):
        return
    if image.size != mask.size:
        detail = f"the mask is {_size(mask.size)}, its image {_size(image.size)}"
        sizes = {"size": list(mask.size), "image_size": list(image.size)}
        yield _problem(inventory, "size-mismatch", slot.mask, detail, key, sizes)
    if facts.shift:
        down, right = facts.shift.dy, facts.shift.dx
        detail = (
            "fits clearly better when moved by"
            f" {abs(down)} px {'down' if down >= 0 else 'up'} and"
            f" {abs(right)} px to the {'right' if right >= 0 else 'left'}"
        )
        numbers = {name: round(value, 3) for name, value in facts.shift._asdict().items()}
        numbers["confidence"] = "high" if facts.shift.agreement > SURE else "low"
        yield _problem(inventory, "suspect-shift", slot.mask, detail, key, numbers)


def _file(
    inventory: Inventory,
    key: FrameKey,
    path: Path | None,
    facts: FileFacts,
    named: set[str],
    classes: Classes,
) -> Iterator[Problem]:
    assert path is not None
    if facts.error:
        yield _problem(inventory, "unreadable", path, facts.error, key)
        return
    if facts.foreign:
        is_image = path == inventory.slots[key].image
        what = "a mask, among the images" if is_image else "a photograph, among the masks"
        yield _problem(inventory, "misplaced-file", path, what, key)
        return
    if not facts.named_right and inventory.shown(path) not in named:
        detail = f"ends in {path.suffix}, but holds a {facts.format}"
        yield _problem(inventory, "bad-name", path, detail, key, {}, facts.plain)
    if facts.depth:
        yield _problem(inventory, "wrong-depth", path, facts.depth, key, {}, facts.plain)
    if facts.palette:
        detail = "a palette PNG, which many readers take for class ids"
        yield _problem(inventory, "palette-png", path, detail, key, {}, facts.plain)
    if facts.alpha and any(facts.alpha):
        # Opaque everywhere, as in half of comma10k's masks, it is no problem.
        translucent, invisible = facts.alpha
        pixels = facts.size[0] * facts.size[1]
        detail = f"of {pixels} pixels {translucent} are translucent and {invisible} invisible"
        numbers = {"translucent": translucent, "invisible": invisible}
        safe = facts.plain and not invisible  # what an editor erased has no colour to go by
        yield _problem(inventory, "alpha", path, detail, key, numbers, safe)
    if facts.blended:
        detail = f"{facts.blended} pixels along edges have an id between those on both sides"
        numbers = {"pixels": facts.blended}
        yield _problem(inventory, "interpolated-ids", path, detail, key, numbers, True)
    if facts.strays:
        yield _unknown_colour(inventory, key, path, facts, classes)
    if facts.single is not None:
        name = "to be ignored" if facts.single == IGNORE else classes.names[facts.single]
        detail = f"every pixel is {name}"
        yield _problem(inventory, "single-class", path, detail, key, {"class": name})


def _unknown_colour(
    inventory: Inventory, key: FrameKey, path: Path, facts: FileFacts, classes: Classes
) -> Problem:
    strays = facts.strays
    assert strays is not None
    what = "value" if classes.stored_as == "id" else "colour"
    most = ", ".join(f"{colour} ({count})" for colour, count in strays.most)
    if strays.kind == "antialiased":
        detail = (
            f"{strays.antialiased} pixels of antialiased edges, in {strays.colours} {what}s between"
            f" those of the palette: {most}"
        )
    else:
        detail = f"{strays.own} pixels in {what}s of their own: {most}"
        if strays.antialiased:
            detail += f"; {strays.antialiased} pixels of antialiased edges"
    if facts.format == "JPEG":
        detail += "; JPEG changes colours: export masks as PNG"
    numbers = {
        "kind": strays.kind,
        "pixels": strays.antialiased + strays.own,
        "antialiased_pixels": strays.antialiased,
        "own_pixels": strays.own,
        "different": strays.colours,
        "most": {colour: count for colour, count in strays.most},
    }
    safe = strays.kind == "antialiased"
    return _problem(inventory, "unknown-colour", path, detail, key, numbers, safe)


def _sizes(inventory: Inventory, facts: dict[FrameKey, Facts]) -> Iterator[Problem]:
    """Images whose size differs from that of the great majority of their part."""
    by_pair: dict[int, dict[FrameKey, tuple[int, int]]] = defaultdict(dict)
    for key, (image, mask, _) in facts.items():
        if image and not image.error and not image.foreign and mask:
            by_pair[key.pair][key] = image.size
    for pair, sizes in by_pair.items():
        known = inventory.pairs[pair].size
        count = Counter(sizes.values())
        usual, often = min(count.items(), key=lambda item: (-item[1], item[0]))
        if known and count[known] >= _KNOWN_MAJORITY * len(sizes):
            usual, often = known, count[known]
        elif often < _GREAT_MAJORITY * len(sizes):
            continue
        for key, size in sizes.items():
            if size != usual:
                detail = f"{_size(size)}; {often} of {len(sizes)} images are {_size(usual)}"
                numbers = {"size": list(size), "expected": list(usual)}
                path = inventory.slots[key].image
                yield _problem(inventory, "unexpected-size", path, detail, key, numbers)


def _absent_classes(inventory: Inventory, facts: Sequence[Facts]) -> Iterator[Problem]:
    """Classes of the user's own palette that no mask shows. Other layouts' are not the user's."""
    if not (inventory.root / PALETTE).is_file():
        return
    classes = inventory.pairs[0].classes
    shown = {class_id for found in facts if found.mask for class_id in found.mask.ids}
    if absent := [name for number, name in enumerate(classes.names) if number not in shown]:
        detail = f"no mask shows {', '.join(absent)}"
        if classes.stored_as == "id" and IGNORE in shown:
            detail += "; 255 is ignored unless the palette lists it in ids, such as ids: [0, 255]"
        yield Problem("absent-class", PALETTE, detail, {"classes": absent})


def _duplicates(inventory: Inventory, facts: Sequence[Facts]) -> Iterator[Problem]:
    """Files with the content of another: found by digest, then compared pixel by pixel."""
    keys = list(inventory.slots)
    work = inventory.work()
    same_images: set[tuple[FrameKey, FrameKey]] = set()
    for role in ("image", "mask"):
        alike: dict[tuple[int, tuple[int, int]], list[int]] = defaultdict(list)
        for index, found in enumerate(facts):
            side = found.image if role == "image" else found.mask
            if side and side.plain and not side.foreign and side.single is None:
                alike[side.digest, side.size].append(index)
        for indices in alike.values():
            firsts: list[int] = []
            for index in indices:
                for first in firsts:
                    if same := _same(inventory, work[first], work[index], role):
                        break
                else:
                    firsts.append(index)
                    continue
                frames = tuple(keys[i] for i in (first, index) if i < len(keys))
                if len(frames) == 2 and role == "image":
                    same_images.add((frames[0], frames[1]))
                # A mask that two frames share was drawn for one of them, and nobody knows which.
                # Of two frames with the same image the first stays.
                if len(frames) < 2:
                    unusable: tuple[FrameKey, ...] = ()
                elif role == "image" or frames in same_images:
                    unusable = frames[1:]
                else:
                    unusable = frames
                path, other = (
                    getattr(work[index], role),
                    inventory.shown(getattr(work[first], role)),
                )
                yield Problem(
                    "duplicate-content", inventory.shown(path), f"the same {same} as {other}",
                    {"same_as": other, "same": same, "role": role}, frames=unusable,
                )  # fmt: skip


def _same(inventory: Inventory, a: Work, b: Work, role: str) -> str:
    """ "bytes" or "pixels" where two files have them in common, exactly; else nothing."""
    files: tuple[Path, Path] = getattr(a, role), getattr(b, role)
    try:
        if files[0].read_bytes() == files[1].read_bytes():
            return "bytes"
        pictures = [read_picture(path) for path in files]
    except (OSError, InputError):  # gone since it was inspected
        return ""
    if role == "image":
        pixels = [plain_image(picture) for picture in pictures]
    else:
        classes = inventory.pairs[a.pair].classes
        pixels = [plain_mask(picture, classes) for picture in pictures]
    first, second = pixels
    equal = first is not None and second is not None and np.array_equal(first, second)
    return "pixels" if equal else ""


def _problem(
    inventory: Inventory,
    code: str,
    path: Path | None,
    detail: str,
    key: FrameKey,
    numbers: dict[str, Any] | None = None,
    repairable: bool = False,
) -> Problem:
    assert path is not None
    return Problem(code, inventory.shown(path), detail, numbers or {}, repairable, (key,))


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def usable_frames(inventory: Inventory, problems: Iterable[Problem]) -> dict[FrameKey, Slot]:
    """The frames with both files, and without errors that only a guess could repair."""
    lost = {key for problem in problems if problem.loses_frames for key in problem.frames}
    return {
        key: slot
        for key, slot in inventory.slots.items()
        if slot.image and slot.mask and key not in lost
    }
