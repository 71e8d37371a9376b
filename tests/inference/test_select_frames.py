"""Frames of folders and videos, chosen for labelling; the verb's table, copies and page."""

import json
import os

import cv2
import numpy as np
import pytest

from dashseg.cli import main
from dashseg.curate.select.output import check_outputs, copied
from dashseg.errors import InputError
from dashseg.images import encode_png, read_image
from dashseg.inference import load
from dashseg.inference.select_frames import read_picks, select_frames
from dashseg.tables import read_table

SIZE = (48, 64)


@pytest.fixture
def frames(tmp_path):
    """Twelve different pictures in two folders."""
    rng = np.random.default_rng(0)
    for index in range(12):
        small = rng.integers(0, 255, (3, 4, 3)).astype(np.uint8)
        picture = cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
        path = tmp_path / "in" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(picture))
    return tmp_path / "in"


@pytest.fixture
def clip(tmp_path):
    """A video of ten pictures, losslessly."""
    av = pytest.importorskip("av")
    rng = np.random.default_rng(1)
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "bgr0"
        for _ in range(10):
            picture = rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def names(selection) -> list[str]:
    return [pick.candidate.name for pick in selection.picks]


def test_labelled_frames_are_left_out_by_name_and_by_file(segmenter, frames, tmp_path) -> None:
    known = tmp_path / "known"
    (known / "a").mkdir(parents=True)
    os.link(frames / "b" / "3.png", known / "other.png")
    (known / "a" / "4.png").write_bytes((frames / "a" / "4.png").read_bytes())
    (known / "linked.png").symlink_to(frames / "a" / "6.png")
    found = select_frames(segmenter, [str(frames)], 20, labelled=str(known))
    assert found.labelled == 3
    assert sorted(names(found)) == sorted(
        f"{'ab'[i % 2]}/{i}" for i in range(12) if i not in (3, 4, 6)
    )


def test_every_video_frame_counts_and_is_read_again(segmenter, frames, clip) -> None:
    found = select_frames(segmenter, [str(frames), str(clip)], 30, every=3)
    assert found.seen == 12 + 4
    of_clip = {p.candidate.name for p in found.picks if p.candidate.frame is not None}
    assert of_clip == {f"clip_{number:06d}" for number in (0, 3, 6, 9)}
    again = dict(read_picks(found.picks))
    assert len(again) == 16
    for index, pick in enumerate(found.picks):
        seen = segmenter(again[index])
        probabilities = np.sort(seen.probabilities, axis=0)
        assert probabilities.shape[1:] == SIZE
        assert 0 < pick.candidate.score < 1


def test_groups_are_drives_videos_and_folders(segmenter, frames, clip) -> None:
    found = select_frames(segmenter, [str(frames), str(clip)], 6, group="drive", most=2)
    groups = [pick.group for pick in found.picks]
    assert sorted(set(groups)) == [str(clip), str(frames / "a"), str(frames / "b")]
    assert max(map(groups.count, groups)) == 2
    shared = select_frames(segmenter, [str(frames)], 6, group="folder")
    assert max(map([pick.group for pick in shared.picks].count, "ab")) <= 6


def test_the_verb_writes_table_copies_and_page(
    model_directory, frames, clip, tmp_path, capsys, parse_tags
) -> None:
    out, copy, page = tmp_path / "picks.csv", tmp_path / "copy", tmp_path / "page"
    (frames / "a" / "broken.png").write_bytes(b"no picture")
    os.rename(frames / "a" / "0.png", os.fsencode(frames / "a") + b"/\xff[b].png")
    command = ["data", "select", str(model_directory), str(frames), str(clip), "--n", "17"]
    command += ["--every", "2", "--out", str(out), "--copy", str(copy), "--page", str(page)]
    assert main([*command, "--device", "cpu", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["seen"] == 12 + 5 and "broken.png" in printed["unreadable"][0]
    table = read_table(out)
    assert [row["name"] for row in table] == [pick["name"] for pick in printed["picks"]]
    assert r"a/\xff[b]" in [row["name"] for row in table]
    assert [row["rank"] for row in table] == [str(rank) for rank in range(1, 18)]
    for row in table:
        name = row["name"].replace(r"\xff", "\udcff")
        is_clip = row["frame"] != ""
        own = copy / f"{name}.png"
        if not is_clip:
            source = frames / f"{name}.png"
            assert own.read_bytes() == source.read_bytes()
        assert read_image(own).shape == (*SIZE, 3)
    tags = parse_tags((page / "index.html").read_text())
    pictures = [page / source for source in tags.values("src")]
    assert len(pictures) == 3 * 17 and all(picture.is_file() for picture in pictures)
    # Nothing is replaced.
    before = out.read_bytes()
    assert main(command) == 2
    assert "picks.csv exists" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"by": "guess"}, "uncertainty, diversity, both"),
        ({"group": "city"}, "segment, drive, device, folder"),
        ({"most": 3}, "--group"),
        ({"labelled": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_bad_options_are_named(segmenter, frames, options, says) -> None:
    with pytest.raises(InputError, match=says):
        select_frames(segmenter, [str(frames)], 3, **options)


def test_an_unreadable_video_and_nothing_else_is_an_error(segmenter, tmp_path) -> None:
    pytest.importorskip("av")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"no frame to choose from: .*broken\.mp4"):
        select_frames(segmenter, [str(tmp_path)], 3)
    with pytest.raises(InputError, match="no images and no videos"):
        (tmp_path / "empty").mkdir()
        select_frames(segmenter, [str(tmp_path / "empty")], 3)


def test_videos_of_one_name_in_several_folders_are_told_apart(
    segmenter, clip, tmp_path, model_directory
) -> None:
    """As a comma device writes them: SEGMENT/fcamera.hevc."""
    drive = tmp_path / "drive"
    for segment in ("0", "1", ".cache"):
        (drive / segment).mkdir(parents=True)
        os.link(clip, drive / segment / "fcamera.mkv")
    known = tmp_path / "known"
    (known / "1").mkdir(parents=True)
    (known / "1" / "fcamera_000005.png").write_bytes(encode_png(np.zeros((*SIZE, 3), np.uint8)))
    found = select_frames(segmenter, [str(drive)], 9, every=5, labelled=str(known))
    assert sorted(names(found)) == ["0/fcamera_000000", "0/fcamera_000005", "1/fcamera_000000"]
    assert (found.seen, found.left_out) == (3, 1)


def test_two_frames_of_one_name_are_not_copied_onto_each_other(segmenter, clip, tmp_path) -> None:
    still = tmp_path / "clip_000000.png"
    still.write_bytes(encode_png(np.zeros((*SIZE, 3), np.uint8)))
    picks = select_frames(segmenter, [str(still), str(clip)], 9, every=10).picks
    problems: list[str] = []
    assert len(list(copied(tmp_path / "copy", picks, read_picks(picks), problems))) == len(picks)
    (problem,) = problems
    assert "another frame is also called clip_000000.png" in problem
    (copy,) = (tmp_path / "copy").iterdir()
    assert copy.read_bytes() == still.read_bytes()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a", "a", None), "a different place for each"),
        (("a", "b", "./b"), "a different place for each"),
        (("no/a", None, None), "no: no such folder"),
    ],
)
def test_outputs_that_cannot_be_written_are_said_at_once(names, says, tmp_path) -> None:
    with pytest.raises(InputError, match=says):
        check_outputs(*(name and tmp_path / name for name in names))


def test_progress_counts_the_labelled_frames_too(segmenter, frames) -> None:
    steps: list[tuple[int, int]] = []
    select_frames(
        segmenter, [str(frames / "a")], 2, labelled=str(frames / "b"),
        on_progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert steps == [(number, 12) for number in range(1, 13)]


def test_augmented_looks_have_no_features(model_directory, frames) -> None:
    with pytest.raises(InputError, match="without tta"):
        select_frames(load(model_directory, device="cpu", tta=["flip"]), [str(frames)], 3)
