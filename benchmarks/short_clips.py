"""How long many short clips take, before a change and after it: prints JSON.

    python benchmarks/short_clips.py BASE --clips 300 --runs 3 --model MODEL > result.json
    taskset -c 1 python benchmarks/short_clips.py BASE --threads 1 > result.json  # one core

The clips, of 3 seconds at 320x240, are parts of ``examples/clip.mp4``, each from another time and
place in the picture. ``vidcaption run`` captions them all, in turns by the commit BASE and by this
tree, with the same Python, libraries and cores, and MODEL, which both can read (without it each
takes its own built-in model). ``per_clip_ms`` leaves out what a single clip
takes, most of which is the start. ``speedup`` is BASE to this tree, of medians; ``cpu`` is the
processor time, which a busy machine disturbs least. ``different`` counts the clips
that this tree captions otherwise in fp32 when each window goes through the network alone.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from compare import CLIP, ROOT, timed, unpack
from speed import machine

SIZE, FRAMES, FPS = (320, 240), 72, 24
# fixed windows of 4 frames: earlier commits do not split windows at cuts, of which some clips have
# one, and see as many frames
RUN = ["run", "--srt", "-q", "--force", "--segment", "fixed", "--frames", "4"]


def make(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    with av.open(str(CLIP)) as container:
        source = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chance = np.random.default_rng(0)
    height, width, _ = source[0].shape
    for number in range(count):
        start = chance.integers(len(source) - FRAMES)
        left, top = chance.integers(width - SIZE[0]), chance.integers(height - SIZE[1])
        with av.open(str(folder / f"{number:04}.mp4"), "w") as out:
            stream = out.add_stream("libx264", FPS, {"preset": "veryfast"})
            stream.width, stream.height = SIZE
            for index, image in enumerate(source[start : start + FRAMES]):
                part = image[top : top + SIZE[1], left : left + SIZE[0]]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(part), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                out.mux(stream.encode(frame))
            out.mux(stream.encode())


def captions(source: Path, folder: Path, extra: list[str]) -> dict[str, str]:
    timed(source, [*RUN, "--precision", "fp32", *extra, "clips"], folder)
    return {path.name: path.read_text() for path in (folder / "clips").glob("*.srt")}


def compare(home: Path, base: str, asked: argparse.Namespace) -> dict[str, Any]:
    sources = {"before": unpack(base, home / "base"), "after": ROOT}
    work = home / "work"
    make(work / "clips", asked.clips)
    (work / "one").mkdir()
    shutil.copy(work / "clips" / "0000.mp4", work / "one")
    extra = ["--threads", str(asked.threads)] if asked.threads else []
    extra += ["--model", str(asked.model.resolve())] if asked.model else []
    taken: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for _ in range(asked.runs):
        for name, source in sources.items():
            for folder in ("one", "clips"):
                for kind, seconds in timed(source, [*RUN, *extra, folder], work).items():
                    taken[name, folder, kind].append(seconds)
    medians = {key: statistics.median(values) for key, values in taken.items()}
    report: dict[str, Any] = {}
    for kind in ("wall", "cpu"):
        all_s = {name: medians[name, "clips", kind] for name in sources}
        each_s = {
            name: (all_s[name] - medians[name, "one", kind]) / (asked.clips - 1) for name in sources
        }
        report[kind] = {
            "seconds": {name: round(value, 2) for name, value in all_s.items()},
            "per_clip_ms": {name: round(1000 * value, 1) for name, value in each_s.items()},
            "speedup": round(all_s["before"] / all_s["after"], 2),
            "speedup_per_clip": round(each_s["before"] / each_s["after"], 2),
        }
    together, alone = (
        captions(ROOT, work, [*extra, *each]) for each in ([], ["--batch-size", "1"])
    )
    different = sum(alone[name] != together.get(name) for name in alone)
    return {**report, "different": different}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("base", help="a commit")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument("--model", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        report = compare(Path(home), asked.base, asked)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    facts = {"before": asked.base, "clips": asked.clips, "runs": asked.runs, "cores_used": cores}
    print(json.dumps({**facts, **report, "machine": machine("cpu")}, indent=2))


if __name__ == "__main__":
    main()
