"""How good a network is on the dev split."""

from collections.abc import Callable, Sequence
from itertools import cycle, islice

import torch
from torch import Tensor

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import caption_features, in_batches
from vidcaption.evaluation.metrics import cider
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options import SearchOptions
from vidcaption.training.clips import pad, target
from vidcaption.training.losses import cross_entropy

CAPTIONS = 5


@torch.inference_mode()
def judge(
    network: CaptionNetwork,
    vocabulary: Vocabulary,
    samples: Sequence[Sample],
    clip: Callable[[int], Tensor],
    machine: Machine,
    *,
    with_cider: bool,
) -> tuple[float, float | None]:
    """Mean cross entropy of the references' words and, if asked for, CIDEr x 100.

    ``clip``: of a sample's index, (T, 3, S, S) uint8 pixels or (T, R, C) features.
    """
    network.eval()
    encoded = [_references(sample, vocabulary) for sample in samples]
    total, words, said = 0.0, 0, {}
    for indices, clips in in_batches(clip, len(samples), 32, machine):
        known = pad([encoded[i] for i in indices]).to(machine.device)
        with machine.autocast():
            features = network.encode(clips) if clips.dtype == torch.uint8 else clips.float()
            term = cross_entropy(network, features, known)
            if with_cider:
                captions = caption_features(network, vocabulary, features, SearchOptions())
                said.update({str(i): c.text for i, c in zip(indices, captions, strict=True)})
        total, words = total + term.total.item(), words + term.words
    references = {str(i): sample.captions for i, sample in enumerate(samples)}
    return total / words, cider(said, references) if with_cider else None


def _references(sample: Sample, vocabulary: Vocabulary) -> list[list[int]]:
    """The same number of captions for each sample, so that they make a batch."""
    words = [target(vocabulary, text) for text in sample.captions[:CAPTIONS]]
    return list(islice(cycle(words), CAPTIONS))
