"""How long dashseg takes to start: the help, the import, and the first label of an exported model.

python benchmarks/startup.py MODEL FRAME [--rounds 10]

Each is a process of its own, in turn, from its start to its end; the files are in the page cache.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

FIRST_LABEL = "import sys, dashseg; dashseg.load(sys.argv[1])(sys.argv[2]).label"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("frame")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    python = [sys.executable, "-c"]
    commands = {
        "python alone": [*python, "pass"],
        "import dashseg": [*python, "import dashseg"],
        "dashseg --help": [str(Path(sys.executable).with_name("dashseg")), "--help"],
        "first label": [*python, FIRST_LABEL, options.model, options.frame],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(1 + options.rounds):  # the first fills the page cache
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    for name, values in times.items():
        counted = values[1:]
        print(
            f"{name:15} median {statistics.median(counted):.3f} s"
            f" ({min(counted):.3f}-{max(counted):.3f}) over {options.rounds} rounds"
        )


if __name__ == "__main__":
    main()
