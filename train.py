"""`python train.py --data DIR`: train the original's recipe; takes the options of dashseg train."""

import sys

from dashseg.cli import run

if __name__ == "__main__":
    options = sys.argv[1:]
    chosen = any(option.split("=")[0] in ("--recipe", "--resume") for option in options)
    run(["train", *([] if chosen else ["--recipe", "original"]), *options])
