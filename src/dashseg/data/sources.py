"""Recognises the layout of a folder, opens it, and selects one side of its split."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import get_args

from dashseg.config import DataConfig, DatasetKind
from dashseg.data import camvid, comma10k, folder
from dashseg.data.dataset import Dataset, listed
from dashseg.data.folder_pair import require_utf8
from dashseg.data.pack.dataset import open_pack
from dashseg.data.pack.format import is_pack
from dashseg.data.synthetic import PREFIX, open_scenes
from dashseg.errors import InputError
from dashseg.files import read_json
from dashseg.scenes.names import MARK

_SPLITS = ("train", "val", "test", "all")  # a file of such a name is given as ./train

# In the order of recognition. Each has recognises(root), folders(root, config),
# find(root, config) and splits(names, config).
_LAYOUTS = {"folder": folder, "comma10k": comma10k, "camvid": camvid}


def open_dataset(config: DataConfig, split: str = "all") -> Dataset:
    """Open the data set at `config.root`.

    Args:
        config: root, and optionally the layout and a split file.
        split: "train", "val", "all", "test" where the data set has test frames, or the path of a
            split file, of which "val" is taken. "train" and "val" follow `config.split` when it
            names a file, else the data set's own rule.

    Raises:
        InputError: folder missing, empty or of no known layout; images and masks that do not pair
            up or whose sizes differ, listed; no frame left in the split.
    """
    dataset, splits = open_whole(config)
    names_a_file = split.endswith(".json") or (split not in _SPLITS and os.path.isfile(split))
    file, side = (split, "val") if names_a_file else (config.split, split)
    if side == "all":
        chosen = dataset
    elif side not in splits and side not in ("train", "val"):
        raise InputError(
            f"split '{split}': expected {', '.join(splits)}, all or the path of a split file"
        )
    elif file is not None and side != "test":
        names = read_split(Path(file), dataset.names)[side]
        chosen = dataset.select(names, str(file) if side == "val" else side)
    else:
        chosen = dataset.select(splits[side], side)
    if len(chosen) == 0:
        if file is not None:
            raise InputError(f"{file}: lists no frames for '{side}'")
        rule = f"{dataset.kind}'s rule"
        if dataset.kind == "folder":
            known = (" or ".join(names) for names in folder.SPLIT_FOLDERS.values())
            rule += f": images/ has the folders {'; '.join(known)}, and then no others"
        raise InputError(
            f"{config.root}: none of its {len(dataset)} frames is in split '{split}' ({rule});"
            " give a split file with --split, or --dataset if the layout was taken for another"
        )
    chosen.check()
    return chosen


def open_whole(config: DataConfig) -> tuple[Dataset, dict[str, set[str]]]:
    """All frames at `config.root`, unchecked, and the names on each side of their own rule's split.

    Raises:
        InputError: as `open_dataset`, except for problems of single files.
    """
    root = config.root
    if root is None:
        raise InputError("no data given: name the folder of frames and masks with --data DIR")
    if root.startswith(PREFIX):
        scenes = open_scenes(root)
        return scenes, comma10k.splits(scenes.names, config)
    _check_name(root)
    if config.dataset in (None, "pack") and is_pack(Path(root)):
        return open_pack(Path(root))
    kind, layout = find_layout(root, config.dataset)
    dataset = replace(layout.find(Path(root), config), kind=kind)
    return dataset, layout.splits(dataset.names, config)


def find_layout(root: str, kind: str | None = None) -> tuple[str, ModuleType]:
    """The kind of data set in a folder and the module that reads its layout.

    Args:
        kind: what the user says it is; None: recognised from what the folder holds.

    Raises:
        InputError: no folder, or of no known layout.
    """
    path = Path(root)
    _check_name(root)
    if kind is not None and kind not in get_args(DatasetKind):
        raise InputError(f"--dataset {kind}: expected {', '.join(get_args(DatasetKind))}")
    if kind == "pack" or is_pack(path):
        raise InputError(
            f"{root}: "
            + (
                "a pack holds pixels and no files: name the folder that it was made from"
                if is_pack(path)
                else "no pack: it has no pack.json"
            )
        )
    kind = kind or _recognise(path)
    return kind, comma10k if kind == "synthetic" else _LAYOUTS[kind]


def _check_name(root: str) -> None:
    require_utf8(root)
    if not os.path.isdir(root):  # False too for names that the system refuses
        raise InputError(
            f"{root}: " + ("not a folder" if os.path.exists(root) else "no such folder")
        )


def _recognise(root: Path) -> str:
    if (root / MARK).is_file():
        return "synthetic"
    for kind, layout in _LAYOUTS.items():
        if layout.recognises(root):
            return kind
    if not any(root.iterdir()):
        raise InputError(f"{root}: the folder is empty")
    raise InputError(
        f"{root}: no layout that dashseg knows. comma10k has imgs/ and masks/; CamVid images/ and"
        " labels/*_L.png, or train/ and trainannot/; any other frames go into images/ and masks/"
        f" with a {folder.PALETTE} (--dataset {'|'.join(get_args(DatasetKind))} overrides)"
    )


def read_split(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """A split file: {"train": [names], "val": [names]}; other keys are for people.

    Raises:
        InputError: of another form, a name on both sides, or one that is not in the data.
    """
    values = read_json(path)
    if not isinstance(values, dict) or not all(
        isinstance(values.get(side), list) and all(isinstance(name, str) for name in values[side])
        for side in ("train", "val")
    ):
        raise InputError(f'{path}: a split file holds {{"train": [names…], "val": [names…]}}')
    train, val = (
        {unicodedata.normalize("NFC", name) for name in values[side]} for side in ("train", "val")
    )
    if train & val:
        raise InputError(f"{path}: in both train and val: {listed(sorted(train & val))}")
    unknown = sorted((train | val) - set(names))
    if unknown:
        raise InputError(f"{path}: {len(unknown)} names are not in the data: {listed(unknown)}")
    return {"train": sorted(train), "val": sorted(val)}
