"""`data select --cluster` against the same on this machine alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli.main import main
from dashseg.images import read_image


@pytest.mark.parametrize("by", ["both", "uncertainty"])
def test_picks_are_those_of_one_machine(
    by: str, frames: Path, model_directory: Path, tmp_path: Path, in_process: list[int],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    images = sorted(frames.rglob("0*.png"))
    write_clip(Path("clip.mkv"), images[:3])
    Path("labelled").mkdir()
    Path("labelled/clip_000001.png").write_bytes(images[5].read_bytes())
    images[4].write_bytes(b"damaged")
    Path("cut.mkv").write_bytes(b"no video")
    select = ["data", "select", str(model_directory), "frames", "clip.mkv", "cut.mkv", "--n", "4"]
    select += ["--labelled", "labelled", "--by", by, "--device", "cpu", "--json"]
    told: list[Any] = []
    for more in ([], ["--cluster", "auto"]):
        assert main([*select, "--out", f"{len(told)}.csv", *more]) == 1
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    assert (told[0]["seen"], told[0]["labelled"], told[0]["left_out"]) == (13, 1, 1)
    assert len(told[0]["unreadable"]) == 2
    assert Path("0.csv").read_bytes() == Path("1.csv").read_bytes()


def write_clip(path: Path, images: list[Path]) -> None:
    """A video of the first pixels of images, losslessly."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=20)
        stream.width, stream.height, stream.pix_fmt = 56, 40, "bgr0"
        for image in images:
            frame = av.VideoFrame.from_ndarray(read_image(image)[:40, :56].copy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
