"""What is lost, torn or done twice when a long batch is killed again and again: prints JSON.

    python benchmarks/soak.py --clips 500 --kills 8 > result.json

Makes a folder of clips of a second each, a tenth of them broken (cut off, empty, text, or without a
frame), and runs ``vidcaption run FOLDER -r --srt`` on it. Each run is killed (SIGKILL) when as many
outputs are there as was drawn by chance; then one goes on to the end, and one more must do nothing.
The outputs are compared by content and by time of change after each run. Memory is what is resident
of the run that lasted longest, as medians over each quarter of the time from its first output on:
of the process that captions, and of those together that read for it.
The exit code is 1 if anything is not as it must be. Linux only.
"""

import argparse
import itertools
import json
import math
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import srt

from vidcaption.batch import read_manifest

KINDS = ("cut off", "empty", "text", "no frame")  # of broken clips
MUST_BE_NONE = ("lost", "done_twice", "torn", "broken_not_told_of")
SIDE, FPS, SAMPLE_S = 64, 8, 0.1


def write_clip(path: Path, chance: random.Random, frames: int = FPS) -> None:
    """A second of coloured noise that drifts to the right."""
    picture = np.random.default_rng(chance.getrandbits(32)).integers(0, 256, (8, 8, 3), np.uint8)
    picture = np.kron(picture, np.ones((SIDE // 8, SIDE // 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = SIDE, SIDE, "yuv420p", 1
        container.start_encoding()  # the header is written even if no frame follows
        for number in range(frames):
            moved = np.ascontiguousarray(np.roll(picture, 4 * number, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, "rgb24")))
        container.mux(stream.encode(None))


def damage(path: Path, kind: str, chance: random.Random) -> None:
    if kind == "no frame":
        write_clip(path, chance, frames=0)
    else:
        data = path.read_bytes()
        path.write_bytes({"cut off": data[: len(data) // 2], "empty": b"", "text": b"no\n"}[kind])


def make(folder: Path, clips: int, chance: random.Random) -> tuple[set[Path], set[Path]]:
    """Good and broken clips, in folders of fifty."""
    kinds: dict[bool, set[Path]] = {True: set(), False: set()}
    for number in range(clips):
        path = folder / f"{number // 50:03}" / f"{number:05}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, chance)
        if broken := number % 10 == 9:
            damage(path, KINDS[number // 10 % len(KINDS)], chance)
        kinds[not broken].add(path)
    return kinds[True], kinds[False]


@dataclass
class Run:
    """One process, and its children.

    ``samples``: resident memory in MiB of the one and of the others, from its first output on.
    """

    code: int
    seconds: float
    written: int
    samples: list[tuple[float, float]]


def outputs(folder: Path) -> list[Path]:
    return list(folder.rglob("*.srt"))


def resident_mib(pid: int | str) -> float:
    """Nothing when the process has ended."""
    try:
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(match[1]) / 1024 if match else 0.0


def children_mib(pid: int) -> float:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    return sum(map(resident_mib, children))


def run(folder: Path, manifest: Path, kill_at: float) -> Run:
    """Run over the folder; kill it when it has ``kill_at`` outputs."""
    command = [sys.executable, "-m", "vidcaption", "run", str(folder), "-r", "--srt", "-q"]
    command += ["--manifest", str(manifest)]
    before = len(outputs(folder))
    began, killed = time.monotonic(), False
    samples: list[tuple[float, float]] = []
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            count = len(outputs(folder))
            if count >= kill_at and not killed:
                process.kill()
                killed = True
            elif count > before and (memory := resident_mib(process.pid)):
                samples.append((memory, children_mib(process.pid)))
            time.sleep(SAMPLE_S)
    written = len(outputs(folder)) - before
    return Run(process.returncode, time.monotonic() - began, written, samples)


def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Content and time of change of each output."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outputs(folder)}


def whole(path: Path) -> bool:
    try:
        cues = list(srt.parse(path.read_text(encoding="utf-8")))
    except (srt.SRTParseError, UnicodeDecodeError):
        return False
    return bool(cues) and all(cue.content.strip() for cue in cues)


def over_time(samples: Sequence[float]) -> dict[str, Any]:
    """The highest, and the median of each quarter of the samples that has some."""
    ends = [len(samples) * part // 4 for part in range(5)]
    parts = [samples[start:end] for start, end in itertools.pairwise(ends)]
    medians = [round(statistics.median(part), 1) for part in parts if part]
    return {"peak": round(max(samples, default=0.0), 1), "quarters": medians}


def soak(home: Path, clips: int, kills: int, chance: random.Random) -> dict[str, Any]:
    folder = home / "clips"
    good, broken = make(folder, clips, chance)
    limits = sorted(chance.sample(range(1, len(good)), kills))
    runs: list[Run] = []
    states: list[dict[Path, tuple[bytes, int]]] = []
    torn: set[Path] = set()
    for kill_at in (*limits, math.inf, math.inf):
        manifest = home / f"{len(runs)}.jsonl"
        runs.append(run(folder, manifest, kill_at))
        states.append(state(folder))
        torn |= {path for path in states[-1] if not whole(path)}
    twice = {
        path
        for before, after in itertools.pairwise(states)
        for path in before
        if before[path] != after.get(path)
    }
    rows = read_manifest(manifest)  # of the run that must do nothing
    longest = max(runs, key=lambda each: len(each.samples))
    captioning, reading = zip(*longest.samples, strict=True)
    work_s = sum(each.seconds for each in runs[:-1])
    return {
        "inputs": clips,
        "good": len(good),
        "broken": len(broken),
        "lost": len(good - {path.with_suffix(".mp4") for path in states[-1]}),
        "done_twice": len(twice),
        "torn": len(torn),
        "broken_not_told_of": len(broken - {row.path for row in rows if row.status == "failed"}),
        "last_run": dict(Counter(row.status for row in rows)),
        "temporary_files_left": len(list(folder.rglob(".vidcaption-*"))),
        "kills": sum(each.code == -signal.SIGKILL for each in runs),
        "exit_codes": [each.code for each in runs],
        "outputs_of_each_run": [each.written for each in runs],
        "seconds": round(work_s, 1),
        "files_per_second": round(clips / work_s, 2),
        "memory_mib": {
            "of_outputs": longest.written,
            **over_time(captioning),
            "readers": over_time(reading),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        report = soak(Path(home), asked.clips, asked.kills, random.Random(asked.seed))
    machine = {"cores": os.cpu_count(), "system": platform.platform()}
    print(json.dumps(report | {"machine": machine}, indent=2))
    expected = [int(report["broken"] > 0)] * 2
    sys.exit(report["exit_codes"][-2:] != expected or any(report[name] for name in MUST_BE_NONE))


if __name__ == "__main__":
    main()
