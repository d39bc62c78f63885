"""Simulated camera motion over stills, so that the temporal LSTM sees sequences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidcaption.datasets.samples import Clip
from vidcaption.video.pixels import resize

SMALLEST = 0.75


@dataclass(frozen=True)
class Motion:
    """A camera move over one picture: squares of it, in [0, 1], from first to last frame.

    ``boxes``: (T, 3) of left, top and side. ``mirror``: whether to flip left and right.
    """

    boxes: NDArray[np.float32]
    mirror: bool

    @classmethod
    def draw(cls, frames: int, rng: np.random.Generator) -> "Motion":
        """A random pan and zoom between two squares, at least ``SMALLEST`` of each side long."""
        ends = []
        for _ in range(2):
            side = rng.uniform(SMALLEST, 1.0)
            left, top = rng.uniform(0, 1 - side, 2)
            ends.append((left, top, side))
        at = np.linspace(0, 1, frames)[:, None] if frames > 1 else rng.uniform(0, 1, (1, 1))
        boxes = (1 - at) * np.array(ends[0]) + at * np.array(ends[1])
        return cls(boxes.astype(np.float32), bool(rng.random() < 0.5))


def draw_clip(stills: Sequence[Clip], frames: int, size: int, rng: np.random.Generator) -> Clip:
    """A training clip (T, S, S, 3): frames drawn in time order, under a random camera motion.

    A photograph becomes a clip that pans and zooms; a video's frames get the same small motion.
    """
    motion = Motion.draw(frames, rng)
    picks = np.sort(rng.choice(len(stills), frames, replace=len(stills) < frames))
    clip = np.empty((frames, size, size, 3), np.uint8)
    for at, (pick, (left, top, side)) in enumerate(zip(picks, motion.boxes, strict=True)):
        image = stills[pick]
        height, width = image.shape[:2]
        y, x = int(top * height), int(left * width)
        crop = image[y : y + max(1, int(side * height)), x : x + max(1, int(side * width))]
        clip[at] = resize(crop, (size, size))
    return np.ascontiguousarray(clip[:, :, ::-1]) if motion.mirror else clip


def move_features(features: Tensor, motion: Motion) -> Tensor:
    """The camera motion, applied to a frozen CNN's region vectors instead of the pixels.

    ``features``: (T, R, C) -> (T, R, C), bilinear on the region grid. Cheap, and close enough to
    the CNN's output to train the temporal LSTM.
    """
    grid = round(features.shape[1] ** 0.5)
    left, top, side = torch.from_numpy(motion.boxes).T
    theta = torch.zeros(len(features), 2, 3)
    theta[:, 0, 0] = -side if motion.mirror else side
    theta[:, 1, 1] = side
    theta[:, 0, 2] = 2 * left + side - 1
    theta[:, 1, 2] = 2 * top + side - 1
    maps = features.transpose(1, 2).unflatten(2, (grid, grid)).float()
    where = F.affine_grid(theta, list(maps.shape), align_corners=False)
    moved = F.grid_sample(maps, where, padding_mode="border", align_corners=False)
    return moved.flatten(2).transpose(1, 2)
