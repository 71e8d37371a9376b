"""Frames for the desk: a data set, or a folder of images that nobody has labelled."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from dashseg.config import DataConfig
from dashseg.data import Dataset, comma10k, open_dataset
from dashseg.data.dataset import FileDataset, Frame, by_name
from dashseg.data.folder_pair import require_utf8
from dashseg.data.sources import find_layout
from dashseg.errors import InputError
from dashseg.images import image_files
from dashseg.labels import IGNORE, Classes

UNLABELLED = "unlabelled"  # the kind of a data set without masks


def open_frames(config: DataConfig, split: str, classes: Classes) -> Dataset:
    """Open the frames at `config.root`, with masks or without any.

    Args:
        classes: those of the model, for a folder of images without masks.

    Raises:
        InputError: as `open_dataset`; no images.
    """
    root = Path(config.root or "")
    if config.root is None or config.dataset is not None or _has_masks(root):
        return open_dataset(config, split)
    files = image_files(root)
    if not files or split != "all":
        return open_dataset(config, split)  # which says what is wrong with it
    named = []
    for path in files:
        require_utf8(path)
        name = unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix())
        named.append((name, path))
    frames = (
        Frame(name, path, root / "masks" / f"{name}.png") for name, path in by_name(named).items()
    )
    return FileDataset(str(root), UNLABELLED, "all", with_ignore(classes), tuple(frames))


def with_ignore(classes: Classes) -> Classes:
    """These classes, stored as colours, and a colour for pixels to ignore: black if it is free."""
    free = next(
        (value, value, value)
        for value in range(256)
        if (value, value, value) not in classes.colours
    )
    return Classes(classes.names, classes.colours, aliases={free: IGNORE})


def _has_masks(root: Path) -> bool:
    """Whether there is a folder of masks, of whatever layout."""
    if not root.is_dir():
        return True
    try:
        _, layout = find_layout(str(root))
    except InputError:
        return False
    return layout is not comma10k or any(
        (root / masks).is_dir() for masks in comma10k.MASKS_OF.values()
    )
