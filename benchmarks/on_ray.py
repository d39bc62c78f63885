"""How much longer a batch takes with Ray on one machine than without: prints JSON.

    python benchmarks/on_ray.py --clips 200 --runs 3 > result.json

The clips are those of ``short_clips.py``. They are captioned in turns by the executor of one
process and by a local Ray, each in a process of its own, in fp32. ``start``: seconds until a model
is loaded, of Ray's too; ``work``: from then until all files are written. ``ratio``: of the medians
of the work. ``different`` counts the files that differ. ``memory_mib``: of all of Ray's workers
together, medians over the first and the last quarter of the work of the first run.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from short_clips import make
from speed import machine

from vidcaption.batch import Batch, Executor, Watcher
from vidcaption.batch.runner import in_process
from vidcaption.options.batch import BatchOptions, RayOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import OutputOptions
from vidcaption.scale import Cluster
from vidcaption.store import resolve

WAYS = ("one process", "Ray")
KINDS = ("start", "work", "stop")


def workers_mib() -> float:
    """Resident memory of all processes of Ray's workers."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (folder / "cmdline").read_bytes().startswith(b"ray::"):
                found = re.search(r"VmRSS:\s+(\d+) kB", (folder / "status").read_text())
                total += int(found[1]) if found else 0
    return total / 1024


@contextmanager
def sampled() -> Iterator[list[float]]:
    """The memory of Ray's workers, twice a second inside the context."""
    samples, done = list[float](), threading.Event()

    def sample() -> None:
        while not done.wait(0.5):
            samples.append(workers_mib())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def once(way: str, clips: Path, out: Path, model: Path | None) -> dict[str, float]:
    """Caption the clips in this process."""
    options, began = BatchOptions(), time.monotonic()
    with ExitStack() as closing:
        execute: Executor = in_process
        if way == "Ray":
            execute = closing.enter_context(Cluster(RayOptions(ray=True), options))
        output = OutputOptions(srt=True, out_dir=out)
        batch = closing.enter_context(Batch([str(clips)], output, options))
        batch.plan(resolve(model), CaptionOptions())
        work = batch.start(MachineOptions(precision="fp32"), Watcher(), print, None, execute)
        ready = time.monotonic()
        with sampled() as samples:
            work()
        done = time.monotonic()
    stopped = time.monotonic()
    quarter = max(1, len(samples) // 4)
    first, last = (statistics.median(x or [0.0]) for x in (samples[:quarter], samples[-quarter:]))
    times = {"start": ready - began, "work": done - ready, "stop": stopped - done}
    return times | {"first": first, "last": last}


def compare(asked: argparse.Namespace, home: Path) -> dict[str, Any]:
    make(home / "clips", asked.clips)
    took: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(asked.runs):
        for way in WAYS:
            command = [sys.executable, __file__, "--once", way, str(home / "clips")]
            command += [str(home / f"{way} {number}")]
            command += ["--model", str(asked.model)] if asked.model else []
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            took[way].append(json.loads(result.stdout))
    medians = {
        way: {kind: round(statistics.median(run[kind] for run in runs), 2) for kind in KINDS}
        for way, runs in took.items()
    }
    memory = {kind: round(took["Ray"][0][kind]) for kind in ("first", "last")}
    here, there = (
        {path.name: path.read_bytes() for path in (home / f"{way} 0").glob("*.srt")} for way in WAYS
    )
    return {
        "clips": asked.clips,
        "runs": asked.runs,
        "seconds": medians,
        "ratio": round(medians["Ray"]["work"] / medians["one process"]["work"], 2),
        "memory_mib": memory,
        "written": len(there),
        "different": sum(there.get(name) != text for name, text in here.items()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--once", nargs=3, metavar=("WAY", "CLIPS", "OUT"))
    asked = parser.parse_args()
    if asked.once:
        way, clips, out = asked.once
        print(json.dumps(once(way, Path(clips), Path(out), asked.model)))
        return
    with tempfile.TemporaryDirectory() as home:
        report = compare(asked, Path(home))
    load = os.getloadavg()[1]
    print(json.dumps({**report, "load": round(load, 1), "machine": machine("cpu")}, indent=2))


if __name__ == "__main__":
    main()
