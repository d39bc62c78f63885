"""Captioned images and videos, and the frames that stand for them.

A dataset is a JSON-lines file. Each row has ``id``, ``captions`` (a list of sentences), one of
``image``, ``frames`` (stills of one video, in time order) or ``video``, and may have ``split``;
paths are relative to the file.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcaption.errors import InputError, UsageError
from vidcaption.video.reader import VideoReader
from vidcaption.video.windows import centres

Clip = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One captioned item: either stills in time order, or a video file."""

    id: str
    captions: tuple[str, ...]
    split: str | None
    stills: tuple[Path, ...] = ()
    video: Path | None = None


def read_jsonl(path: Path) -> list[Sample]:
    """The rows of a dataset. Raises UsageError that names file and line."""
    samples, seen = [], set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the dataset {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            sample = _parse(json.loads(line), path.parent)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path}, line {number}: {error}") from error
        if sample.id in seen:
            raise UsageError(f"{path}, line {number}: id {sample.id!r} stands twice")
        seen.add(sample.id)
        samples.append(sample)
    if not samples:
        raise UsageError(f"{path} holds no rows")
    return samples


def _parse(row: Any, folder: Path) -> Sample:
    """Raises ValueError that says what is wrong with ``row``."""
    if not isinstance(row, dict):
        raise ValueError("a row must be a JSON object")
    kinds = [kind for kind in ("image", "frames", "video") if kind in row]
    if len(kinds) != 1:
        raise ValueError(f"a row needs exactly one of image, frames, video; got {kinds or 'none'}")
    if not isinstance(row.get("id"), str):
        raise ValueError("a row needs an id, a string")
    captions, split = row.get("captions"), row.get("split")
    if not isinstance(captions, list) or not all(
        isinstance(c, str) and c.strip() for c in captions
    ):
        raise ValueError("captions must be a list of sentences")
    if split is not None and not isinstance(split, str):
        raise ValueError("split must be a string")
    source = row[kinds[0]]
    paths = source if kinds[0] == "frames" else [source]
    if not isinstance(paths, list) or not paths or not all(isinstance(p, str) and p for p in paths):
        raise ValueError(
            f"{kinds[0]} must be {'a list of paths' if kinds[0] == 'frames' else 'a path'}"
        )
    files = tuple(folder / p for p in paths)
    if kinds[0] == "video":
        return Sample(row["id"], tuple(captions), split, video=files[0])
    return Sample(row["id"], tuple(captions), split, stills=files)


def with_splits(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples as they are if any has a split; else 80% ``train`` and 20% ``dev``, by chance."""
    if any(sample.split for sample in samples):
        return list(samples)
    order = list(range(len(samples)))
    random.Random(seed).shuffle(order)
    dev = set(order[: max(1, round(0.2 * len(samples)))])
    return [replace(s, split="dev" if i in dev else "train") for i, s in enumerate(samples)]


def load_frames(sample: Sample, most: int, size: int | None = None) -> list[Clip]:
    """At most ``most`` frames of a sample, evenly spread over it: (H, W, 3) uint8 RGB each.

    Squashed to ``size`` x ``size`` pixels if given. Raises InputError.
    """
    if sample.video is not None:
        with VideoReader(sample.video, (size, size) if size else None) as reader:
            duration_s = reader.info.duration_s
            times_s = centres(0, duration_s, most) if duration_s else (0.0,)
            frames = [frame.image for frame in reader.frames(times_s)]
        if not frames:
            raise InputError(f"{sample.video} has no frame that can be decoded")
        return frames
    picks = centres(0, len(sample.stills), min(most, len(sample.stills)))
    return [_read_still(sample.stills[int(pick)], size) for pick in picks]


def _read_still(path: Path, size: int | None) -> Clip:
    try:
        # not cv2.imread: it cannot open some paths on Windows, and writes its errors to stderr
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if len(encoded) else None
    if image is None:
        raise InputError(f"{path} is not an image that OpenCV can decode")
    picture = np.asarray(image, np.uint8)
    return resize(picture, size) if size else picture


def resize(image: Clip, size: int) -> Clip:
    """Squash to ``size`` x ``size``."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), np.uint8)
