"""`python train.py --data DIR`: train the original's recipe; takes the options of dashseg train."""

import sys

try:
    from dashseg.cli import run
except ModuleNotFoundError as missing:
    print(
        f"error: {missing}: activate the environment that `make demo` sets up:"
        " source .venv/bin/activate",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    options = sys.argv[1:]
    chosen = any(option.split("=")[0] in ("--recipe", "--resume") for option in options)
    run(["train", *([] if chosen else ["--recipe", "original"]), *options])
