"""Calibrates the confidence on the captions of dev samples."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import in_batches
from vidcaption.model.confidence import Confidence
from vidcaption.model.device import Machine
from vidcaption.model.folder import Model
from vidcaption.model.vocabulary import tokenize
from vidcaption.options.captioning import SearchOptions
from vidcaption.training.concepts import function_words, stem

REFERENCES = 5  # per sample, so that captions of all datasets are judged by equally many
RIDGE = 1e-3
BATCH = 32


def rightness(caption: str, references: Sequence[str]) -> float:
    """The share of a caption's nouns, verbs and adjectives that a reference has in any form."""
    said, known = (
        {stem(word) for text in texts for word in tokenize(text) if word not in function_words()}
        for texts in ([caption], references[:REFERENCES])
    )
    return len(said & known) / len(said) if said else 0.0


@torch.no_grad()
def calibrate(
    model: Model, samples: Sequence[Sample], look: Callable[[int], Tensor], machine: Machine
) -> None:
    """Fit the confidence of a model to its captions of dev samples, if it has one.

    ``look``: of a sample's index, (T, 3, S, S) uint8 pixels. Raises InputError.
    """
    network = model.network
    if network.confidence is None:
        return
    rows, right = [], []
    for indices, clips in in_batches(look, range(len(samples)), BATCH, machine):
        with machine.autocast():
            features = network.encode(clips)
            concepts = network.recognise(features, network.detect(clips))
            captions = network.caption(features, SearchOptions(), concepts)
        rows.append(network.confidence.describe(captions))
        for index, caption in zip(indices, captions, strict=True):
            text = " ".join(model.vocabulary.decode(caption.ids))
            right.append(rightness(text, samples[index].captions))
    fit(network.confidence, torch.cat(rows), torch.tensor(right))


@torch.enable_grad()
def fit(confidence: Confidence, rows: Tensor, right: Tensor) -> None:
    """Fit by maximum likelihood. ``rows``: (B, 4) of ``describe``; ``right``: (B,) in [0, 1]."""
    mean = rows.mean(0)
    std = rows.std(0, correction=0).clamp(min=1e-3)  # of a single row, too
    scaled = (rows - mean) / std
    weight = torch.zeros(rows.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = scaled @ weight + bias
        value = F.binary_cross_entropy_with_logits(logits, right) + RIDGE * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        plain = weight / std
        confidence.weigh.weight.copy_(plain.unsqueeze(0))
        confidence.weigh.bias.copy_(bias - plain @ mean)
