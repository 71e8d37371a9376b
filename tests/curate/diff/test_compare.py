"""dashseg data diff: two versions of a label set."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from dashseg.cli.main import app
from dashseg.config import DataConfig
from dashseg.curate.diff import compare_labels
from dashseg.data.sources import open_whole
from dashseg.errors import InputError
from dashseg.images import encode_png, read_pixels

ROAD, CAR, SKY = (64, 32, 32), (0, 255, 102), (128, 192, 255)


def write(root, frames):
    """{name: label}; the image is grey."""
    colours = np.array([ROAD, CAR, SKY], np.uint8)
    for name, label in frames.items():
        for kind, pixels in (
            ("images", np.full((*label.shape, 3), 99, np.uint8)),
            ("masks", colours[label]),
        ):
            path = root / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(pixels))
    (root / "palette.yaml").write_text(
        'classes: {road: "#402020", car: "#00ff66", sky: "#80c0ff"}\n'
    )
    return root


@pytest.fixture
def versions(tmp_path):
    rng = np.random.default_rng(0)
    labels = {name: rng.integers(0, 3, (20, 30)) for name in ("same", "little", "much", "gone")}
    old = write(tmp_path / "old", labels)
    labels = {name: label.copy() for name, label in labels.items() if name != "gone"}
    labels["little"][:2, :2] = 1
    labels["much"][:] = 2
    labels["fresh"] = rng.integers(0, 3, (20, 30))
    return old, write(tmp_path / "new", labels)


def opened(*roots):
    old, new = (open_whole(DataConfig(root=str(root)))[0] for root in roots)
    return old, new


def test_what_changed_is_counted_by_pairs_of_classes(versions):
    old, new = opened(*versions)
    found = compare_labels(old, new, workers=1)
    assert (found.frames, found.added, found.gone) == (3, ("fresh",), ("gone",))
    assert [change.name for change in found.changes] == ["much", "little"]
    before, after = old.label(list(old.names).index("much")), 2
    for class_id in (0, 1):
        assert found.changes[0].moves[class_id, after] == (before == class_id).sum()
    assert found.changes[0].changed == (before != after).sum()
    assert found.moves().total() == sum(change.changed for change in found.changes)


def test_equal_versions_are_equal_in_either_encoding(versions, tmp_path):
    old, _ = versions
    shutil.copytree(old, tmp_path / "copy")
    mask = tmp_path / "copy/masks/same.png"
    mask.write_bytes(encode_png(read_pixels(mask), compression=9))  # other bytes, same pixels
    assert compare_labels(*opened(old, tmp_path / "copy")).equal


def test_a_changed_image_another_size_and_a_broken_mask_are_told(versions, tmp_path):
    old, _ = versions
    new = tmp_path / "other"
    shutil.copytree(old, new)
    (new / "images/same.png").write_bytes(encode_png(np.zeros((20, 30, 3), np.uint8)))
    (new / "masks/gone.png").write_bytes(b"broken")
    write(new, {"little": np.zeros((5, 6), int)})
    changes = {change.name: change for change in compare_labels(*opened(old, new)).changes}
    assert changes["same"].image and not changes["same"].moves
    assert changes["little"].sizes == ((20, 30), (5, 6))
    assert "gone.png" in changes["gone"].unreadable


def test_other_classes_are_an_error(versions, tmp_path):
    old, new = versions
    (new / "palette.yaml").write_text(
        'classes: {road: "#402020", bus: "#00ff66", sky: "#80c0ff"}\n'
    )
    with pytest.raises(InputError, match="has the classes road, bus, sky"):
        compare_labels(*opened(old, new))


def test_the_command_exits_1_and_writes_a_page(versions, tmp_path):
    arguments = ["data", "diff", *map(str, versions), "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "page")])
    assert result.exit_code == 1, result.output
    assert "2 of 3 frames changed, 1 added, 1 gone" in result.output
    page = (tmp_path / "page/index.html").read_text("utf-8")
    assert page.index("much") < page.index("little")
    assert {path.name for path in (tmp_path / "page/pictures").iterdir()} == {
        f"000{n}-{kind}" for n in (1, 2) for kind in ("frame.jpg", "old.png", "new.png")
    }
    same = CliRunner().invoke(app, ["data", "diff", str(versions[0]), str(versions[0]), "--json"])
    assert same.exit_code == 0
    assert json.loads(same.stdout)["equal"] is True
