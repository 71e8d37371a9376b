"""`python evaluate.py --data DIR`: report on the run of train.py, or on any model named first;

takes the options of dashseg evaluate.
"""

import sys

from dashseg.cli import run

if __name__ == "__main__":
    options = sys.argv[1:]
    named = bool(options) and not options[0].startswith("-")
    run(["evaluate", *([] if named else ["runs/original"]), *options])
