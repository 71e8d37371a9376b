"""How long dashseg takes to start: the help, the import, and the first label of an exported model.

    python benchmarks/startup.py MODEL FRAME [--rounds 10] [--smoke]

Each is a process of its own, in turn; the files are in the page cache. Prints the seconds of each
from its start to its end. With --smoke MODEL and FRAME may be left out: the model that comes with
dashseg and a drawn scene take their place.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from common import SMALL, arguments, seconds, spread

from dashseg.images import encode_png
from dashseg.scenes import render_scene

FIRST_LABEL = "import sys, dashseg; dashseg.load(sys.argv[1])(sys.argv[2]).label"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("frame", nargs="?")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    if options.frame:
        measure(options.model, options.frame, options.rounds)
    elif options.smoke:
        with tempfile.TemporaryDirectory() as name:
            frame = Path(name) / "frame.png"
            frame.write_bytes(encode_png(render_scene(0, 0, SMALL).image))
            measure("small", str(frame), 1, warm_up=0)
    else:
        parser.error("name a model and a frame, or use --smoke")


def measure(model: str, frame: str, rounds: int, warm_up: int = 1) -> None:
    python = [sys.executable, "-c"]
    commands = {
        "python alone": [*python, "pass"],
        "import dashseg": [*python, "import dashseg"],
        "dashseg --help": [sys.executable, "-m", "dashseg", "--help"],
        "first label": [*python, FIRST_LABEL, model, frame],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(warm_up + rounds):  # the first fills the page cache
        for name, command in commands.items():
            run = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(seconds(run))
    for name, values in times.items():
        print(f"{name:15} {spread(values[warm_up:], 3)} s over {rounds} rounds")


if __name__ == "__main__":
    main()
