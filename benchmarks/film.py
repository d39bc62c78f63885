"""Makes a film to measure with: shots of moving cameras over textured pictures, with moving shapes.

    python benchmarks/film.py film.mp4 --seconds 60 --gop 250

The encoder's settings are x264's defaults, as in most files that people have: B-frames, some of
them references, and a key frame at least every ``gop`` frames. Of a film longer than three minutes
the first three are encoded once and repeated: windows equal to a recent one cost nothing.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 25
SHOT_S = 6.0
ENCODED_S = 180
SHAPES = 150
SETTINGS = {  # beside the encoders' defaults: no chatter, and no more patience than it takes
    "libx264": {},
    "libx265": {"x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12"},
}
GRAINS = 8  # different fields of noise, of which each frame gets one

Picture = NDArray[np.uint8]
Scene = Callable[[float, tuple[int, int]], Iterator[Picture]]


def texture(chance: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Smooth random colours with detail of every size, as in photographs."""
    total = np.zeros((size[1], size[0], 3), np.float32)
    for octave in range(2, 9):
        cells = chance.random((3 * 2**octave // 4, 2**octave, 3), np.float32)
        total += cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC) / 1.3**octave
    low, high = np.percentile(total, (1, 99))
    return np.clip((total - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def pictures(
    seconds: float, size: tuple[int, int], seed: int = 0, shots_s: Iterable[float] = repeat(SHOT_S)
) -> Iterator[Picture]:
    """(H, W, 3) uint8 RGB, ``FPS`` a second, in shots of these lengths."""
    chance = np.random.default_rng(seed)
    width, height = size
    coarse = chance.normal(0, 1, (GRAINS, height // 2, width // 2)).astype(np.float32)
    grain = [cv2.merge([cv2.resize(field, size).astype(np.int16)] * 3) for field in coarse]
    lengths = (round(shot_s * FPS) for shot_s in shots_s)
    begun = ends = 0
    for number in range(round(seconds * FPS)):
        if number == ends:
            begun, ends = number, number + next(lengths)
            backdrop = texture(chance, (2 * width, 2 * height))
            way = chance.uniform(-2.5, 2.5, 2)  # pixels a frame
            zoom = chance.uniform(-1e-3, 1e-3)
            places = chance.uniform(0, 1, (SHAPES, 2)) * size
            speeds = chance.uniform(-6, 6, (SHAPES, 2))
            radii = chance.integers(4, 60, SHAPES).tolist()
            colours = chance.integers(0, 255, (SHAPES, 3)).tolist()
        at = number - begun
        corner = np.array(size) / 2 + way * at + 6 * np.sin(at * np.array([0.31, 0.23]))
        scale = 1 + zoom * at
        move = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(backdrop, move, size, flags=how, borderMode=cv2.BORDER_REFLECT)
        for place, radius, colour in zip(places + speeds * at, radii, colours, strict=True):
            cv2.circle(frame, place.astype(int).tolist(), radius, colour, -1, cv2.LINE_AA)
        yield cv2.add(frame, grain[number % GRAINS], None, None, cv2.CV_8U)


@contextmanager
def own_priority() -> Iterator[None]:
    """Keep this thread's priority: run by root, SVT-AV1 gives it that of real time, above all."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


def write_film(
    path: Path,
    seconds: int,
    gop: int,
    size: tuple[int, int] = (1280, 720),
    codec: str = "libx264",
    scene: Scene = pictures,
) -> Path:
    """Encode a film; ``size`` is (width, height), ``codec`` an encoder of ``SETTINGS``."""
    once = min(seconds, ENCODED_S)
    with own_priority(), av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options={"g": str(gop)} | SETTINGS[codec])
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.thread_type = "FRAME"  # as FFmpeg's command does: one slice per picture
        packets = []
        for picture in scene(once, size):
            packets += stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24"))
        packets += stream.encode(None)
        for start_s in range(0, seconds, once):
            late = start_s * FPS
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.stream, again.time_base = stream, 1 / stream.codec_context.framerate
                again.pts, again.dts = packet.pts + late, packet.dts + late
                again.is_keyframe = packet.is_keyframe
                container.mux(again)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seconds", type=int, default=360)
    parser.add_argument("--gop", type=int, default=250)
    asked = parser.parse_args()
    write_film(asked.path, asked.seconds, asked.gop)


if __name__ == "__main__":
    main()
