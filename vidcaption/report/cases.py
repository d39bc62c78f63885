"""Samples to show: which ones, and where the model looked for each word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcaption.datasets.samples import Clip, Sample, load_frames
from vidcaption.evaluation.captioning import Said, to_clip
from vidcaption.evaluation.statistics import Array
from vidcaption.model.device import Machine
from vidcaption.model.folder import Model
from vidcaption.model.vocabulary import BOS, tokenize
from vidcaption.video.pixels import resize

SEED = 1

Attention = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Case:
    """A sample and its caption.

    ``cider``: x 100, of this caption alone, None if unknown; ``frames``: the T pictures that the
    model saw, in their own shape; ``words``: the caption's L words; ``attention``: (L, T, G, G),
    that of each word to each cell of a grid over each frame; a word's weights sum to 1; ``head``:
    which said it. Only captions have words, and none if the model looks nowhere in the frames.
    """

    sample: Sample
    said: Said
    cider: float | None
    frames: Sequence[Clip]
    words: Sequence[str]
    attention: Attention
    head: str = "caption"

    @property
    def references(self) -> Sequence[str]:
        """What people say of the sample."""
        return self.sample.references(self.head)


def choose(merits: Array, each: int) -> dict[str, list[int]]:
    """Indices of the ``each`` samples of the highest merit, of the lowest, and of some of the rest.

    None occurs twice. The best come first among the best, the worst first among the worst; the
    rest are drawn at random with a fixed seed.
    """
    order = np.argsort(-merits, kind="stable")
    best, rest = order[:each], order[each:][::-1]
    drawn = np.random.default_rng(SEED).permutation(rest[each:])[:each]
    return {"best": best.tolist(), "worst": rest[:each].tolist(), "random": drawn.tolist()}


def look(
    model: Model, sample: Sample, said: Said, cider: float | None, frames: int, machine: Machine
) -> Case:
    """A case with the pictures and the attention of an existing caption.

    One pass of the decoder over the whole caption, so that captioning need not keep the attention
    of every sample. ``frames``: at most this many, each decoded once, for the model and the
    picture. Raises InputError.
    """
    config = model.network.config
    words, size = tokenize(said.text) if config.looks else [], config.input.image_size
    pictures = load_frames(sample, frames)
    clip = to_clip([resize(picture, (size, size)) for picture in pictures])
    attention = attend(model, clip, [model.vocabulary.id_of(word) for word in words], machine)
    return Case(sample, said, cider, pictures, words, attention, config.says)


@torch.inference_mode()
def attend(model: Model, clip: Tensor, words: Sequence[int], machine: Machine) -> Attention:
    """Where the model looks for each of L words: (L, T, G, G).

    ``clip``: (T, 3, S, S) uint8; ``words``: their ids, of a model that writes captions. Nowhere for
    one that sees optical flow, which pictures do not show, or words in place of regions.
    """
    network, grid = model.network, model.network.config.input.grid
    if not words or not network.config.looks:
        return np.zeros((0, len(clip), grid, grid), np.float32)
    with machine.autocast():
        frames = clip.unsqueeze(0).to(machine.device)
        features = network.encode(frames)
        concepts = network.recognise(features, network.detect(frames))
        memory = network.remember(features, concepts)
        known = torch.tensor([[[BOS, *words]]], device=machine.device)
        step = network.decoder(known, memory, network.decoder.start(memory))
    # the last step is the end of the caption; the slots after the regions are concepts
    before = step.attention[0, 0, : len(words), : len(clip) * grid * grid].float().cpu()
    return np.asarray(before.reshape(len(words), len(clip), grid, grid))
