"""Scores of the regions that a model finds in pictures (dense captioning, Johnson et al. 2016)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torchvision.ops import box_convert, box_iou

from vidcaption.evaluation.statistics import Array, Figure, Weighted, ratio
from vidcaption.model.vocabulary import tokenize
from vidcaption.types import Region, SceneGraph

OVERLAPS = (0.3, 0.4, 0.5, 0.6, 0.7)  # thresholds of intersection over union
LIKENESSES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)  # and of METEOR
METRICS = "METEOR of words that match exactly"
FOUND = 0.5  # intersection over union of what counts as found in the other figures


class _Hits(NamedTuple):
    """Of the P regions that are said of one picture: ``scores``, (P,), and which of them are right
    for each pair of thresholds, (30, P). ``wanted``: the number of true ones with a phrase."""

    scores: Array
    right: Array
    wanted: int


def region_figures(
    said: Sequence[SceneGraph], wanted: Sequence[SceneGraph]
) -> tuple[dict[str, Figure | Weighted], Array]:
    """Figures of N pictures, x 100, and how well each is described.

    - mAP: of regions with phrases, the mean over all pairs of thresholds of the average precision.
    - box_recall: the share of true regions of which one overlaps at least half.
    - label_accuracy: the share of those with a label whose best overlapping region has the same.
    - relation_recall: the share of relations found with both boxes, both labels and the predicate.

    The last two only where some are wanted. A picture is described as well as the phrases of what
    overlaps its regions, the mean of their METEOR. A region counts as found once, by the surest.
    """
    hits, counts, merits = [], [], []
    for given, true in zip(said, wanted, strict=True):
        overlaps = _overlaps(given.regions, true.regions)
        found, merit = _phrases(given, true, overlaps)
        hits.append(found)
        merits.append(merit)
        counts.append(_counts(given, true, overlaps))
    boxes, found, named, labelled, related, relations = np.array(counts, float).T
    figures: dict[str, Figure | Weighted] = {
        "mAP": Weighted(len(hits), _MeanPrecision(hits).of),
        "box_recall": _share(found, boxes),
    }
    if labelled.any():
        figures["label_accuracy"] = _share(named, labelled)
    if relations.any():
        figures["relation_recall"] = _share(related, relations)
    return figures, np.array(merits)


def _share(above: Array, below: Array) -> Figure:
    return ratio(100 * above, below)


def meteor(said: Sequence[str], wanted: Sequence[str]) -> float:
    """METEOR of words that match exactly (Banerjee and Lavie 2005): the harmonic mean of precision
    and recall, recall counting nine times, less up to a half for words in another order.

    Later versions, which need Java, also match stems and synonyms.
    """
    free, places = list(wanted), []
    for word in said:
        if word in free:
            place = free.index(word)
            free[place] = ""
            places.append(place)
    if not places:
        return 0.0
    precision, recall = len(places) / len(said), len(places) / len(wanted)
    mean = 10 * precision * recall / (recall + 9 * precision)
    breaks = sum(after != before + 1 for before, after in pairwise(places))
    return mean * (1 - 0.5 * ((breaks + 1) / len(places)) ** 3)


def _overlaps(given: Sequence[Region], true: Sequence[Region]) -> Array:
    """Intersection over union, (P, G)."""
    first, second = (
        box_convert(torch.tensor([x.box for x in each]).reshape(-1, 4), "xywh", "xyxy")
        for each in (given, true)
    )
    overlaps: Array = box_iou(first, second).double().numpy()
    return overlaps


def _phrases(given: SceneGraph, true: SceneGraph, overlaps: Array) -> tuple[_Hits, float]:
    """The hits of a picture, and how well it is described."""
    spoken = [i for i, region in enumerate(true.regions) if region.text]
    scores = np.array([region.score for region in given.regions])
    right = np.zeros((len(OVERLAPS) * len(LIKENESSES), len(scores)))
    if not spoken or not len(scores):
        return _Hits(scores, right, len(spoken)), 0.0
    near = overlaps[:, spoken]
    best, most = near.argmax(1), near.max(1)
    words = [tokenize(true.regions[i].text) for i in spoken]
    alike = np.array(
        [
            meteor(tokenize(region.text), words[k]) if shared >= OVERLAPS[0] else 0.0
            for region, k, shared in zip(given.regions, best, most, strict=True)
        ]
    )
    pairs = [(overlap, likeness) for overlap in OVERLAPS for likeness in LIKENESSES]
    order = np.argsort(-scores, kind="stable")
    for row, (overlap, likeness) in enumerate(pairs):
        taken = set()
        for i in order:
            if most[i] >= overlap and alike[i] >= likeness and best[i] not in taken:
                taken.add(best[i])
                right[row, i] = 1
    described = [alike[(best == k) & (most >= FOUND)].max(initial=0.0) for k in range(len(spoken))]
    return _Hits(scores, right, len(spoken)), float(np.mean(described))


def _counts(given: SceneGraph, true: SceneGraph, overlaps: Array) -> tuple[int, ...]:
    """True boxes, those found, those named right, of those found with a label; true relations
    found, of all."""
    if not given.regions:
        return len(true.regions), 0, 0, 0, 0, len(true.relations)
    found = overlaps.max(0) >= FOUND
    labels = [given.regions[i].label for i in overlaps.argmax(0)]
    labelled = [k for k, x in enumerate(true.regions) if x.label and found[k]]
    named = sum(labels[k] == true.regions[k].label for k in labelled)

    def fits(i: int, k: int) -> bool:
        same = given.regions[i].label == true.regions[k].label
        return same and bool(overlaps[i, k] >= FOUND)

    related = sum(
        any(
            x.predicate == each.predicate
            and fits(x.subject, each.subject)
            and fits(x.object, each.object)
            for x in given.relations
        )
        for each in true.relations
    )
    return (
        *(len(true.regions), int(found.sum()), named, len(labelled)),
        *(related, len(true.relations)),
    )


class _MeanPrecision:
    """The mean average precision of all pictures' regions together."""

    def __init__(self, hits: Sequence[_Hits]) -> None:
        scores = np.concatenate([each.scores for each in hits])
        order = np.argsort(-scores, kind="stable")
        owners = np.repeat(np.arange(len(hits)), [len(each.scores) for each in hits])
        self._owners = owners[order]
        self._right = np.concatenate([each.right for each in hits], 1)[:, order]
        self._wanted = np.array([each.wanted for each in hits], float)

    def of(self, weights: Array) -> Array:
        """``weights``: (..., N), how often each picture counts."""
        counts = weights[..., self._owners]  # (..., P), the surest first
        below, wanted = np.maximum(counts.cumsum(-1), 1), (weights @ self._wanted)[..., None]
        total = np.zeros(weights.shape[:-1])
        for right in self._right:
            true = (counts * right).cumsum(-1)
            # the precision at a recall is the best at this or a higher one
            precision = np.maximum.accumulate((true / below)[..., ::-1], -1)[..., ::-1]
            total += (precision * np.diff(true / wanted, prepend=0)).sum(-1)
        mean: Array = 100 * total / len(self._right)
        return mean
