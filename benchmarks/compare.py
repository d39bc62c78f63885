"""Whether one commit is slower than another: prints JSON.

    python benchmarks/compare.py main HEAD --runs 5

Both are unpacked and run in turns, by this Python and its libraries, over the same inputs: the
help, a short clip, the whole of it, and a folder of images. ``ratio`` is HEAD to BASE, of medians;
``cpu`` is processor time, which a busy machine disturbs least. The exit code tells nothing of them.
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
from collections import defaultdict
from pathlib import Path
from typing import Any

from speed import machine

ROOT = Path(__file__).parent.parent
CLIP = ROOT / "examples" / "clip.mp4"
RUN = ["run", "--srt", "-q", "--force"]


def unpack(commit: str, folder: Path) -> Path:
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def inputs(folder: Path, images: int) -> dict[str, list[str]]:
    """The commands, by name; they write into ``folder`` alone."""
    import av

    shutil.copy(CLIP, folder / "clip.mp4")
    (folder / "images").mkdir()
    with av.open(str(CLIP)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 10 == 0 and number < 10 * images:
                frame.to_image().save(folder / "images" / f"{number}.jpg")
    return {
        "help": ["run", "--help"],
        "5 seconds": [*RUN, "clip.mp4", "--end", "5"],
        "clip": [*RUN, "clip.mp4"],
        "images": [*RUN, "images"],
    }


def timed(source: Path, command: list[str], folder: Path) -> dict[str, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "vidcaption", *command],
        env=os.environ | {"PYTHONPATH": str(source)},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu}


def compare(home: Path, commits: dict[str, str], runs: int, images: int) -> dict[str, Any]:
    sources = {name: unpack(commit, home / name) for name, commit in commits.items()}
    work = home / "work"
    work.mkdir()
    report = {}
    for label, command in inputs(work, images).items():
        taken: dict[tuple[str, str], list[float]] = defaultdict(list)
        for number in range(runs + 1):
            for name, source in sources.items():
                for kind, seconds in timed(source, command, work).items():
                    if number:  # the first time files are read from the disk
                        taken[name, kind].append(seconds)
        medians = {key: statistics.median(values) for key, values in taken.items()}
        report[label] = {
            kind: {
                **{name: round(medians[name, kind], 3) for name in commits},
                "ratio": round(medians["head", kind] / medians["base", kind], 3),
            }
            for kind in ("wall", "cpu")
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("base", help="a commit")
    parser.add_argument("head", help="a commit")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--images", type=int, default=20)
    asked = parser.parse_args()
    commits = {"base": asked.base, "head": asked.head}
    with tempfile.TemporaryDirectory() as home:
        report = compare(Path(home), commits, asked.runs, asked.images)
    print(json.dumps({**commits, "work": report, "machine": machine("cpu")}, indent=2))


if __name__ == "__main__":
    main()
