"""How well samples are found by their sentences, and sentences by their samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import Said
from vidcaption.evaluation.statistics import Array, Figure, Weighted, mean, ratio
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary

CUTOFFS = (1, 5, 10)
_AT_ONCE = 256  # captions, and samples

Similar = NDArray[np.floating]
Owners = NDArray[np.int64]


@torch.inference_mode()
def compare(
    network: CaptionNetwork,
    name: str,
    windows: Tensor,
    samples: Sequence[Sample],
    vocabulary: Vocabulary,
) -> tuple[Similar, Owners]:
    """How similar N windows are to all captions of some samples, (M, N), and the index of the
    sample that each caption is of, (M,).

    ``name``: of a head that compares; ``windows``: (N, ...) as it gives them.
    """
    head: Any = network.heads[name]
    texts = [text for sample in samples for text in sample.captions]
    windows = windows.to(head.window.weight)
    rows = []
    for start in range(0, len(texts), _AT_ONCE):
        ids = [vocabulary.encode(text) for text in texts[start : start + _AT_ONCE]]
        read = network.read_sentences(ids, name)
        parts = [head.similar(part, read) for part in windows.split(_AT_ONCE)]
        rows.append(torch.cat(parts).T.float().cpu())
    owners = np.repeat(np.arange(len(samples)), [len(sample.captions) for sample in samples])
    return torch.cat(rows).numpy(), owners


def closest_captions(
    samples: Sequence[Sample], similar: Similar, texts: Sequence[str]
) -> dict[str, Said]:
    """The most similar of some captions for each sample, by its id, with the similarity as its
    score. ``similar``: (M, N), of the ``texts`` and the samples."""
    return {
        sample.id: Said(texts[int(column.argmax())], float(column.max()))
        for sample, column in zip(samples, similar.T, strict=True)
    }


def ranks_of_samples(similar: Similar, owners: Owners) -> Owners:
    """The rank of its own sample for each of M sentences, from 1: (M,).

    ``similar``: (M, N), how similar sentences and samples are; ``owners``: (M,), the sample that
    each sentence is of. Equal similarity counts against it.
    """
    own = similar[np.arange(len(owners)), owners]
    ranks: Owners = (similar >= own[:, None]).sum(1)
    return ranks


def ranks_of_sentences(similar: Similar, owners: Owners) -> Owners:
    """The rank of the first of its own sentences for each of N samples, from 1: (N,).

    Each sample has at least one; for the arguments see ``ranks_of_samples``.
    """
    own = owners[:, None] == np.arange(similar.shape[1])  # (M, N)
    best = np.where(own, similar, -np.inf).max(0)
    ranks: Owners = 1 + ((similar >= best) & ~own).sum(0)
    return ranks


def retrieval_figures(similar: Similar, owners: Owners) -> dict[str, Figure | Weighted]:
    """Image search and image annotation, as Hodosh et al. 2013 call both directions.

    - search_R@K: x 100, the share of sentences whose sample is among the K most similar of all
      samples; search_median_rank: of their samples.
    - annotation_R@K: x 100, the share of samples with one of their sentences among the K most
      similar of all sentences; annotation_median_rank: of the first of theirs.
    - mean_recall: the mean of the six shares.

    For the arguments see ``ranks_of_samples``. Resamples are of samples with their sentences, all
    of which stay to be found.
    """
    samples = similar.shape[1]
    found = ranks_of_samples(similar, owners)
    said = ranks_of_sentences(similar, owners)
    counts = np.bincount(owners, minlength=samples)
    recalls: dict[str, Figure] = {}
    for most in CUTOFFS:
        hits = np.bincount(owners, found <= most, minlength=samples)
        recalls[f"search_R@{most}"] = ratio(100 * hits, counts)
    recalls |= {f"annotation_R@{most}": mean(100.0 * (said <= most)) for most in CUTOFFS}
    figures: dict[str, Figure | Weighted] = dict(recalls)
    figures["mean_recall"] = _mean_of(list(recalls.values()))
    figures["search_median_rank"] = _median(found, owners, samples)
    figures["annotation_median_rank"] = _median(said, np.arange(samples), samples)
    return figures


def _mean_of(figures: Sequence[Figure]) -> Figure:
    def value(sums: Array) -> Array:
        parts = np.split(sums, len(figures), -1)
        total: Array = np.mean([f.value(x) for f, x in zip(figures, parts, strict=True)], 0)
        return total

    return Figure(np.concatenate([figure.rows for figure in figures], -1), value)


def _median(ranks: Owners, owners: Owners, count: int) -> Weighted:
    """The lower median of ranks, which count as often as the samples that own them."""
    order = np.argsort(ranks, kind="stable")
    ordered, owned = ranks[order].astype(float), owners[order]

    def of(weights: Array) -> Array:
        sums = weights[..., owned].cumsum(-1)
        half = (sums >= sums[..., -1:] / 2).argmax(-1)
        median: Array = ordered[half]
        return median

    return Weighted(count, of)
