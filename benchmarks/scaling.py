"""What the cost of captioning grows with, and what working side by side gives: prints JSON.

    python benchmarks/scaling.py --plot scaling.png > result.json

Costs: films (see film.py) of several heights, codecs and lengths are captioned by ``vidcaption
run``, in turns; ``seconds`` are medians, ``peak_mib`` is the most memory of the main process. Side
by side: a folder of short clips by one worker, by two, and by two shards at once with a thread
each, in turns; ``ratio`` is to one worker. ``--plot`` draws the costs.
"""

import argparse
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from film import SETTINGS, write_film
from speed import machine

RUN = [sys.executable, "-m", "vidcaption", "run", "-q", "--force", "--srt"]
HEIGHTS = (360, 720, 1080, 2160)
FILM_S, HEIGHT = 20, 720  # where neither is what is varied
CLIP_S, CLIP_HEIGHT = 4, 360  # the height also where minutes are varied


class Taken(NamedTuple):
    """What the runs of one command took."""

    seconds: list[float]
    mib: list[float]


def run(*arguments: str | Path) -> float:
    """The MiB that were resident at most, of the main process."""
    process = subprocess.Popen([*RUN, *map(str, arguments)])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shlex.join(process.args)} failed")
    return used.ru_maxrss / 1024


def run_shards(folder: Path) -> float:
    commands = [[*RUN, str(folder), "--threads", "1", "--shard", f"{n}/2"] for n in (1, 2)]
    processes = [subprocess.Popen(command) for command in commands]
    if any([process.wait() for process in processes]):
        raise SystemExit("a shard failed")
    return math.nan


def in_turns(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, Taken]:
    taken = {name: Taken([], []) for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            taken[name].mib.append(work())
            taken[name].seconds.append(time.perf_counter() - began)
    return taken


def size_of(height: int) -> tuple[int, int]:
    return height * 16 // 9, height


def films(home: Path, minutes: list[float]) -> dict[str, dict[str, tuple[Path, float]]]:
    """By what is varied and how: a film and its minutes."""
    # A process starts with the memory of the one that starts it as its peak: this one stays small.
    studio = ProcessPoolExecutor(1, get_context("spawn"))

    def film(name: str, seconds: float, height: int, codec: str) -> tuple[Path, float]:
        path = home / f"{name}.mkv"
        made = studio.submit(write_film, path, round(seconds), 250, size_of(height), codec)
        return made.result(), seconds / 60

    with studio:
        return {
            "height": {str(h): film(f"height{h}", FILM_S, h, "libx264") for h in HEIGHTS},
            "codec": {c: film(c, FILM_S, HEIGHT, c) for c in SETTINGS},
            "minutes": {
                f"{m:g}": film(f"minutes{m:g}", 60 * m, CLIP_HEIGHT, "libx264") for m in minutes
            },
        }


def costs(home: Path, minutes: list[float], rounds: int) -> dict[str, Any]:
    """Seconds, whole and per minute of video; starting takes the same of each."""
    report: dict[str, Any] = {}
    for varied, by_value in films(home, minutes).items():
        works = {value: (lambda path=path: run(path)) for value, (path, _) in by_value.items()}
        report[varied] = {
            value: {
                "seconds": round(seconds := statistics.median(taken.seconds), 2),
                "seconds_per_minute": round(seconds / by_value[value][1], 2),
                "peak_mib": round(max(taken.mib)),
            }
            for value, taken in in_turns(works, rounds).items()
        }
    return report


def side_by_side(home: Path, clips: int, rounds: int) -> dict[str, Any]:
    folder = home / "clips"
    folder.mkdir()
    clip = write_film(folder / "0.mkv", CLIP_S, 250, size_of(CLIP_HEIGHT))
    for number in range(1, clips):
        (folder / f"{number}.mkv").write_bytes(clip.read_bytes())
    taken = in_turns(
        {
            "one worker": lambda: run(folder, "--workers", "1"),
            "two workers": lambda: run(folder, "--workers", "2"),
            "two shards": lambda: run_shards(folder),
        },
        rounds,
    )
    medians = {name: statistics.median(each.seconds) for name, each in taken.items()}
    one = medians["one worker"]
    rows = {
        name: {"seconds": round(s, 2), "ratio": round(s / one, 2)} for name, s in medians.items()
    }
    return {"clips": clips, "clip_s": CLIP_S, "runs": rows}


def plot(report: dict[str, Any], path: Path) -> None:
    """What is linear in something stands over it."""
    from matplotlib.figure import Figure

    def series(varied: str, key: str) -> list[float]:
        return [row[key] for row in report[varied].values()]

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    by_size, by_codec, by_length = figure.subplots(1, 3)
    pixels = [size_of(int(height))[0] * int(height) / 1e6 for height in report["height"]]
    by_size.plot(pixels, series("height", "seconds_per_minute"), "o-")
    by_size.set(xlabel="million pixels in a frame", ylabel="seconds per minute of video")
    by_codec.bar(list(report["codec"]), series("codec", "seconds_per_minute"))
    by_codec.set(xlabel="codec", ylabel="seconds per minute of video")
    by_length.plot([float(n) for n in report["minutes"]], series("minutes", "seconds"), "o-")
    by_length.set(xlabel="minutes of video", ylabel="seconds")
    for axes in (by_size, by_codec, by_length):
        axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 15, 60])
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        report = {
            "costs": costs(Path(home), asked.minutes, asked.rounds),
            "side_by_side": side_by_side(Path(home), asked.clips, asked.rounds),
            "rounds": asked.rounds,
            "machine": machine("cpu"),
        }
    if asked.plot:
        plot(report["costs"], asked.plot)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
