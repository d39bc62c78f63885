"""``python -m vidcaption``: the same as the ``vidcaption`` command."""

import os
import sys

if __name__ == "__main__":
    # Python looks for modules in the working folder first, where a file may be called socket.py.
    # It stays where the package itself is found there.
    if not sys.flags.safe_path and sys.path[0] != os.path.dirname(os.path.dirname(__file__)):
        del sys.path[0]

    from vidcaption.cli import main

    sys.exit(main())
