"""How long it takes until the work begins: prints JSON.

    python benchmarks/startup.py --runs 20 > result.json

``commands`` holds whole processes, each by turns with one that only imports what the command is
built on: ``--help`` beside Typer and Rich, and the first 5 seconds of a video beside PyTorch.
Medians of the seconds on the clock and of those in which a core worked, and their ratios. Each
meets the machine in the same state, and yet only the second ratio holds on a machine that is busy.

The other figures are the wall time of ``vidcaption.store.resolve`` alone, in milliseconds, as the
median and the longest over the runs: for the built-in model, for one in the Hub's cache by its
branch, and for the same by its commit. ``import`` is the import of ``vidcaption.store`` in a fresh
process. The cache is a temporary one that holds a copy of the built-in model, and the Hub's address
is one where nothing listens: whatever asks the network fails.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from computer import computer

COMMIT = "0" * 40
CLIP = Path(__file__).parent.parent / "examples" / "clip.mp4"
PAIRS = {
    "help": (["-m", "vidcaption", "--help"], ["-c", "import typer, rich"]),
    "clip": (["-m", "vidcaption", "run", str(CLIP), "--end", "5"], ["-c", "import torch"]),
}
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


def process_s(arguments: list[str]) -> tuple[float, float]:
    """Seconds on the clock and in the processor that Python takes with these arguments."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def compared(one: list[str], other: list[str], runs: int) -> dict[str, Any]:
    """Medians of two processes that take turns, after one turn that is not counted."""
    times = [(process_s(one), process_s(other)) for _ in range(runs + 1)][1:]
    report: dict[str, Any] = {}
    for index, kind in enumerate(("wall", "cpu")):
        medians = [statistics.median(pair[row][index] for pair in times) for row in (0, 1)]
        report[f"{kind}_s"], report[f"beside_{kind}_s"] = (round(x, 3) for x in medians)
        report[f"{kind}_ratio"] = round(medians[0] / medians[1], 2)
    return report


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
            "commands": {name: compared(*pair, asked.runs) for name, pair in PAIRS.items()},
            "import": measured(import_s, asked.runs),
            **{
                kind: measured(partial(resolve_s, name), asked.runs) for kind, name in names.items()
            },
            "machine": computer(),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
