"""Run the command line as `python -m promptreg`."""

import sys

from promptreg.cli import main

if __name__ == "__main__":
    sys.exit(main())
