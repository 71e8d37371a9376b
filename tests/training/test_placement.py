from pathlib import Path
from typing import Any

import pytest
import torch

from dashseg.config import DataConfig, ExtraData, InputConfig
from dashseg.curate.pack import pack
from dashseg.data import open_dataset, open_training_set
from dashseg.data.sources import open_whole
from dashseg.errors import InputError
from dashseg.training.batches import EveryFrame, from_device, from_files
from dashseg.training.frames import WorkingFrames
from dashseg.training.placement import place

CPU, GPU = torch.device("cpu"), torch.device("cuda")
INPUT = InputConfig(size=(64, 96))


@pytest.fixture
def frames(scenes: Path):
    return WorkingFrames(open_dataset(DataConfig(root=str(scenes)), "train"), INPUT)


@pytest.fixture
def free_memory(monkeypatch: pytest.MonkeyPatch):
    """Make the machine's free memory so many bytes: free_memory(10**9)."""

    def make(count):
        monkeypatch.setattr("dashseg.training.placement.free_memory", lambda: int(count))

    return make


def test_frames_that_fit_are_read_into_memory_once_and_others_from_their_files(
    frames: Any, free_memory: Any
) -> None:
    said: list[Any] = []
    for free, where in ((100_000, "files"), (3.9 * 18 * 64 * 85 * 4, "files"), (10**9, "memory")):
        free_memory(free)
        placed = place(frames, "training", "auto", CPU, said.append)
        assert placed.where == where
        assert frames.kept == (where == "memory")
    assert "files at every epoch" in said[0] and "data pack" in said[0]
    assert "in memory" in said[2]


def test_processes_on_one_machine_share_its_memory(
    frames: Any, free_memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_memory(5 * 18 * 64 * 85 * 4)  # room for one process's frames, a quarter of it, by a little
    launch = {
        "TORCHELASTIC_RUN_ID": "1", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }  # fmt: skip
    with monkeypatch.context() as environment:
        for name, value in launch.items():
            environment.setenv(name, value)
        assert place(frames, "training", "auto", CPU, lambda text: None).where == "files"
    assert place(frames, "training", "auto", CPU, lambda text: None).where == "memory"


def test_packed_frames_are_not_read_into_memory(frames: Any, scenes: Path, tmp_path: Path) -> None:
    whole, splits = open_whole(DataConfig(root=str(scenes)))
    pack(whole, tmp_path / "pack", splits, size=(64, 85))
    packed = WorkingFrames(open_dataset(DataConfig(root=str(tmp_path / "pack"))), INPUT)
    said: list[Any] = []
    assert place(packed, "training", "auto", CPU, said.append).where == "memory"
    assert not packed.kept and "packed at working size" in said[0]


def test_a_mixture_of_packs_is_not_read_into_memory_and_one_with_files_is(
    scenes: Path, tmp_path: Path
) -> None:
    whole, splits = open_whole(DataConfig(root=str(scenes)))
    for name in ("one", "two"):
        pack(whole, tmp_path / name, splits, size=(64, 85))
    config = DataConfig(root=str(tmp_path / "one"), extra=(ExtraData(root=str(tmp_path / "two")),))
    packs = WorkingFrames(open_training_set(config), INPUT)
    placed = place(packs, "training", "auto", CPU, lambda text: None)
    assert placed.where == "memory" and not packs.kept

    order = EveryFrame(len(packs), 5)
    read = list(from_files(packs, order, pin=False, workers=0))
    for batches in (placed.batches(order), from_device(packs, order, CPU)):
        for ours, theirs in zip(batches, read, strict=True):
            assert ours.image.equal(theirs.image) and ours.label.equal(theirs.label)

    mixed = config.model_copy(update={"root": str(scenes)})
    assert not WorkingFrames(open_training_set(mixed), INPUT).packed


def test_packs_of_two_sizes_are_not_of_one_size(scenes: Path, tmp_path: Path) -> None:
    whole, splits = open_whole(DataConfig(root=str(scenes)))
    sizes = {"one": (64, 85), "two": (48, 64)}
    for name, size in sizes.items():
        pack(whole, tmp_path / name, splits, size=size)
    roots = [str(tmp_path / name) for name in sizes]
    config = DataConfig(root=roots[0], extra=(ExtraData(root=roots[1]),))
    frames = WorkingFrames(open_training_set(config), InputConfig(size=None))
    assert frames.packed and not frames.one_size
    alone = WorkingFrames(open_dataset(DataConfig(root=roots[0])), InputConfig(size=None))
    assert alone.packed and alone.one_size


@pytest.mark.parametrize(("free", "where"), [(4.1, "device"), (1.9, "memory")])
def test_a_gpu_holds_the_frames_if_they_take_less_than_half_of_what_is_free(
    frames: Any, monkeypatch: pytest.MonkeyPatch, free: float, where: str
) -> None:
    need = frames.nbytes()
    memory = lambda device: (int(free / 2 * need), 0)  # noqa: E731
    monkeypatch.setattr("torch.cuda.mem_get_info", memory)
    assert place(frames, "training", "auto", GPU, lambda text: None).where == where


def test_memory_promised_to_other_frames_is_not_free(
    frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = frames.nbytes()
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (int(4 * need), 0))
    for promised, where in ((int(0.9 * need), "device"), (int(1.1 * need), "memory")):
        placed = place(frames, "validation", "auto", GPU, lambda text: None, promised)
        assert placed.where == where
        assert placed.on_device == (need if where == "device" else 0)


def test_frames_that_do_not_fit_on_a_gpu_are_an_error(
    frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = frames.nbytes()
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (need, 0))
    with pytest.raises(InputError, match=r"the frames take .* GB that are free on the GPU"):
        place(frames, "training", "device", GPU, lambda text: None, promised=1)
    placed = place(frames, "training", "device", GPU, lambda text: None)

    def full(*arguments):
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr("dashseg.training.placement.from_device", full)
    with pytest.raises(InputError, match=r"there is room for.*--set data.placement=memory"):
        placed.batches(EveryFrame(len(frames), 5))


def test_the_recipe_can_choose_the_placement(frames: Any) -> None:
    placed = place(frames, "training", "files", CPU, lambda text: None)
    assert placed.where == "files" and not frames.kept
    with pytest.raises(InputError, match=r"no GPU here.*placement=memory"):
        place(frames, "training", "device", CPU, lambda text: None)
