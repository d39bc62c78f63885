"""What looking features up instead of computing them gives: prints JSON.

    python benchmarks/reuse.py examples/clip.mp4 --runs 5 > result.json

Beside the videos given, two films are made. ``slides``: another picture every 6 s, without noise.
``camera``: one that stands still and never gives the same pixels twice; in a third of the minute
something crosses the picture, at first of a 50th of its width and then of a tenth.

Each is captioned without any reuse (``none``) and with ``--same-within`` at several levels, which
take turns, forwards and backwards; at level 0 only equal frames are reused. ``reused``: share of
the sampled frames that did not go through the CNN. ``seconds``: medians of wall and of processor
time, decoding included. ``ratio``: to ``none``. ``captions_changed``: share of windows with another
caption than there. ``crossing_seen``: share of the camera's windows in which something crosses that
do not look as if nothing did; ``captions_of_nothing``: how many different captions the other
windows have, which show the same but for noise. ``load``: runnable processes at the end, over the
last minute.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from film import FPS, Picture, texture, write_film

from vidcaption import Captioner
from vidcaption.model.features import Look, Looks
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Frame, Segment

LEVELS = (None, 0, 8)
SLIDE_S = 6
NOISE = 6  # levels of 255, its standard deviation
CROSSINGS = ((20, 30, 50), (40, 50, 10))  # from second, to second, in widths of the picture


def slides(seconds: float, size: tuple[int, int]) -> Iterator[Picture]:
    chance = np.random.default_rng(0)
    for number in range(round(seconds * FPS)):
        if number % (SLIDE_S * FPS) == 0:
            slide = texture(chance, size)
        yield slide


def camera(seconds: float, size: tuple[int, int]) -> Iterator[Picture]:
    chance = np.random.default_rng(0)
    width, height = size
    backdrop = texture(chance, size)
    for number in range(round(seconds * FPS)):
        frame = backdrop.copy()
        for start_s, end_s, part in CROSSINGS:
            way = (number / FPS - start_s) / (end_s - start_s)
            if 0 <= way < 1:
                at, radius = (round(way * width), height // 2), width // part // 2
                cv2.circle(frame, at, radius, (200, 40, 40), -1, cv2.LINE_AA)
        noise = cv2.randn(np.empty((height, width), np.int16), 0, NOISE)
        yield cv2.add(frame, cv2.merge([noise] * 3), None, None, cv2.CV_8U)


class Unlike(bytes):
    """A picture that is equal to none but itself."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Forgetful(Looks):
    """Takes each frame for another picture."""

    def look(self, frames: Iterable[Frame]) -> Look:
        return tuple(map(Unlike, super().look(frames)))


def one_run(captioner: Captioner, video: Path, level: int | None) -> dict[str, Any]:
    options = CaptionOptions(same_within=level or 0, merge=False, segment="fixed")
    began, worked = time.perf_counter(), time.process_time()
    with captioner.open(video, options) as captioning:
        if level is None:
            captioning._looks.__class__ = Forgetful
        segments = captioning.finish().segments
    return {
        "wall": time.perf_counter() - began,
        "processor": time.process_time() - worked,
        "frames": captioning.statistics.frames,
        "encoded": captioning.statistics.encoded,
        "segments": segments,
    }


def seen_by_camera(segments: Sequence[Segment]) -> dict[str, float]:
    """Captions of the same features have the same score, to the last digit."""
    crossed = [
        any(segment.end_s > start_s and segment.start_s < end_s for start_s, end_s, _ in CROSSINGS)
        for segment in segments
    ]
    seen = [
        s.score != segments[0].score for s, there in zip(segments, crossed, strict=True) if there
    ]
    texts = {s.text for s, there in zip(segments, crossed, strict=True) if not there}
    return {"crossing_seen": round(sum(seen) / len(seen), 3), "captions_of_nothing": len(texts)}


def measured(captioner: Captioner, video: Path, runs: int) -> dict[str, Any]:
    one_run(captioner, video, LEVELS[-1])  # the first is slower
    turns: list[dict[int | None, dict[str, Any]]] = [
        {level: one_run(captioner, video, level) for level in LEVELS[:: -1 if turn % 2 else 1]}
        for turn in range(runs)
    ]
    rows = {}
    for level in LEVELS:
        first, base = turns[0][level], turns[0][None]
        changed = [
            a.text != b.text for a, b in zip(first["segments"], base["segments"], strict=True)
        ]
        seconds, ratios = {}, {}
        for part in ("wall", "processor"):
            seconds[part] = statistics.median(turn[level][part] for turn in turns)
            ratios[part] = statistics.median(turn[level][part] / turn[None][part] for turn in turns)
        name = "none" if level is None else str(level)
        rows[name] = {
            "reused": round(1 - first["encoded"] / first["frames"], 3),
            "seconds": {part: round(taken, 3) for part, taken in seconds.items()},
            "ratio": {part: round(ratio, 3) for part, ratio in ratios.items()},
            "captions_changed": round(sum(changed) / len(changed), 3),
        }
        if video.stem == "camera":
            rows[name] |= seen_by_camera(first["segments"])
    return {"frames": base["frames"], "windows": len(changed), "levels": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60, help="of the films")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360), help="of the films")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args()

    captioner = Captioner.from_pretrained(device="cpu", threads=asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        films = [
            write_film(Path(folder) / f"{scene.__name__}.mkv", asked.seconds, 250,
                       tuple(asked.size), scene=scene)
            for scene in (slides, camera)
        ]  # fmt: skip
        videos = {path.name: measured(captioner, path, asked.runs)
                  for path in (*films, *asked.videos)}  # fmt: skip
    report = {
        "runs": asked.runs,
        "threads": asked.threads,
        "precision": captioner.machine.precision,
        "load": round(os.getloadavg()[0], 1),
        "videos": videos,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "versions": {"torch": torch.__version__},
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
