"""``python -m vidcaption``: the same as the ``vidcaption`` command."""

import sys

from vidcaption.cli import main

if __name__ == "__main__":
    sys.exit(main())
