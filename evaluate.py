"""`python evaluate.py --data DIR`: report on the run of train.py, or on any model named first;

takes the options of dashseg evaluate.
"""

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
    named = bool(options) and not options[0].startswith("-")
    run(["evaluate", *([] if named else ["runs/original"]), *options])
