"""How long finding a model takes: prints JSON.

    python benchmarks/startup.py --runs 20 > result.json

Each figure is the wall time of ``vidcaption.store.resolve`` alone, in milliseconds, as the median
and the longest over the runs: for the embedded model, for one in the Hub's cache by its branch, and
for the same by its commit. ``import`` is the import of ``vidcaption.store`` in a fresh process. The
cache is a temporary one that holds a copy of the embedded model, and the Hub's address is one where
nothing listens: whatever asks the network fails.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

COMMIT = "0" * 40
_IMPORT = (
    "import time; began = time.perf_counter(); import vidcaption.store;"
    "print(time.perf_counter() - began)"
)


def measured(work: Callable[[], float], runs: int) -> dict[str, float]:
    """Median and longest of ``runs`` times, after one that is not counted."""
    work()
    times = [1000 * work() for _ in range(runs)]
    return {"median_ms": round(statistics.median(times), 3), "max_ms": round(max(times), 3)}


def import_s() -> float:
    command = [sys.executable, "-c", _IMPORT]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20)
    asked = parser.parse_args()

    with tempfile.TemporaryDirectory() as home:
        # before the library that reads them is imported
        os.environ |= {"HF_HUB_CACHE": home, "HF_ENDPOINT": "http://127.0.0.1:9"}
        from vidcaption.store import resolve

        model = Path(home) / "models--owner--name"
        shutil.copytree(resolve(), model / "snapshots" / COMMIT)
        (model / "refs").mkdir()
        (model / "refs/main").write_text(COMMIT)

        def resolve_s(name: str) -> float:
            began = time.perf_counter()
            resolve(name)
            return time.perf_counter() - began

        names = {"embedded": "default", "cached": "owner/name", "pinned": f"owner/name@{COMMIT}"}
        report = {
            "runs": asked.runs,
            "import": measured(import_s, asked.runs),
            **{
                kind: measured(partial(resolve_s, name), asked.runs) for kind, name in names.items()
            },
            "machine": {
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
