"""Captioned images and videos, and the frames that stand for them."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidcaption.errors import InputError, UsageError
from vidcaption.types import Flow, SceneGraph
from vidcaption.video.reader import VideoReader
from vidcaption.video.windows import centres

Clip = NDArray[np.uint8]

# What each head of a network is to say of a sample: the field, and its name for people.
TARGETS = {
    "caption": ("captions", "caption"),
    "classes": ("label", "label"),
    "score": ("score", "score"),
    "joint": ("captions", "caption"),
    "alignment": ("captions", "caption"),
    "regions": ("graph", "region"),
}


@dataclass(frozen=True)
class Sample:
    """One item with what is to be said of it: either stills in time order, or a video file or a
    part of one.

    ``label``: the class that it shows; ``score``: a number to be predicted; ``graph``: the regions
    of a picture, in shares of its size, each with a text, a label or both. ``start_s`` and
    ``end_s``: the part of the video that the captions describe, in seconds of its timestamps, a
    single frame if they are equal; without ``end_s`` it extends to the video's end. ``dataset``:
    what it is scored with, where there are several.
    """

    id: str
    captions: tuple[str, ...]
    split: str | None
    stills: tuple[Path, ...] = ()
    video: Path | None = None
    start_s: float = 0.0
    end_s: float | None = None
    label: str | None = None
    score: float | None = None
    graph: SceneGraph | None = None
    dataset: str = ""

    def has(self, head: str) -> bool:
        """Whether it has what this head is to say."""
        return getattr(self, TARGETS[head][0]) not in (None, ())

    @property
    def has_target(self) -> bool:
        """Whether a model can learn something from it by itself."""
        return any(map(self.has, TARGETS))

    def references(self, head: str) -> tuple[str, ...]:
        """What people say of it, as this head says it."""
        field = TARGETS[head][0]
        if field == "captions":
            return self.captions
        if self.graph and field == "graph":
            return tuple(region.text or region.label for region in self.graph.regions)
        return (str(getattr(self, field)),) if self.has(head) else ()


def with_splits(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples unchanged if any has a split; otherwise those with a target become 80%
    ``train`` and 20% ``dev``, at random."""
    if any(sample.split for sample in samples):
        return list(samples)
    order = [i for i, sample in enumerate(samples) if sample.has_target]
    random.Random(seed).shuffle(order)
    dev = order[: max(1, round(0.2 * len(order)))]
    split = dict.fromkeys(order, "train") | dict.fromkeys(dev, "dev")
    return [replace(sample, split=split.get(i)) for i, sample in enumerate(samples)]


def of_split(
    samples: Sequence[Sample], split: str | None, dataset: Path, head: str = "caption"
) -> tuple[list[Sample], str]:
    """The samples by which to score a head, and their name: a split, or ``all``.

    Without ``split``: ``test``, or all samples if none of them has a split. Raises UsageError if
    there are none, listing the splits of ``dataset``.
    """
    useful = [sample for sample in samples if sample.has(head)]
    there = sorted({sample.split for sample in useful if sample.split})
    what = TARGETS[head][1]
    if not useful:
        hint = "; choose the field with --label-field" if head == "classes" else ""
        raise UsageError(f"{dataset} has no {what}s to score against{hint}")
    if split is None and not there:
        return useful, "all"
    split = split or "test"
    chosen = [sample for sample in useful if sample.split == split]
    if not chosen:
        one = "one of " if len(there) > 1 else ""
        raise UsageError(
            f"{dataset} has no sample with a {what} in the split {split!r}; "
            + (f"choose {one}{', '.join(there)} with --split" if there else "omit --split")
        )
    return chosen, split


def load_frames(
    sample: Sample, most: int, size: int | None = None, flow: Flow | None = None
) -> list[Clip]:
    """At most ``most`` frames of a sample, evenly spread over it: (H, W, 3) uint8 RGB each, or more
    channels with their optical flow. Stills are at rest for tracks, of several steps.

    They are those that ``run`` reads, resized to ``size`` x ``size`` pixels if given. Raises
    InputError.
    """
    if sample.video is not None:
        return _read(sample.video, sample.start_s, sample.end_s, most, size, flow)
    if flow and flow.steps == 1:
        raise InputError(
            f"{sample.stills[0]} is a still, which has no optical flow; leave out --input flow, or "
            "the samples that are no videos"
        )
    picks = centres(0, len(sample.stills), min(most, len(sample.stills)))
    stills = [sample.stills[int(pick)] for pick in picks]
    return [frame for still in stills for frame in _read(still, 0, None, 1, size, flow)]


def _read(
    path: Path,
    start_s: float,
    end_s: float | None,
    most: int,
    size: int | None,
    flow: Flow | None = None,
) -> list[Clip]:
    with VideoReader(path, (size, size) if size else None, flow=flow) as reader:
        start_s = max(start_s, reader.start_s)
        # A still image has no duration: any time shows its one frame.
        duration_s = reader.info.duration_s or start_s
        until_s = min(duration_s, math.inf if end_s is None else end_s)
        times_s = centres(start_s, until_s, most) if until_s > start_s else (start_s,)
        frames = [frame.image for frame in reader.frames(times_s)]
    if not frames:
        raise InputError(
            f"{path} ends at {reader.end_s:.1f} s, but its captions begin at {times_s[0]:.1f} s"
        )
    return frames
