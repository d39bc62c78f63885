"""Captions of a dataset's samples, in batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vidcaption.datasets.samples import Clip, Sample, load_frames
from vidcaption.model.concepts import Concepts
from vidcaption.model.device import Machine
from vidcaption.model.features import resized
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import Voice
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.types import Flow, SceneGraph


class Said(NamedTuple):
    """A caption, its score (the mean log-probability of its words) and its confidence, None if
    the model gives none; ``vector``: the sample's, packed, by a model with the head joint;
    ``graph``: its regions, by a model with the head regions alone."""

    text: str
    score: float
    confidence: float | None = None
    vector: bytes = b""
    graph: SceneGraph | None = None


def load_clip(sample: Sample, frames: int, size: int, flow: Flow | None = None) -> Tensor:
    """(T, 3, S, S) uint8: up to ``frames`` frames of a sample; more channels with their
    optical flow. Raises InputError."""
    return to_clip(load_frames(sample, frames, size, flow))


def to_clip(stills: Sequence[Clip]) -> Tensor:
    """(T, C, H, W) uint8, of T pictures (H, W, C)."""
    return torch.stack([torch.from_numpy(still) for still in stills]).permute(0, 3, 1, 2)


def in_batches(
    load: Callable[[int], Tensor], indices: Iterable[int], size: int, machine: Machine
) -> Iterator[tuple[list[int], Tensor]]:
    """Indices and stacked tensors of at most ``size`` samples of the same shape."""
    waiting: dict[torch.Size, list[tuple[int, Tensor]]] = {}
    for index in indices:
        tensor = load(index)
        group = waiting.setdefault(tensor.shape, [])
        group.append((index, tensor))
        if len(group) == size:
            yield _stack(waiting.pop(tensor.shape), machine)
    for group in waiting.values():
        yield _stack(group, machine)


def _stack(group: Sequence[tuple[int, Tensor]], machine: Machine) -> tuple[list[int], Tensor]:
    indices, tensors = zip(*group, strict=True)
    return list(indices), torch.stack(tensors).to(machine.device)


@torch.inference_mode()
def caption_features(
    network: CaptionNetwork,
    vocabulary: Vocabulary,
    features: Tensor,
    options: SearchOptions,
    concepts: Concepts | None = None,
    others: Sequence[Voice] = (),
) -> list[Said]:
    """One caption per clip. ``features``: (B, T, R, C); ``concepts``, ``others``: see
    ``CaptionNetwork.caption``."""
    return [
        Said(
            caption.text or " ".join(vocabulary.decode(caption.ids)),
            *(caption.score, caption.confidence, caption.vector, caption.graph),
        )
        for caption in network.caption(features, options, concepts, others)
    ]


@torch.inference_mode()
def caption_samples(
    network: CaptionNetwork,
    vocabulary: Vocabulary,
    samples: Sequence[Sample],
    frames: int,
    options: SearchOptions,
    machine: Machine,
    advance: Callable[[int], object] = lambda count: None,
    others: Sequence[tuple[CaptionNetwork, float]] = (),
) -> Mapping[str, Said]:
    """The caption of each sample, by its id and in their order. Raises InputError.

    ``advance`` is called with the number of samples of each batch. ``others``: networks that write
    with this one, with the weights of their words.
    """
    said = {}
    known = _encoded(network, samples, frames, machine, others)
    for indices, batch, features, concepts in known:
        with machine.autocast():
            voices = [_voice(other, batch, weight) for other, weight in others]
            captions = caption_features(network, vocabulary, features, options, concepts, voices)
        said.update({samples[i].id: each for i, each in zip(indices, captions, strict=True)})
        advance(len(indices))
    return {sample.id: said[sample.id] for sample in samples}


def _voice(network: CaptionNetwork, clips: Tensor, weight: float) -> Voice:
    """``clips``: (B, T, C, S, S), of any size."""
    frames = resized(clips.flatten(0, 1), network.config.input.image_size)
    clips = frames.unflatten(0, clips.shape[:2])
    return network.voice(network.encode(clips), network.detect(clips), weight)


@torch.inference_mode()
def head_of_samples(
    network: CaptionNetwork,
    samples: Sequence[Sample],
    frames: int,
    machine: Machine,
    advance: Callable[[int], object] = lambda count: None,
    others: Sequence[tuple[CaptionNetwork, float]] = (),
) -> Tensor:
    """What the head of N samples gives that ``run`` writes, other than captions: (N, ...), on the
    CPU. ``advance``, ``others``: as above. Raises InputError."""
    said = dict[int, Tensor]()
    for indices, batch, features, _ in _encoded(network, samples, frames, machine, others):
        with machine.autocast():
            voices = [_voice(other, batch, weight) for other, weight in others]
            given = network.head.mixed(network.remember(features), voices)
        said.update(zip(indices, given.float().cpu(), strict=True))
        advance(len(indices))
    return torch.stack([said[i] for i in range(len(samples))])


def _encoded(
    network: CaptionNetwork,
    samples: Sequence[Sample],
    frames: int,
    machine: Machine,
    others: Sequence[tuple[CaptionNetwork, float]],
) -> Iterator[tuple[list[int], Tensor, Tensor, Concepts | None]]:
    """Indices, clips (B, T, C, S, S) that all networks can read, features (B, T, R, C) and concepts
    of some samples at a time."""
    size, every = network.config.input.image_size, range(len(samples))
    networks = (network, *(other for other, _ in others))
    flow = max(filter(None, (each.config.input.flow for each in networks)), default=None)
    for indices, batch in in_batches(
        lambda i: load_clip(samples[i], frames, size, flow), every, 16, machine
    ):
        with machine.autocast():
            features = network.encode(batch)
            concepts = network.recognise(features, network.detect(batch))
        yield indices, batch, features, concepts
