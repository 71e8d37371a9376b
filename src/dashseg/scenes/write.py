"""A seed and a number in, a data set in comma10k's format out: imgs/*.png and masks/*.png.

scenes.json says what they are, so that nobody takes their scores for comma10k's.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from dashseg.errors import InputError
from dashseg.files import make_folder, replace_file, write_json
from dashseg.images import encode_png
from dashseg.labels import COMMA10K, write_mask
from dashseg.outputs import replace_folder
from dashseg.parallel import in_processes
from dashseg.scenes.names import MARK
from dashseg.scenes.scene import render_scene


def synthesise(
    out: Path,
    n: int,
    seed: int,
    workers: int | None = None,
    size: tuple[int, int] = (874, 1164),
    on_progress: Callable[[int, int], None] | None = None,
    varied: bool = False,
) -> None:
    """Write scenes 0 .. n - 1 of a seed to a new folder.

    Args:
        out: the data set's folder; made when all scenes are drawn, refused unless empty.
        n: how many scenes.
        seed: the same seed gives the same files.
        workers: processes; by default one per core. 1 renders in this process.
        size: height and width in pixels.
        on_progress: called in this process with (scenes done, n) after each scene.
        varied: scenes of many cameras and countries.

    Raises:
        InputError: n < 1, workers < 1, a size that is no size, or `out` is not an empty folder.
    """
    if n < 1:
        raise InputError(f"cannot render {n} scenes: ask for 1 or more")
    if min(size) < 64:
        raise InputError(
            f"frames of {size[0]}x{size[1]} (height x width) are too small: 64 or more"
        )
    with replace_folder(out, last=MARK) as folder:
        make_folder(folder / "imgs")
        make_folder(folder / "masks")
        write = partial(_write_scene, folder, seed, size, varied)
        for _ in in_processes(write, range(n), workers, on_progress):
            pass
        about = {"scenes": n, "seed": seed, "size": list(size)}
        write_json(folder / MARK, {**about, "varied": True} if varied else about)


def _write_scene(out: Path, seed: int, size: tuple[int, int], varied: bool, index: int) -> None:
    """The mask first: a frame that is there always has its mask."""
    scene = render_scene(seed, index, size, varied)
    write_mask(out / "masks" / scene.name, scene.label, COMMA10K)
    with replace_file(out / "imgs" / scene.name) as temporary:
        # Noise hardly compresses: level 1 is twice as fast as 3, its files 5 % larger.
        temporary.write_bytes(encode_png(scene.image, compression=1))
