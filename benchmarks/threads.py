"""How threads should wait for each other: prints JSON.

    python benchmarks/threads.py VIDEO --runs 5 > result.json

Captions a video in processes of their own, whose OpenMP library is told by the environment how long
a thread that has nothing to do keeps its core before it sleeps. The settings take turns, first as
the machine is, then with a busy process beside. Medians of the seconds on the clock in the CNN and
in the word search, after one captioning that is not counted. ``load``: runnable processes at the
beginning, over the last minute; only near 0 is the machine as quiet as ``alone`` says.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from computer import computer

SETTINGS: dict[str, dict[str, str]] = {
    "as PyTorch has it": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
NAMES = {name for setting in SETTINGS.values() for name in setting}
CHILD = """
import sys
from vidcaption import Captioner
captioner = Captioner.from_pretrained()
for _ in range(2):
    with captioner.open(sys.argv[1]) as captioning:
        captioning.finish()
seconds = captioning.statistics.seconds
print(seconds["encode"] + seconds["search"])
"""


def captioned_s(video: Path, setting: dict[str, str]) -> float:
    environment = {name: x for name, x in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", CHILD, str(video)]
    result = subprocess.run(
        command, env=environment | setting, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(result.stdout)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """That many processes that never sleep."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def medians(video: Path, runs: int) -> dict[str, float]:
    turns = [[captioned_s(video, each) for each in SETTINGS.values()] for _ in range(runs)]
    columns = zip(SETTINGS, zip(*turns, strict=True), strict=True)
    return {name: round(statistics.median(times), 3) for name, times in columns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    report = {"runs": asked.runs, "load": round(os.getloadavg()[0], 1)}
    for name, count in (("alone", 0), ("beside one busy process", 1)):
        with neighbours(count):
            report[name] = medians(asked.video, asked.runs)
    report["machine"] = computer()
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
