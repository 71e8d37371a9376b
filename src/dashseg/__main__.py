"""`python -m dashseg`."""

import sys

from dashseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
