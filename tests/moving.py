"""Clips in which everything moves one way, which no single frame tells.

A disc with a random texture moves across the picture, or comes nearer, or goes away. Where it is in
a frame, and how large, is as random for one label as for another.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from clips import every, write_clip
from numpy.typing import NDArray

from vidcaption.datasets.jsonl import read_jsonl
from vidcaption.datasets.samples import Sample

LABELS = ("left", "right", "in", "out")
SIDE, WORLD = 64, 256  # pixels of a frame, and of a texture
STEP_S, COUNT = 0.1, 10  # between frames, and their number
RADIUS = 14  # pixels of the disc
SCALE = 2.0  # by which it grows or shrinks over a clip
SHIFT = 2.0  # pixels by which it moves from frame to frame


def texture(rng: np.random.Generator, grain: float = 2.0) -> NDArray[np.uint8]:
    """(WORLD, WORLD, 3) grey."""
    noise = rng.normal(size=(WORLD, WORLD)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    smooth = np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.repeat(smooth[..., None], 3, -1)


def window(world: NDArray[np.uint8], x: float, y: float, side: float) -> NDArray[np.uint8]:
    """What a frame shows of a texture: a square with this centre."""
    scale = side / SIDE
    shown = np.array([[scale, 0, x - side / 2], [0, scale, y - side / 2]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(world, shown, (SIDE, SIDE), flags=flags), np.uint8)


def frames(label: str, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """The COUNT frames of a clip: a bright, textured disc before black."""
    world = texture(rng)
    rows, columns = (each - WORLD / 2 for each in np.ogrid[:WORLD, :WORLD])
    world = np.where((rows**2 + columns**2 < RADIUS**2)[..., None], 100 + world // 2, 0)
    world = world.astype(np.uint8)
    ways = SHIFT * (np.arange(COUNT) - (COUNT - 1) / 2)
    sides = SIDE * SCALE ** np.linspace(-0.5, 0.5, COUNT)
    y = rng.uniform(-8, 8)
    if label in ("in", "out"):  # what comes nearer is seen through a window that shrinks
        x, zoomed = rng.choice(ways), sides[::-1] if label == "in" else sides
        return [window(world, *_centre(x, y, side), side) for side in zoomed]
    side, moved = rng.choice(sides), ways if label == "right" else ways[::-1]
    return [window(world, *_centre(x, y, side), side) for x in moved]


def _centre(x: float, y: float, side: float) -> tuple[float, float]:
    """Of the window that shows the middle of a texture this many pixels beside its own."""
    return WORLD / 2 - x * side / SIDE, WORLD / 2 - y * side / SIDE


def write_moving(folder: Path, samples: int, seed: int = 0) -> list[Sample]:
    """Videos with their label and a caption that says it, a fifth of them for dev."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(samples):
        label, name = LABELS[i % len(LABELS)], f"{i}.mp4"
        options = {"crf": "18", "preset": "ultrafast"}
        pictures = frames(label, rng)
        write_clip(
            folder / name, every(STEP_S, COUNT), pictures, size=(SIDE, SIDE), options=options
        )
        split = "dev" if i % 20 < len(LABELS) else "train"
        caption = f"everything moves {label}"
        rows.append(
            {"id": str(i), "video": name, "split": split, "label": label, "captions": [caption]}
        )
    path = folder / "moving.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return read_jsonl(path)
