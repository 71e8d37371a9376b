"""CamVid: its 32-colour labels in comma10k's classes, or the SegNet split's 11 class ids.

Brostow et al., http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid (non-commercial research).
Neighbouring frames are nearly identical, so whole sequences are held out, never single frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dashseg.config import DataConfig
from dashseg.data.dataset import FileDataset, Frame, by_name, pair_files
from dashseg.data.folder_pair import FolderPair
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, IGNORE, Classes, Colour

_ROAD, _LANE, _UNDRIVABLE, _MOVABLE = 0, 1, 2, 3  # there is no "my car" in CamVid

_COLOURS: dict[Colour, int] = {
    (128, 64, 128): _ROAD,  # Road
    (128, 128, 192): _ROAD,  # RoadShoulder
    (192, 0, 64): _ROAD,  # LaneMkgsNonDriv
    (128, 0, 192): _LANE,  # LaneMkgsDriv
    (64, 0, 128): _MOVABLE,  # Car
    (64, 128, 192): _MOVABLE,  # SUVPickupTruck
    (192, 128, 192): _MOVABLE,  # Truck_Bus
    (192, 64, 128): _MOVABLE,  # Train
    (192, 0, 192): _MOVABLE,  # MotorcycleScooter
    (64, 64, 0): _MOVABLE,  # Pedestrian
    (192, 128, 64): _MOVABLE,  # Child
    (0, 128, 192): _MOVABLE,  # Bicyclist
    (64, 128, 64): _MOVABLE,  # Animal
    (64, 0, 192): _MOVABLE,  # CartLuggagePram
    (128, 64, 64): _MOVABLE,  # OtherMoving
    (64, 192, 0): _UNDRIVABLE,  # Wall
    (0, 128, 64): _UNDRIVABLE,  # Bridge
    (128, 0, 0): _UNDRIVABLE,  # Building
    (0, 64, 64): _UNDRIVABLE,  # TrafficLight
    (64, 64, 128): _UNDRIVABLE,  # Fence
    (64, 0, 64): _UNDRIVABLE,  # Tunnel
    (0, 0, 64): _UNDRIVABLE,  # TrafficCone
    (192, 0, 128): _UNDRIVABLE,  # Archway
    (192, 192, 128): _UNDRIVABLE,  # Column_Pole
    (128, 128, 64): _UNDRIVABLE,  # Misc_Text
    (192, 192, 0): _UNDRIVABLE,  # VegetationMisc
    (0, 0, 192): _UNDRIVABLE,  # Sidewalk
    (192, 128, 128): _UNDRIVABLE,  # SignSymbol
    (128, 128, 128): _UNDRIVABLE,  # Sky
    (128, 128, 0): _UNDRIVABLE,  # Tree
    (64, 192, 128): _UNDRIVABLE,  # ParkingBlock
    (0, 0, 0): IGNORE,  # Void
}

CAMVID_IN_COMMA10K = Classes(COMMA10K.names, COMMA10K.colours, aliases=_COLOURS)

CAMVID11 = Classes(
    names=(
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign", "fence", "car", "pedestrian", "bicyclist",
    ),
    colours=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    stored_as="id",
    id_aliases={11: IGNORE},  # unlabelled
)  # fmt: skip

_SPLITS = ("train", "val", "test")
# Folder of frames, folder of 32-colour labels: as people repack it, and as Cambridge ships it.
_COLOUR_LAYOUTS = (("images", "labels"), ("701_StillsRaw_full", "LabeledApproved_full"))


def recognises(root: Path) -> bool:
    return _is_segnet(root) or _colour_layout(root) is not None


def folders(root: Path, config: DataConfig) -> list[FolderPair]:
    """images/ and labels/, or each split's two folders.

    Raises:
        InputError: neither layout.
    """
    if _is_segnet(root):
        return [
            FolderPair(root / split, root / f"{split}annot", CAMVID11, prefix=f"{split}/")
            for split in _SPLITS
            if (root / split).is_dir() or (root / f"{split}annot").is_dir()
        ]
    layout = _colour_layout(root)
    if layout is None:
        raise InputError(
            f"{root}: not CamVid: expected images/ and labels/*_L.png, or train/ and trainannot/"
        )
    images, masks = layout
    return [FolderPair(root / images, root / masks, CAMVID_IN_COMMA10K, mask_ending="_L")]


def find(root: Path, config: DataConfig) -> FileDataset:
    """All frames; those of the SegNet layout are named "train/…", "val/…" or "test/…".

    Raises:
        InputError: neither layout, or images and masks do not pair up.
    """
    frames: list[Frame] = []
    pairs = folders(root, config)
    for pair in pairs:
        images, masks = by_name(pair.image_files()), by_name(pair.mask_files())
        frames += pair_files(root, images, masks)
    return FileDataset(str(root), "camvid", "all", pairs[0].classes, tuple(frames))


def splits(names: Sequence[str], config: DataConfig) -> dict[str, set[str]]:
    """The folders of the SegNet layout, else whole sequences (`data.val_sequences`)."""
    if any("/" in name for name in names):
        return {side: {name for name in names if name.startswith(f"{side}/")} for side in _SPLITS}
    val = {name for name in names if name.split("_")[0] in config.val_sequences}
    return {"train": set(names) - val, "val": val}


def _is_segnet(root: Path) -> bool:
    return any((root / f"{split}annot").is_dir() for split in _SPLITS)


def _colour_layout(root: Path) -> tuple[str, str] | None:
    for images, labels in _COLOUR_LAYOUTS:
        if (root / images).is_dir() and any((root / labels).glob("*_L.png")):
            return images, labels
    return None
