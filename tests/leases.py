"""A process that holds a lease: locks do not keep a process from its own."""

import subprocess
import sys
from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from vidcaption.batch.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
with ledger.lease(sys.argv[2]) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


def holder(folder: Path, key: str) -> "subprocess.Popen[str]":
    """Says whether it has the lease in a line, and gives it back when its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), key],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
