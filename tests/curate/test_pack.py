"""Packs hold what Pillow reads from the files, whatever happened while they were made."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from dashseg.config import DataConfig, InputConfig
from dashseg.curate.pack import pack
from dashseg.data import open_dataset
from dashseg.data.mixture import sources
from dashseg.data.pack import PackDataset
from dashseg.data.pack.source import describe_source
from dashseg.data.partial import Relabelled
from dashseg.data.sources import open_whole
from dashseg.errors import InputError
from dashseg.shrink import shrink_label
from dashseg.training.batches import ShuffledBatches, from_memory
from dashseg.training.frames import WorkingFrames

NAMES = [f"frame_{number}" for number in range(20)]
PREDICTIONS = {
    "model": "m", "digest": "1", "classes": ["a", "b"], "shapes": [[5, 7]],
    "checksums": [[1] * 20], "trained_on": None,
}  # fmt: skip
Write = Callable[..., dict[str, Any]]


def pack_folder(root: Path | str, out: Path, **options: Any) -> PackDataset:
    frames, splits = open_whole(DataConfig(root=str(root)))
    frames.check()
    return pack(frames, out, splits, workers=1, **options)


@pytest.fixture
def source(tmp_path: Path, write_comma10k: Write) -> Path:
    write_comma10k(tmp_path / "source", NAMES)
    return tmp_path / "source"


def test_frames_and_labels_are_those_of_the_files(tmp_path: Path, write_comma10k: Write) -> None:
    labels = write_comma10k(tmp_path / "source", NAMES)
    pack_folder(tmp_path / "source", tmp_path / "pack")
    packed = open_dataset(DataConfig(root=str(tmp_path / "pack")))
    assert isinstance(packed, PackDataset) and packed.kind == "pack" and not packed.resized
    assert list(packed.names) == NAMES
    for image, label, name in packed:
        pixels = np.array(PIL.Image.open(tmp_path / "source" / "imgs" / f"{name}.png"))
        assert np.array_equal(image, pixels)
        assert np.array_equal(label, labels[name])
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == [
        "images-40x56.npy", "labels-40x56.npy", "pack.json",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "source"]


def test_the_sides_of_the_split_are_the_sources_own(source: Path, tmp_path: Path) -> None:
    pack_folder(source, tmp_path / "pack")
    for split in ("train", "val"):
        of_files = open_dataset(DataConfig(root=str(source)), split)
        packed = open_dataset(DataConfig(root=str(tmp_path / "pack")), split)
        assert packed.names == of_files.names and packed.split == split
    assert packed.names == ("frame_9", "frame_19")


def test_a_split_file_is_taken(source: Path, tmp_path: Path) -> None:
    pack_folder(source, tmp_path / "pack")
    file = tmp_path / "split.json"
    file.write_text(json.dumps({"train": NAMES[:3], "val": NAMES[3:5]}))
    packed = open_dataset(DataConfig(root=str(tmp_path / "pack"), split=file), "train")
    assert list(packed.names) == NAMES[:3]


def test_frames_of_several_sizes_get_arrays_of_their_own(
    tmp_path: Path, write_comma10k: Write
) -> None:
    write_comma10k(tmp_path / "source", ["a", "c"], size=(40, 56))
    write_comma10k(tmp_path / "source", ["b", "d"], size=(32, 48))
    packed = pack_folder(tmp_path / "source", tmp_path / "pack")
    assert packed.sizes == ((32, 48), (40, 56))
    of_files = open_dataset(DataConfig(root=str(tmp_path / "source")))
    for mine, theirs in zip(packed, of_files, strict=True):
        assert np.array_equal(mine.image, theirs.image) and np.array_equal(mine.label, theirs.label)


def test_a_size_fits_frames_in_and_shrinks_labels_by_the_one_rule(
    source: Path, tmp_path: Path
) -> None:
    packed = pack_folder(source, tmp_path / "pack", size=(64, 36))
    assert packed.sizes == ((26, 36),) or packed.sizes == (
        (32, 36),
    )  # 40×56 within it; 32 at least
    of_files = open_dataset(DataConfig(root=str(source)))
    height, width = packed.sizes[0]
    for mine, theirs in zip(packed, of_files, strict=True):
        expected = cv2.resize(theirs.image, (width, height), interpolation=cv2.INTER_AREA)
        assert np.array_equal(mine.image, expected)
        assert np.array_equal(mine.label, shrink_label(theirs.label, (height, width)))
    assert packed.resized and packed.rows[0].native == (40, 56)


@pytest.mark.parametrize(
    ("name", "how"), [("nearest", cv2.INTER_NEAREST_EXACT), ("bilinear", cv2.INTER_LINEAR)]
)
def test_squashed_by_another_filter(source: Path, tmp_path: Path, name: str, how: int) -> None:
    packed = pack_folder(source, tmp_path / "pack", size=(32, 32), resize="squash", filter=name)
    first = open_dataset(DataConfig(root=str(source)))[0]
    assert packed.sizes == ((32, 32),)
    assert np.array_equal(packed[0].image, cv2.resize(first.image, (32, 32), interpolation=how))


def test_other_layouts_are_packed_too(tmp_path: Path, write_camvid11: Write) -> None:
    write_camvid11(tmp_path / "source", {"train": ["0001TP_006690"], "val": ["0016E5_00390"]})
    pack_folder(tmp_path / "source", tmp_path / "pack")
    packed = open_dataset(DataConfig(root=str(tmp_path / "pack")), "val")
    of_files = open_dataset(DataConfig(root=str(tmp_path / "source")), "val")
    assert packed.names == ("val/0016E5_00390",)
    assert packed.classes.names == of_files.classes.names
    assert packed.classes.colours == of_files.classes.colours
    assert np.array_equal(packed[0].label, of_files[0].label) and (packed[0].label == 255).any()
    # Whose terms hold stays known in a pack of the pack, and where labels are not used.
    second = pack_folder(tmp_path / "pack", tmp_path / "second")
    hidden = Relabelled(second, second.classes, bytes([255] * 256), "unlabelled")
    assert second.source.kind == "camvid" == sources(hidden)[0]["kind"]
    assert describe_source(hidden).kind == "camvid"


def test_a_pack_of_a_pack_remembers_the_native_size(source: Path, tmp_path: Path) -> None:
    pack_folder(source, tmp_path / "one", size=(32, 48), resize="squash")
    second = pack_folder(tmp_path / "one", tmp_path / "two")
    assert second.resized and second.rows[0].native == (40, 56)
    assert (
        second.fingerprint() == open_dataset(DataConfig(root=str(tmp_path / "one"))).fingerprint()
    )


def test_it_pickles_without_its_arrays_and_loader_processes_read_it(
    source: Path, tmp_path: Path
) -> None:
    packed: Any = pack_folder(source, tmp_path / "pack")
    expected = [packed[index].image for index in range(len(packed))]  # the arrays are open now
    assert len(pickle.dumps(packed)) < 10_000
    loader: Any = DataLoader(
        packed, batch_size=None, num_workers=2, multiprocessing_context="spawn"
    )
    for image, sample in zip(expected, loader, strict=True):
        assert np.array_equal(np.asarray(sample.image), image)


def test_what_is_read_can_be_changed_and_the_file_stays(source: Path, tmp_path: Path) -> None:
    packed = pack_folder(source, tmp_path / "pack")
    packed[0].image[:] = 0
    packed.label(0)[:] = 0
    packed.verify()


def test_training_gets_the_same_batches_as_from_files(source: Path, tmp_path: Path) -> None:
    rule = InputConfig(size=(32, 48), resize="squash")
    pack_folder(source, tmp_path / "pack", size=(32, 48), resize="squash")
    batches = []
    for root in (source, tmp_path / "pack"):
        frames = WorkingFrames(open_dataset(DataConfig(root=str(root)), "train"), rule)
        assert frames.packed == (root != source)
        order = ShuffledBatches(len(frames), 4, seed=1)
        batches.append(list(from_memory(frames, order, pin=False)))
    assert len(batches[0]) == 4
    for of_files, packed in zip(*batches, strict=True):
        assert of_files.image.equal(packed.image) and of_files.label.equal(packed.label)


def test_a_pack_of_another_size_is_resized_like_files(source: Path, tmp_path: Path) -> None:
    pack_folder(source, tmp_path / "pack")
    rule = InputConfig(size=(32, 48), resize="squash")
    frames = [
        WorkingFrames(open_dataset(DataConfig(root=str(root))), rule)
        for root in (source, tmp_path / "pack")
    ]
    assert not frames[1].packed
    for mine, theirs in zip(frames[0][3], frames[1][3], strict=True):
        assert np.array_equal(mine, theirs)


def test_a_damaged_frame_is_named(source: Path, tmp_path: Path) -> None:
    packed = pack_folder(source, tmp_path / "pack")
    packed.verify()
    array = np.load(tmp_path / "pack" / "labels-40x56.npy", mmap_mode="r+")
    array[2, 5, 5] ^= 1
    array.flush()
    with pytest.raises(InputError, match="1 of 20 frames are damaged: frame_2"):
        packed.verify()


@pytest.mark.parametrize("what", ["images-40x56.npy", "labels-40x56.npy", "pack.json"])
def test_a_cut_or_missing_file_is_an_error_that_names_it(
    source: Path, tmp_path: Path, what: str
) -> None:
    pack_folder(source, tmp_path / "pack")
    path = tmp_path / "pack" / what
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=what):
        open_dataset(DataConfig(root=str(tmp_path / "pack")))
    if what != "pack.json":
        path.unlink()
        with pytest.raises(InputError, match=what):
            open_dataset(DataConfig(root=str(tmp_path / "pack")))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x93NUMPY\1\0v\0" + b"(" * 117 + b"\n", b"PK\3\4" + bytes(200), bytes(1000),
    ],
)  # fmt: skip
def test_an_array_that_is_no_array_is_an_error_that_names_it(
    source: Path, tmp_path: Path, content: bytes
) -> None:
    pack_folder(source, tmp_path / "pack")
    (tmp_path / "pack" / "labels-40x56.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"labels-40x56\.npy: cut off or damaged"):
        open_dataset(DataConfig(root=str(tmp_path / "pack")))


def test_an_array_that_is_a_pipe_is_not_opened(source: Path, tmp_path: Path) -> None:
    pack_folder(source, tmp_path / "pack")
    (tmp_path / "pack" / "labels-40x56.npy").unlink()
    os.mkfifo(tmp_path / "pack" / "labels-40x56.npy")
    with pytest.raises(InputError, match="a pipe, socket or device"):
        open_dataset(DataConfig(root=str(tmp_path / "pack")))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("frames", 0, 1), 9),  # no such array
        (("frames", 0, 1), -1),
        (("frames", 0, 2), -1),  # the last row of the array
        (("frames", 0, 2), 1),  # another frame's row
        (("frames", 0, 2), 99),
        (("frames", 0, 2), 10**30),
        (("frames", 0, 2), "x"),
        (("frames", 0, 0), "frame_1"),  # another frame's name
        (("frames", 0, 0), None),
        (("frames", 0, 3), [1]),
        (("frames", 0, 5), ["one"]),
        (("frames", 0), [1, 2]),
        (("frames",), {}),
        (("sizes",), []),
        (("sizes", 0), [40]),
        (("sizes", 0), [-40, 56]),
        (("classes",), []),
        (("classes", "names"), 3),
        (("classes", "names", 0), {}),
        (("classes", "colours", 0), "#1"),
        (("classes", "colours", 0), 7),
        (("classes", "colours"), []),
        (("splits",), {}),
        (("splits", "val"), 3),
        (("source",), None),
        (("source", "root"), 3),
        (("source", "folders"), [1]),
        (("resized",), "perhaps"),
        (("predictions",), {"model": "m"}),
        (("predictions",), PREDICTIONS | {"shapes": []}),
        (("predictions",), PREDICTIONS | {"checksums": [[1] * 19]}),
    ],
)
def test_an_index_that_does_not_fit_is_an_error_on_opening(
    source: Path, tmp_path: Path, keys: tuple[Any, ...], value: Any
) -> None:
    pack_folder(source, tmp_path / "pack")
    path = tmp_path / "pack" / "pack.json"
    index = json.loads(path.read_text())
    *parents, last = keys
    place = index
    for key in parents:
        place = place[key]
    place[last] = value
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match="pack the data again"):
        open_dataset(DataConfig(root=str(tmp_path / "pack")))


def test_labels_beyond_the_classes_are_an_error_wherever_they_are_read(
    source: Path, tmp_path: Path
) -> None:
    packed = pack_folder(source, tmp_path / "pack")
    path = tmp_path / "pack" / "labels-40x56.npy"
    labels = np.load(path)
    labels[2, 5, 5] = 200
    np.save(path, labels)
    index = json.loads((tmp_path / "pack" / "pack.json").read_text())
    images = np.load(tmp_path / "pack" / "images-40x56.npy")
    index["frames"][2][4] = zlib.crc32(labels[2].data, zlib.crc32(images[2].data))
    (tmp_path / "pack" / "pack.json").write_text(json.dumps(index))
    opened, _ = open_whole(DataConfig(root=packed.root))
    assert isinstance(opened, PackDataset)
    frames = WorkingFrames(opened, InputConfig(size=None))
    order = ShuffledBatches(len(opened), 4, seed=0)
    for read in (
        opened.verify,
        lambda: opened[2],
        lambda: opened.label(2),
        lambda: list(from_memory(frames, order, pin=False)),
    ):
        with pytest.raises(InputError, match=r"other values than the 5 classes: .*frame_2"):
            read()


@pytest.mark.parametrize("schema", [0, 2, None])
def test_a_pack_of_another_schema_is_an_error(
    source: Path, tmp_path: Path, schema: int | None
) -> None:
    pack_folder(source, tmp_path / "pack")
    path = tmp_path / "pack" / "pack.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    with pytest.raises(InputError, match=f"schema {schema}; this version"):
        open_dataset(DataConfig(root=str(tmp_path / "pack")))


def test_a_source_that_changed_is_said_and_no_error(
    source: Path, tmp_path: Path, write_comma10k: Write, caplog: pytest.LogCaptureFixture
) -> None:
    pack_folder(source, tmp_path / "pack")
    config = DataConfig(root=str(tmp_path / "pack"))
    open_dataset(config)
    assert not caplog.messages
    mask = source / "masks" / "frame_3.png"
    os.utime(mask, ns=(0, mask.stat().st_mtime_ns + 1))
    open_dataset(config)
    assert "1 frames have changed, the first being frame_3" in caplog.messages[-1]
    write_comma10k(source, ["new"])
    open_dataset(config)
    assert "imgs has 21 image files instead of 20" in caplog.messages[-1]
    source.rename(tmp_path / "away")
    caplog.clear()
    open_dataset(config)
    assert not caplog.messages


def test_what_stands_at_out_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        pack_folder(source, tmp_path / "pack")
    assert [path.name for path in (tmp_path / "pack").iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled_from_inside_and_resumed_there(
    source: Path, tmp_path: Path
) -> None:
    """It may be the root of a disk, which has no folder beside it."""
    out = tmp_path / "parent" / "pack"
    (out / "lost+found").mkdir(parents=True)
    damaged = source / "imgs" / "frame_5.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:60] + bytes(340) + whole[400:])
    with pytest.raises(InputError, match=r"frame_5\.png"):
        pack_folder(source, out)
    damaged.write_bytes(whole)
    notes: list[str] = []
    pack_folder(source, out, on_note=notes.append)
    assert notes and notes[0].startswith("resuming: ")
    assert sorted(path.name for path in out.iterdir()) == [
        "images-40x56.npy", "labels-40x56.npy", "lost+found", "pack.json",
    ]  # fmt: skip
    assert [path.name for path in out.parent.iterdir()] == ["pack"]
    open_dataset(DataConfig(root=str(out)))


@pytest.mark.parametrize("name", ["../../victim", "/etc/victim", "a/../../b", "C:\\a", "", "a\0"])
def test_a_name_that_leads_elsewhere_is_an_error(source: Path, tmp_path: Path, name: str) -> None:
    pack_folder(source, tmp_path / "pack")
    path = tmp_path / "pack" / "pack.json"
    values = json.loads(path.read_text())
    values["frames"][1][0] = name
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="is not a path inside this folder"):
        open_dataset(DataConfig(root=str(tmp_path / "pack")))


def test_too_little_disk_is_an_error_before_anything_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"the pack needs .* GB and .* GB are free"):
        pack_folder(source, tmp_path / "pack")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_an_unreadable_frame_is_named_and_what_is_packed_is_kept(
    source: Path, tmp_path: Path
) -> None:
    good = (source / "imgs" / "frame_5.png").read_bytes()
    damaged = bytearray(good)
    damaged[60:400] = bytes(340)
    (source / "imgs" / "frame_5.png").write_bytes(damaged)
    with pytest.raises(InputError, match=r"frame_5\.png"):
        pack_folder(source, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()
    (source / "imgs" / "frame_5.png").write_bytes(good)
    notes: list[str] = []
    pack_folder(source, tmp_path / "pack", on_note=notes.append)
    assert notes == ["resuming: 5 of 20 frames are packed already"]


class Threshold:
    """A teacher of two classes, at stride 2."""

    model, digest, classes, trained_on = "threshold", "1", ("dark", "light"), None

    def __init__(self, most: int = 1000) -> None:
        self.left = most

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self.left:
            raise InputError("stopped")
        self.left -= int(image.any())  # it is asked for its shape with a black frame
        grey = image[::2, ::2, 0]
        return np.stack([grey, 255 - grey])


def test_predictions_are_those_of_the_packed_frames_and_resume(
    source: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"size": (32, 48), "resize": "squash"}
    whole = pack_folder(source, tmp_path / "whole", predictor=Threshold(), **options)
    opened, _ = open_whole(DataConfig(root=whole.root))
    assert isinstance(opened, PackDataset) and opened.predictions == whole.predictions
    chosen = opened.select(["frame_7", "frame_3"], "some")
    for index, sample in enumerate(chosen):
        assert np.array_equal(chosen.prediction(index), Threshold()(sample.image))
    with pytest.raises(InputError, match="stopped"):
        pack_folder(source, tmp_path / "pack", predictor=Threshold(8), **options)
    mask = source / "masks" / "frame_2.png"
    PIL.Image.new("RGB", (56, 40), "#402020").save(mask)  # another frame now: predicted again
    rest, notes = Threshold(), list[str]()
    resumed = pack_folder(
        source, tmp_path / "pack", predictor=rest, on_note=notes.append, **options
    )
    assert rest.left == 1000 - 13 and notes == ["resuming: 19 of 20 frames are packed already"]
    name = "predictions-32x48.npy"
    assert (tmp_path / "pack" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.glob(".pack*")) and len([*(tmp_path / "pack").iterdir()]) == 4
    resumed.verify()

    array = np.load(tmp_path / "pack" / name)
    array[4, 0, 0, 0] ^= 1
    np.save(tmp_path / "pack" / name, array)
    with pytest.raises(InputError, match="1 of 20 frames are damaged: frame_4"):
        open_whole(DataConfig(root=resumed.root))[0].verify()  # type: ignore[attr-defined]
    np.save(tmp_path / "pack" / name, array[:, :1])
    with pytest.raises(InputError, match=r"predictions-32x48\.npy: has uint8 \(20, 1, 16, 24\)"):
        open_dataset(DataConfig(root=resumed.root))


def test_begun_with_another_teacher_it_starts_anew(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stopped"):
        pack_folder(source, tmp_path / "pack", predictor=Threshold(3))
    other, notes = Threshold(), list[str]()
    other.digest = "2"
    pack_folder(source, tmp_path / "pack", predictor=other, on_note=notes.append)
    assert notes == ["the unfinished pack there has other frames or options: starting over"]
    assert other.left == 980


_PACK = """
import sys, time
from pathlib import Path
import dashseg.curate.pack as write
from dashseg.config import DataConfig
from dashseg.data.sources import open_whole

slow = write._write_frame
def write_frame(job, index):
    time.sleep(0.05)
    return slow(job, index)

if __name__ == "__main__":
    write._write_frame = write_frame
    frames, splits = open_whole(DataConfig(root=sys.argv[1]))
    def advance(done, count):
        print(done, flush=True)
    write.pack(frames, Path(sys.argv[2]), splits, workers=int(sys.argv[3]), on_progress=advance)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_and_resumed_it_is_the_same_pack(source: Path, tmp_path: Path, workers: str) -> None:
    whole = pack_folder(source, tmp_path / "whole")
    program = tmp_path / "pack.py"
    program.write_text(_PACK)
    command = [sys.executable, str(program), str(source), str(tmp_path / "pack"), workers]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 4:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "pack").exists()
    mask = source / "masks" / "frame_0.png"
    os.utime(mask, ns=(0, mask.stat().st_mtime_ns + 1))  # changed since: read again
    journal = tmp_path / ".pack.packing" / "journal.jsonl"
    with journal.open("a") as file:
        file.write("[3, 12")  # as a line looks that was cut off
    time.sleep(0.2)
    notes: list[str] = []
    packed = pack_folder(source, tmp_path / "pack", on_note=notes.append)
    (note,) = notes
    assert note.startswith("resuming: ") and note.endswith(" of 20 frames are packed already")
    assert 3 <= int(note.split()[1]) < 20
    for name in ("images-40x56.npy", "labels-40x56.npy"):
        assert (tmp_path / "pack" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert packed.fingerprint() == whole.fingerprint()
    assert not list(tmp_path.glob(".pack*"))


def test_begun_with_other_options_it_starts_anew(source: Path, tmp_path: Path) -> None:
    bad = source / "imgs" / "frame_9.png"
    good = bad.read_bytes()
    damaged = bytearray(good)
    damaged[60:400] = bytes(340)
    bad.write_bytes(damaged)
    with pytest.raises(InputError):
        pack_folder(source, tmp_path / "pack")
    bad.write_bytes(good)
    notes: list[str] = []
    packed = pack_folder(source, tmp_path / "pack", size=(32, 48), on_note=notes.append)
    assert notes == ["the unfinished pack there has other frames or options: starting over"]
    packed.verify()


def test_two_at_a_time_to_one_place_is_an_error(source: Path, tmp_path: Path) -> None:
    frames, splits = open_whole(DataConfig(root=str(source)))

    def advance(done: int, count: int) -> None:
        if done == 1:
            with pytest.raises(InputError, match="another process is packing"):
                pack(frames, tmp_path / "pack", splits, workers=1)

    pack(frames, tmp_path / "pack", splits, workers=1, on_progress=advance).verify()


_ON_DISK = """
import sys
from pathlib import Path
import dashseg.curate.pack as write
from dashseg.config import DataConfig
from dashseg.data.sources import open_whole
from dashseg.errors import InputError

write._ROOM = -1 << 40  # as if the disk had room when it was asked
disk, source = map(Path, sys.argv[1:])
frames, splits = open_whole(DataConfig(root=str(source)))
try:
    write.pack(frames, disk / "pack", splits, workers=1)
except InputError as error:
    print(error)
print((disk / "pack").exists())
"""


def test_a_disk_that_gets_full_is_an_error_and_no_bus_error(
    source: Path, in_small_disk: Callable[..., Any]
) -> None:
    done = in_small_disk(_ON_DISK, source, size="64k")
    assert done.returncode == 0, done.stderr
    message, made = done.stdout.splitlines()
    assert message.startswith("cannot write ") and "No space left" in message
    assert made == "False"
