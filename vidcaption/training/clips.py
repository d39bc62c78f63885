"""Samples to batches: the clips, captions and frames of each step, reproducible by seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from vidcaption.datasets.samples import Sample, load_frames
from vidcaption.errors import InputError
from vidcaption.evaluation.captioning import load_clip
from vidcaption.model.vocabulary import BOS, EOS, PAD, Vocabulary
from vidcaption.training.features import FeatureCache
from vidcaption.training.motion import Motion, draw_clip, move_features
from vidcaption.types import Flow
from vidcaption.video.windows import centres

MOST_WORDS = 18
MOST_STILLS = 8


class Draw(NamedTuple):
    """One sample in one epoch; with the seed it determines everything random about its clip."""

    epoch: int
    sample: int
    frames: int


class Batch(NamedTuple):
    """``clips``: (B, T, 3, S, S) uint8 pixels or (B, T, R, C) features; ``words``: (B, K, L) ids
    that start with ``<bos>``, padded at the end; ``samples``: the rows of the B samples."""

    clips: Tensor
    words: Tensor
    samples: list[int]


Item = tuple[Tensor, list[list[int]], int] | InputError
Look = Callable[[int], Tensor]  # of a row of the material: a clip as it is, to be judged


class ClipSource(Protocol):
    """Clips of the samples of a material, by row: pixels or features."""

    def __call__(self, row: int, frames: int, rng: np.random.Generator) -> Tensor:
        """One to learn from, moved at random."""

    def look(self, row: int) -> Tensor:
        """What is judged: the frames of a window, evenly spread."""


@dataclass(frozen=True)
class PixelClips:
    """Clips (T, C, S, S) uint8, decoded each time. ``most``: the frames to look at first;
    ``judged``: those of a window; ``flow``: add the optical flow; ``moves``: whether a simulated
    camera moves."""

    samples: Sequence[Sample]
    size: int
    most: int
    judged: int
    flow: Flow | None = None
    moves: bool = True

    def __call__(self, row: int, frames: int, rng: np.random.Generator) -> Tensor:
        if not self.moves:
            return drawn(
                load_clip(self.samples[row], MOST_STILLS, self.size, self.flow), frames, rng
            )
        stills = load_frames(self.samples[row], MOST_STILLS)
        return torch.from_numpy(draw_clip(stills, frames, self.size, rng)).permute(0, 3, 1, 2)

    def look(self, row: int) -> Tensor:
        return evenly(load_clip(self.samples[row], self.most, self.size, self.flow), self.judged)


@dataclass(frozen=True)
class FeatureClips:
    """Clips (T, R, C) of cached features, moved on their grid if ``moves``. ``places``: of rows
    there; ``judged``: frames of a window."""

    cache: FeatureCache
    places: Mapping[int, int]
    judged: int
    moves: bool = True

    def __call__(self, row: int, frames: int, rng: np.random.Generator) -> Tensor:
        features = drawn(self.cache[self.places[row]], frames, rng)
        return move_features(features, Motion.draw(frames, rng)) if self.moves else features.float()

    def look(self, row: int) -> Tensor:
        return evenly(self.cache[self.places[row]], self.judged)


def drawn(clip: Tensor, frames: int, rng: np.random.Generator) -> Tensor:
    """This many frames of a clip (T, ...), drawn in time order; some repeatedly if it has fewer."""
    return clip[np.sort(rng.choice(len(clip), frames, replace=len(clip) < frames))]


def evenly(frames: Tensor, most: int) -> Tensor:
    """At most this many of the frames (T, ...), evenly spread."""
    return frames[[int(pick) for pick in centres(0, len(frames), min(most, len(frames)))]]


def target(vocabulary: Vocabulary, text: str) -> list[int]:
    """The target ids: the words and ``<eos>``, except for a truncated text."""
    words = [*vocabulary.encode(text), EOS]
    return words[:MOST_WORDS]


class ClipDataset(Dataset[Item]):
    """A clip and some of its captions for each draw, or the error of the sample."""

    def __init__(
        self,
        samples: Sequence[Sample],
        rows: Sequence[int],
        source: ClipSource,
        vocabulary: Vocabulary,
        captions: int,
        seed: int,
    ) -> None:
        """``rows``: which of ``samples`` are drawn."""
        self._source, self._rows = source, rows
        # pictures without captions get an empty one
        self._words = [[target(vocabulary, x) for x in samples[i].captions] or [[]] for i in rows]
        self._captions = captions
        self._seed = seed

    def __getitem__(self, draw: Draw) -> Item:
        rng = np.random.default_rng((self._seed, draw.epoch, draw.sample))
        words = self._words[draw.sample]
        picks = rng.choice(len(words), self._captions, replace=len(words) < self._captions)
        try:
            clip = self._source(self._rows[draw.sample], draw.frames, rng)
        except InputError as error:  # raising it in a worker process would lose its message
            return error
        return clip, [words[i] for i in picks], self._rows[draw.sample]


class BatchSampler(Sampler[list[Draw]]):
    """Batches of an epoch in random order, each with its own number of frames: 1, 2, 4...

    Yields the part of each batch for process ``rank`` of ``world``.
    """

    def __init__(
        self, samples: int, batch: int, most_frames: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self._samples, self._batch, self._seed = samples, batch, seed
        self._rank, self._world = rank, world
        self._frames = [2**i for i in range(most_frames.bit_length()) if 2**i <= most_frames]
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self._samples // self._batch)

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng((self._seed, self.epoch))
        order = rng.permutation(self._samples)
        for i in range(0, self._samples, self._batch):
            frames = int(rng.choice(self._frames))
            batch = order[i : i + self._batch]
            own = batch[self._rank :: self._world]
            # no process may be idle while the others reduce gradients
            picks = own if len(own) else batch[:1]
            yield [Draw(self.epoch, int(index), frames) for index in picks]


def collate(items: list[Item]) -> Batch | InputError:
    """Stack clips; prepend ``<bos>`` to captions, and pad them to the longest."""
    read = []
    for item in items:
        if isinstance(item, InputError):
            return item
        read.append(item)
    clips, captions, samples = zip(*read, strict=True)
    return Batch(torch.stack(clips), pad(captions), list(samples))


def pad(captions: Sequence[Sequence[list[int]]]) -> Tensor:
    """(B, K, L) ids of K captions of each of B samples, after ``<bos>`` and before padding."""
    longest = max(len(words) for several in captions for words in several)
    rows = [[[BOS, *w] + [PAD] * (longest - len(w)) for w in several] for several in captions]
    return torch.tensor(rows)
