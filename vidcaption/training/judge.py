"""Evaluation of the heads of a network on the dev split."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import caption_features, in_batches
from vidcaption.evaluation.metrics import cider
from vidcaption.evaluation.retrieval import compare, retrieval_figures
from vidcaption.evaluation.statistics import pearson, ranks
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.training.clips import pad, target
from vidcaption.training.distributed import World
from vidcaption.training.losses import classification, cross_entropy
from vidcaption.training.material import Material

CAPTIONS = 5
BATCH = 32


@torch.inference_mode()
def judge_captions(
    network: CaptionNetwork,
    vocabulary: Vocabulary,
    samples: Sequence[Sample],
    look: Callable[[int], Tensor],
    machine: Machine,
    world: World,
    *,
    with_cider: bool,
) -> dict[str, float]:
    """``loss``, the mean cross entropy of the references' words, and if requested ``cider``, x 100:
    the mean over datasets, each scored by itself.

    All processes of ``world`` call this together: each takes a part of the samples, and all get
    the same result. ``look``: of a sample's index, (T, 3, S, S) uint8 pixels or (T, R, C) features.
    """
    network.eval()
    total, words, said = 0.0, 0, {}
    part = range(world.rank, len(samples), world.size)
    for indices, clips in in_batches(look, part, BATCH, machine):
        known = pad([_references(samples[i], vocabulary) for i in indices]).to(machine.device)
        with machine.autocast():
            features = network.encode(clips) if clips.dtype == torch.uint8 else clips.float()
            term = cross_entropy(network.decoder, network.remember(features), known)
            if with_cider:
                captions = caption_features(network, vocabulary, features, SearchOptions())
                said.update({str(i): c.text for i, c in zip(indices, captions, strict=True)})
        total, words = total + term.total.item(), words + term.words
    totals, counts, parts = zip(*world.gather((total, words, said)), strict=True)
    metrics = {"loss": sum(totals) / sum(counts)}
    if with_cider and world.first:
        texts = {key: text for each in parts for key, text in each.items()}
        metrics["cider"] = mean_cider(texts, samples)
    return world.take(metrics)


def mean_cider(texts: Mapping[str, str], samples: Sequence[Sample]) -> float:
    """``texts``: by the sample's index."""
    datasets: dict[str, dict[str, Sequence[str]]] = defaultdict(dict)
    for i, sample in enumerate(samples):
        datasets[sample.dataset][str(i)] = sample.captions
    return fmean(cider({i: texts[i] for i in each}, each) for each in datasets.values())


@torch.inference_mode()
def judge_concepts(
    network: CaptionNetwork, material: Material, look: Callable[[int], Tensor], machine: Machine
) -> dict[str, float]:
    """``concept_loss``, the mean cross entropy of the concepts of the samples held out."""
    assert network.classifier is not None
    network.eval()
    total = 0.0
    for indices, clips in in_batches(look, material.held_out, BATCH, machine):
        with machine.autocast():
            features = network.encode(clips) if clips.dtype == torch.uint8 else clips
        targets = material.targets[indices].to(features.device)
        known = torch.ones_like(targets)
        total += classification(network, features.float(), targets, known).total.item()
    return {"concept_loss": total / max(1, len(material.held_out))}


@torch.inference_mode()
def ask_head(
    name: str,
    network: CaptionNetwork,
    rows: Sequence[int],
    look: Callable[[int], Tensor],
    machine: Machine,
    world: World,
) -> Tensor:
    """What a head beside captions gives for each of N rows: (N, ...), on the CPU.

    All processes of ``world`` call this together: each takes a part of the rows, and all get the
    same result. ``look``: of a row, (T, 3, S, S) uint8 pixels or (T, R, C) features.
    """
    network.eval()
    head, said = network.heads[name], dict[int, Tensor]()
    for indices, clips in in_batches(look, rows[world.rank :: world.size], BATCH, machine):
        with machine.autocast():
            features = network.encode(clips) if clips.dtype == torch.uint8 else clips.float()
            said.update(zip(indices, head(network.remember(features)).cpu(), strict=True))
    every = {row: out for part in world.gather(said) for row, out in part.items()}
    return torch.stack([every[row] for row in rows])


def judge_labels(log_probs: Tensor, labels: Tensor) -> dict[str, float]:
    """``loss``, the mean cross entropy of known labels, and ``accuracy``, x 100.

    ``log_probs``: (N, K); ``labels``: (N,), -1 for one that the model does not know, which counts
    as wrong.
    """
    known = labels >= 0
    loss = F.nll_loss(log_probs[known], labels[known]) if known.any() else log_probs.new_zeros(())
    right = (log_probs.argmax(1) == labels).float().mean()
    return {"loss": loss.item(), "accuracy": 100 * right.item()}


def judge_scores(said: Tensor, scores: Tensor) -> dict[str, float]:
    """``loss``, the mean squared error, and ``spearman``, x 100; 0 where either is constant."""
    correlation = float(pearson(ranks(said.numpy()), ranks(scores.numpy())))
    spearman = 100 * correlation if math.isfinite(correlation) else 0.0
    return {"loss": F.mse_loss(said, scores).item(), "spearman": spearman}


def judge_matches(
    network: CaptionNetwork,
    name: str,
    windows: Tensor,
    samples: Sequence[Sample],
    vocabulary: Vocabulary,
    loss: Callable[[Tensor], Tensor],
) -> dict[str, float]:
    """``loss``, of the first caption of each sample among those of all, and ``mean_recall``, see
    ``retrieval_figures``.

    ``name``: of the head; ``windows``: (N, ...), the samples as it gives them; ``loss``: from how
    similar N windows and sentences are, (N, N).
    """
    network.eval()
    similar, owners = compare(network, name, windows, samples, vocabulary)
    first = torch.from_numpy(similar[np.unique(owners, return_index=True)[1]])
    recall = retrieval_figures(similar, owners)["mean_recall"]
    return {"loss": loss(first.T).item() / len(samples), "mean_recall": float(recall)}


def _references(sample: Sample, vocabulary: Vocabulary) -> list[list[int]]:
    """The same number of captions for each sample, to form a batch."""
    words = [target(vocabulary, text) for text in sample.captions[:CAPTIONS]]
    return list(islice(cycle(words), CAPTIONS))
