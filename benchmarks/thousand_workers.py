"""A simulation of up to 1,000 workers that fail, with the real planner and ledger: prints JSON.

    python benchmarks/thousand_workers.py --folder /dev/shm > result.json

Time is simulated: each worker captions a video in as long as it lasts, divided by ``--speed``, and
fails at random, once in ``--hours-between-failures``; another one takes its place after
``--minutes-to-replace``, and the video in hand is started again. Once, halfway, the driver dies,
and the same command plans everything afresh. What is real is every claim, lease, ledger row and
output in ``--folder``: each worker has its own ``Runner`` and ``Books``, as its process would, and
``planner_ms_per_video`` is the processor time they take. There are ``--videos`` for each worker, so
on straight lines the hours and those milliseconds stay the same for any number of workers.

``lost`` counts videos without an output, ``torn`` outputs with other bytes, ``done_twice`` videos
that were captioned again after they had been written.
"""

import argparse
import heapq
import json
import random
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speed import machine

from vidcaption.batch import Books, Job, Runner
from vidcaption.batch.runner import Turn
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.types import ModelInfo, Segment, VideoInfo

PER_FOLDER = 100
LENGTHS_S = (60.0, 300.0, 900.0, 3600.0)
MODEL = "0" * 64
OPTIONS = CaptionOptions()


@dataclass(slots=True)
class Worker:
    runner: Runner
    turn: Turn | None = None
    began_s: float = 0.0
    life: int = 0  # events of an earlier one are void


def new_worker() -> Worker:
    return Worker(Runner(lambda: (), Books(MODEL, OPTIONS)))


def captions_of(job: Job) -> Captions:
    number = int(job.path.stem)
    segments = tuple(
        Segment(4.0 * n, 4.0 * n + 4, f"a dog runs on beach {number}", -1.0) for n in range(15)
    )
    info = VideoInfo(str(job.path), "h264", 1280, 720, 0, 60.0, 25.0, 1500)
    return Captions(info, ModelInfo("default", MODEL), OPTIONS, segments)


def make(folder: Path, count: int, per_folder: int) -> list[Job]:
    jobs = []
    for number in range(count):
        place = folder / f"{number // per_folder:05}"
        place.mkdir(exist_ok=True)
        path = place / f"{number}.mp4"
        path.touch()
        jobs.append(Job(path, place, {"srt": path.with_suffix(".srt")}))
    return jobs


class Fleet:
    """``count`` workers on ``jobs``."""

    def __init__(self, jobs: list[Job], count: int, asked: argparse.Namespace, seed: int) -> None:
        self._chance = random.Random(seed)
        self._asked, self._jobs = asked, jobs
        self._lengths = {job.path: self._chance.choice(LENGTHS_S) for job in jobs}
        self._left = deque(jobs)
        self._workers = [new_worker() for _ in range(count)]
        self._events: list[tuple[float, int, str, int]] = []
        self.written: Counter[Path] = Counter()
        self.failures = 0
        self.wasted_s = self.planner_s = self.now_s = 0.0

    def run(self) -> None:
        for number in range(len(self._workers)):
            self._start(number)
        half = len(self._jobs) // 2
        while not self.through:
            self.now_s, number, kind, life = heapq.heappop(self._events)
            worker = self._workers[number]
            if life != worker.life:
                continue
            if kind == "start":
                self._start(number)
            elif kind == "fail":
                self._fail(number)
            else:
                self._finish(number)
                if self.written.total() == half:
                    half = -1
                    self._driver_dies()

    def _start(self, number: int) -> None:
        """A new worker in this place, which fails some time."""
        worker = self._workers[number]
        lives_s = self._chance.expovariate(1 / (3600 * self._asked.hours_between_failures))
        self._at(lives_s, number, "fail", worker.life)
        self._next(number)

    def _next(self, number: int) -> None:
        worker = self._workers[number]
        while self._left:
            job = self._left.popleft()
            began = time.process_time()
            turn = worker.runner.claim(job)
            self.planner_s += time.process_time() - began
            if isinstance(turn, Turn):
                worker.turn, worker.began_s = turn, self.now_s
                self._at(self._lengths[job.path] / self._asked.speed, number, "done", worker.life)
                return

    def _finish(self, number: int) -> None:
        worker = self._workers[number]
        turn = worker.turn
        assert turn is not None
        captions = captions_of(turn.job)
        began = time.process_time()
        with turn.lease:
            worker.runner.write(turn, captions, [])
        self.planner_s += time.process_time() - began
        self.written[turn.job.path] += 1
        worker.turn = None
        self._next(number)

    def _fail(self, number: int) -> None:
        worker = self._workers[number]
        self.failures += 1
        self._give_up(worker)
        self._workers[number] = replace(new_worker(), life=worker.life + 1)
        wait_s = 60 * self._asked.minutes_to_replace
        self._at(wait_s, number, "start", worker.life + 1)

    def _driver_dies(self) -> None:
        """All workers end with it, and the same command starts others."""
        for number, worker in enumerate(self._workers):
            self._give_up(worker)
            self._workers[number] = replace(new_worker(), life=worker.life + 1)
        books, began = Books(MODEL, OPTIONS), time.process_time()
        self._left = deque(job for job in self._jobs if books.plan(job).needed)
        self.planner_s += time.process_time() - began
        for number, worker in enumerate(self._workers):
            self._at(60 * self._asked.minutes_to_replace, number, "start", worker.life)

    def _give_up(self, worker: Worker) -> None:
        if worker.turn is not None:
            worker.turn.lease.close()  # as the kernel does
            self._left.appendleft(worker.turn.job)
            self.wasted_s += self.now_s - worker.began_s

    def _at(self, later_s: float, number: int, kind: str, life: int) -> None:
        heapq.heappush(self._events, (self.now_s + later_s, number, kind, life))

    @property
    def through(self) -> bool:
        return self.written.total() == len(self._jobs)

    @property
    def video_s(self) -> float:
        return sum(self._lengths.values())


def simulate(count: int, per_folder: int, asked: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=asked.folder) as home:
        jobs = make(Path(home), count * asked.videos, per_folder)
        fleet = Fleet(jobs, count, asked, seed=count)
        fleet.run()
        torn = lost = 0
        for job in jobs:
            path = job.targets["srt"]
            lost += not path.exists()
            torn += path.exists() and path.read_text() != captions_of(job).to_srt()
    ideal_s = fleet.video_s / asked.speed / count
    return {
        "workers": count,
        "videos": len(jobs),
        "hours_of_video": round(fleet.video_s / 3600, 1),
        "hours": round(fleet.now_s / 3600, 2),
        "efficiency": round(ideal_s / fleet.now_s, 3),
        "failures": fleet.failures,
        "wasted": round(fleet.wasted_s / (fleet.wasted_s + fleet.video_s / asked.speed), 4),
        "planner_ms_per_video": round(1000 * fleet.planner_s / len(jobs), 2),
        "lost": lost,
        "torn": torn,
        "done_twice": sum(times - 1 for times in fleet.written.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--videos", type=int, default=20, help="for each worker")
    parser.add_argument("--folder", type=Path, help="for the outputs")
    parser.add_argument("--speed", type=float, default=20.0, help="times real time of a worker")
    parser.add_argument("--hours-between-failures", type=float, default=1.0)
    parser.add_argument("--minutes-to-replace", type=float, default=2.0)
    asked = parser.parse_args()
    runs = [simulate(count, PER_FOLDER, asked) for count in asked.workers]
    flat = simulate(max(asked.workers), sys.maxsize, asked)
    facts = {
        name: value for name, value in vars(asked).items() if name not in ("workers", "folder")
    }
    report = {**facts, "per_folder": PER_FOLDER, "runs": runs, "one_folder": flat}
    print(json.dumps({**report, "machine": machine("cpu")}, indent=2))


if __name__ == "__main__":
    main()
