"""comma10k's layout: imgs/ + masks/, imgs2/ + masks2/, imgsd/ + masksd/ (driver camera).

https://github.com/commaai/comma10k. Validation frames are those whose stem ends in 9. That digit
is the last of the frame number, so neighbours of validation frames are in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dashseg.config import DataConfig, Part
from dashseg.data.dataset import FileDataset, listed, pair_files
from dashseg.data.folder_pair import FolderPair
from dashseg.errors import InputError
from dashseg.files import read_text
from dashseg.labels import COMMA10K, COMMA10K_DRIVER

MASKS_OF: dict[Part, str] = {"imgs": "masks", "imgs2": "masks2", "imgsd": "masksd"}
SIZES: dict[Part, tuple[int, int]] = {  # H, W
    "imgs": (874, 1164),
    "imgs2": (1208, 1928),
    "imgsd": (1208, 1928),
}
TRAINABLE = "files_trainable"  # comma10k's list of finished masks, one path a line


def recognises(root: Path) -> bool:
    return any((root / part).is_dir() for part in MASKS_OF)


def parts_in(root: Path) -> tuple[Part, ...]:
    """The parts that are present."""
    return tuple(part for part in MASKS_OF if (root / part).is_dir())


def folders(root: Path, config: DataConfig) -> list[FolderPair]:
    """The folders of the parts asked for.

    Raises:
        InputError: one is missing.
    """
    pairs = []
    for part in config.parts:
        for folder in (root / part, root / MASKS_OF[part]):
            if not folder.is_dir():
                raise InputError(
                    f"{folder}: no such folder; comma10k's layout has it for the part '{part}'"
                    " (data.parts says which parts are read)"
                )
        classes = COMMA10K_DRIVER if part == "imgsd" else COMMA10K
        masks = root / MASKS_OF[part]
        pairs.append(FolderPair(root / part, masks, classes, suffixes=(".png",), size=SIZES[part]))
    return pairs


def find(root: Path, config: DataConfig) -> FileDataset:
    """All frames of the parts asked for.

    Raises:
        InputError: a part's folder is missing, or images and masks do not pair up.
    """
    trainable = _trainable(root) if config.trainable_only else None
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for pair in folders(root, config):
        for found, listing in ((images, pair.image_files()), (masks, pair.mask_files())):
            files = {name: path for name, path in listing if trainable is None or name in trainable}
            twice = sorted(files.keys() & found.keys())
            if twice:
                raise InputError(f"{root}: names that occur in two parts: {listed(twice)}")
            found.update(files)
    classes = COMMA10K_DRIVER if "imgsd" in config.parts else COMMA10K
    return FileDataset(str(root), "comma10k", "all", classes, pair_files(root, images, masks))


def splits(names: Sequence[str], config: DataConfig) -> dict[str, set[str]]:
    """comma's own rule."""
    val = {name for name in names if name.endswith("9")}
    return {"train": set(names) - val, "val": val}


def _trainable(root: Path) -> set[str]:
    try:
        lines = read_text(root / TRAINABLE).splitlines()
    except InputError as error:
        raise InputError(f"{error}; data.trainable_only needs it") from error
    return {Path(line.strip()).stem for line in lines if line.strip()}
