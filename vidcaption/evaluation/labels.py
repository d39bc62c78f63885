"""Scores of the labels that a model gives."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcaption.evaluation.statistics import Array, Figure, Weighted, mean

TOP = 5

Indices = NDArray[np.int64]


def label_figures(truth: Indices, probabilities: Array) -> dict[str, Figure | Weighted]:
    """Figures of N samples, x 100.

    - accuracy, top_5: the share of samples whose label is the most probable, or among the five.
    - macro_precision, macro_recall, macro_f1, macro_auc: the mean over the labels that occur of the
      figures of ``label_rows``.

    ``truth``: (N,), -1 for a label that the model does not know; ``probabilities``: (N, K).
    """
    order = np.argsort(-probabilities, 1, kind="stable")
    hits = order == truth[:, None]
    figures: dict[str, Figure | Weighted] = {"accuracy": mean(100.0 * hits[:, 0])}
    if probabilities.shape[1] > TOP:
        figures["top_5"] = mean(100.0 * hits[:, :TOP].any(1))
    true = _one_hot(truth, probabilities.shape[1])
    given = _one_hot(order[:, 0], probabilities.shape[1])
    rows = np.concatenate([true * given, given, true], 1)
    for name, of_counts in _OF_COUNTS.items():
        figures[f"macro_{name}"] = Figure(rows, _macro(of_counts))
    figures["macro_auc"] = Weighted(
        len(truth), lambda weights: _mean_auc(true, probabilities, weights)
    )
    return figures


def label_rows(truth: Indices, probabilities: Array, labels: Sequence[str]) -> list[dict[str, Any]]:
    """For each label the number of its samples, precision, recall, F1 and the area under the ROC
    curve, x 100; None where it is undefined. The last four are of the label against all others."""
    true = _one_hot(truth, len(labels))
    given = _one_hot(probabilities.argmax(1), len(labels))
    counts = (true * given).sum(0), given.sum(0), true.sum(0)
    everyone = np.ones(len(truth))
    with np.errstate(all="ignore"):
        columns = {name: of_counts(*counts) for name, of_counts in _OF_COUNTS.items()}
        columns["auc"] = np.array(
            [auc(true[:, k], probabilities[:, k], everyone) for k in range(len(labels))]
        )
    return [
        {"label": label, "samples": int(counts[2][k])}
        | {
            name: round(100 * float(column[k]), 2) if np.isfinite(column[k]) else None
            for name, column in columns.items()
        }
        for k, label in enumerate(labels)
    ]


def confusion(truth: Indices, probabilities: Array) -> list[list[int]]:
    """(K, K): how many samples of each label, a row, are given each label, a column."""
    count = probabilities.shape[1]
    known = truth >= 0
    pairs = count * truth[known] + probabilities[known].argmax(1)
    matrix: list[list[int]] = np.bincount(pairs, minlength=count**2).reshape(count, count).tolist()
    return matrix


def auc(positive: Array, scores: Array, weights: Array) -> Array:
    """The area under the ROC curve: the probability that a positive sample has a higher score than
    a negative one, and half of it for the same (Hanley and McNeil 1982). NaN without either.

    ``positive``: (N,), 1 or 0; ``scores``: (N,); ``weights``: (..., N), how often a sample counts.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    weights, positive = weights[..., order], positive[order]
    hits, misses = (
        np.add.reduceat(weights * each, starts, axis=-1) for each in (positive, 1 - positive)
    )
    below = np.cumsum(misses, -1) - misses / 2
    area: Array = (hits * below).sum(-1) / (hits.sum(-1) * misses.sum(-1))
    return area


def roc(positive: Array, scores: Array) -> tuple[Array, Array]:
    """The false and the true positive rate for each threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits, misses = (np.cumsum(each[order])[ends] for each in (positive, 1 - positive))
    false, true = (np.concatenate([[0.0], each / each[-1]]) for each in (misses, hits))
    return false, true


def _precision(hits: Array, given: Array, true: Array) -> Array:
    return hits / np.maximum(given, 1)  # 0 for a label that is never given, as is usual


def _recall(hits: Array, given: Array, true: Array) -> Array:
    return hits / true


def _f1(hits: Array, given: Array, true: Array) -> Array:
    return 2 * hits / (given + true)


_OF_COUNTS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
}


def _macro(of_counts: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
    def value(sums: Array) -> Array:
        hits, given, true = np.split(sums, 3, -1)
        return 100 * _mean(np.where(true > 0, of_counts(hits, given, true), np.nan))

    return value


def _mean_auc(true: Array, probabilities: Array, weights: Array) -> Array:
    every = [auc(true[:, k], probabilities[:, k], weights) for k in range(true.shape[1])]
    return 100 * _mean(np.stack(every, -1))


def _mean(values: Array) -> Array:
    """Over the last axis, of what is defined."""
    defined = np.isfinite(values)
    mean: Array = np.where(defined, values, 0).sum(-1) / defined.sum(-1)
    return mean


def _one_hot(indices: Indices, count: int) -> Array:
    """(N, count); zeros for -1."""
    found: Array = (indices[:, None] == np.arange(count)).astype(float)
    return found
