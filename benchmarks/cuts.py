"""What it costs to split windows at cuts, and how well cuts are found: prints JSON.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/cuts.py --seconds 180 --runs 5 > result.json

The cost: ``film.py``'s film, with a cut every 6 s, and one with shots of 2 to 10 s, captioned with
fixed windows and with windows that are split, in turns. ``ratio`` is how many times as long the
latter takes, as median over the runs; one run goes before and is not counted. The processor's time
includes that of the processes that read.

How well: a film of shots of 1 to 9 s, from cameras that stand, move, shake and pan, with flashes
and single broken frames, which are no cuts, nor are dissolves and fades. Hard cuts are. It is
encoded in several ways: left to itself x264 begins a group of pictures at most cuts, with groups of
a fixed length it does not. A cut counts if it is found to the frame. Beside that, PySceneDetect's
AdaptiveDetector, which sees every frame.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from film import FPS, Picture, own_priority, pictures, texture, write_film
from long_video import processor_s
from speed import machine

from vidcaption import Captioner
from vidcaption.model.manifest import read_config
from vidcaption.options.captioning import CaptionOptions
from vidcaption.store import resolve
from vidcaption.video.cuts import CutFinder
from vidcaption.video.reader import VideoReader
from vidcaption.video.scenes import mark_cuts
from vidcaption.video.windows import fixed_windows

SIZE = 640, 360  # of the film in which cuts are looked for
SIDE = 224  # the built-in model's
FRAMES = {"dissolve": 12, "black": 10}  # that a soft change takes
NO_SCENES = "scenecut=0:keyint=50:min-keyint=50:log-level=none"
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "libx264, as it is": ("libx264", {}),
    "libx264, fixed groups": ("libx264", {"x264-params": NO_SCENES}),
    "libx265, fixed groups": ("libx265", {"x265-params": NO_SCENES}),
    "libvpx-vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "libsvtav1": ("libsvtav1", {"preset": "12"}),
    "mjpeg": ("mjpeg", {}),
}
SEGMENTS: tuple[Literal["fixed", "auto"], ...] = "fixed", "auto"


def shot(chance: np.random.Generator, kind: str, frames: int) -> Iterator[Picture]:
    """A camera before a picture; with grain, which no encoder can predict."""
    width, height = SIZE
    backdrop = texture(chance, (2 * width, 2 * height))
    # As different as pictures are: of little or much contrast, dark or bright, of a tint.
    low, high = sorted(chance.uniform(0, 255, 2))
    tint = chance.uniform(0.6, 1, 3)
    backdrop = ((low + backdrop * max(60, high - low) / 255) * tint).clip(0, 255).astype(np.uint8)
    way = chance.uniform(-3, 3, 2) * (kind != "still")
    if kind == "pan":
        way = np.array([chance.choice([-1, 1]) * chance.uniform(8, 20), 0])
    shake = chance.uniform(1, 3) if kind == "shake" else 0
    for number in range(frames):
        at = np.array(SIZE) / 2 + way * (number - frames / 2) + shake * chance.normal(size=2)
        move = np.array([[1, 0, at[0]], [0, 1, at[1]]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        picture = cv2.warpAffine(backdrop, move, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT)
        if kind == "flash" and 0 <= number - frames // 2 < 2:
            picture = cv2.addWeighted(picture, 0.3, np.full_like(picture, 255), 0.7, 0)
        if kind == "broken frame" and number == frames // 2:
            picture = np.roll(picture[::-1], width // 3, 1)
        grain = chance.integers(-4, 5, (height // 2, width // 2), dtype=np.int16)
        noise = cv2.resize(grain, SIZE, interpolation=cv2.INTER_NEAREST)[:, :, None]
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)


def shots(seconds: float, seed: int = 0) -> Iterator[tuple[Picture, bool, str]]:
    """(picture, whether it follows a hard cut, kind of the shot that begins with it)."""
    chance = np.random.default_rng(seed)
    held: list[Picture] = []  # the end of the last shot, where it changes softly
    change, number = "", 0
    while number < seconds * FPS:
        kind = str(
            chance.choice(["still", "move", "move", "shake", "pan", "flash", "broken frame"])
        )
        length = int(chance.integers(FPS, 9 * FPS))
        follows = str(chance.choice(["cut", "cut", "cut", "dissolve", "black"]))
        keep = FRAMES.get(follows, 0)
        ends: list[Picture] = []
        for at, picture in enumerate(shot(chance, kind, length)):
            if at < len(held) and change == "dissolve":
                share = (at + 1) / (len(held) + 1)
                picture = cv2.addWeighted(held[at], 1 - share, picture, share, 0)
            elif at < len(held) and change == "black":
                picture = (picture * (at / len(held))).astype(np.uint8)
            if at >= length - keep:
                ends.append(picture)
                if follows == "dissolve":
                    continue
                picture = (picture * (1 - len(ends) / keep)).astype(np.uint8)
            yield picture, at == 0 and change == "cut", "" if at else kind
            number += 1
        held, change = ends, follows


def write_films(folder: Path, seconds: float) -> tuple[dict[str, Path], list[int], dict[str, int]]:
    """The film by each encoder, the frames that follow cuts, and its shots by kind."""
    paths = {name: folder / f"{number}.mkv" for number, name in enumerate(ENCODERS)}
    cuts: list[int] = []
    kinds: dict[str, int] = {}
    with own_priority(), ExitStack() as stack:
        outputs = []
        for name, (codec, options) in ENCODERS.items():
            container = stack.enter_context(av.open(str(paths[name]), "w"))
            stream = container.add_stream(codec, rate=FPS, options=options)
            stream.width, stream.height = SIZE
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            outputs.append((container, stream))
        for number, (picture, is_cut, begins) in enumerate(shots(seconds)):
            if is_cut:
                cuts.append(number)
            if begins:
                kinds[begins] = kinds.get(begins, 0) + 1
            for container, stream in outputs:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        for container, stream in outputs:
            container.mux(stream.encode(None))
    return paths, cuts, kinds


def by_auto(path: Path) -> Iterator[float]:
    """The times of the cuts that are found while default windows are sampled."""
    options = CaptionOptions().of_model(read_config(resolve(None)).frames)
    finder = CutFinder(options)
    with VideoReader(path, (SIDE, SIDE)) as reader:
        for _ in fixed_windows(reader, options, finder):
            pass
        finder.end()
    yield from (cut.time_s for cut in finder.found)


def by_every_frame(path: Path) -> Iterator[float]:
    with VideoReader(path, (SIDE, SIDE)) as reader:
        for frame, is_cut in mark_cuts(reader.frames(), CaptionOptions().scene_threshold):
            if is_cut:
                yield frame.pts_s


def scored(found_s: Iterable[float], cuts: list[int]) -> dict[str, float]:
    found = {round(time_s * FPS) for time_s in found_s}
    right = len(found & set(cuts))
    return {
        "found": len(found),
        "precision": round(right / max(1, len(found)), 3),
        "recall": round(right / max(1, len(cuts)), 3),
    }


def timed(captioner: Captioner, video: Path, segment: Literal["fixed", "auto"]) -> dict[str, float]:
    wall, processor = time.perf_counter(), processor_s()
    with captioner.open(video, CaptionOptions(segment=segment, merge=False)) as captioning:
        segments = sum(1 for _ in captioning)
    return {
        "wall": time.perf_counter() - wall,
        "processor": processor_s() - processor,
        "segments": segments,
    }


def lengths_s() -> Iterator[float]:
    """As long as the other film's shots in the mean."""
    chance = np.random.default_rng(0)
    while True:
        yield float(chance.uniform(2, 10))


def cost(captioner: Captioner, video: Path, runs: int) -> dict[str, Any]:
    times = [
        {segment: timed(captioner, video, segment) for segment in SEGMENTS} for _ in range(runs + 1)
    ][1:]
    report: dict[str, Any] = {}
    for segment in SEGMENTS:
        rows = [run[segment] for run in times]
        report[segment] = {
            name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]
        }
    report["ratio"] = {
        clock: round(
            statistics.median(run["auto"][clock] / run["fixed"][clock] for run in times), 3
        )
        for clock in ("wall", "processor")
    }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--size", default="1280x720", help="of the film whose captioning is timed")
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    av.logging.set_level(None)
    width, height = map(int, asked.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        captioner = Captioner.from_pretrained()
        report: dict[str, Any] = {"seconds": asked.seconds, "size": asked.size, "runs": asked.runs}
        report |= {"precision": captioner.machine.precision, "cost": {}}
        films = {"6": pictures, "2 to 10": partial(pictures, shots_s=lengths_s())}
        for shots, scene in films.items():
            film = Path(folder) / "film.mp4"
            write_film(film, asked.seconds, 250, (width, height), scene=scene)
            report["cost"][shots] = cost(captioner, film, asked.runs)
        paths, cuts, kinds = write_films(Path(folder), asked.seconds)
        report |= {"cuts": len(cuts), "kinds": kinds, "encoders": {}}
        for name, path in paths.items():
            report["encoders"][name] = {
                "auto": scored(by_auto(path), cuts),
                "every frame": scored(by_every_frame(path), cuts),
            }
        print(json.dumps(report | {"machine": machine("cpu")}, indent=2))


if __name__ == "__main__":
    main()
