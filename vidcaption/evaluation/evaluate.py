"""A model's scores on one split of a dataset, and a comparison of two models."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcaption.datasets.objects import ObjectNames
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation import statistics
from vidcaption.evaluation.captioning import Said, caption_samples, head_of_samples
from vidcaption.evaluation.labels import confusion, label_figures, label_rows, roc
from vidcaption.evaluation.metrics import check_scoring, coco_figures, describe_scoring, has_java
from vidcaption.evaluation.numbers import number_figures
from vidcaption.evaluation.objects import object_figures
from vidcaption.evaluation.retrieval import (
    closest_captions,
    compare,
    ranks_of_sentences,
    retrieval_figures,
)
from vidcaption.evaluation.statistics import (
    Array,
    Figure,
    Weighted,
    f1,
    mean,
    pearson,
    ranks,
    ratio,
)
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.model.folder import Model
from vidcaption.model.joint import unpack
from vidcaption.model.vocabulary import tokenize
from vidcaption.options.captioning import SearchOptions
from vidcaption.store.mixture import mixed_sha256


@dataclass(frozen=True, eq=False)
class Evaluation:
    """``report``: scores with everything they depend on, for JSON. ``said``: captions, or what else
    the model says, by sample id.

    ``figures``: the source of the report's values and intervals, by their names in it. ``merits``:
    how good what is said of each sample is, the higher the better: its CIDEr, the probability of
    its label (below 0 if that is wrong), minus the error of its number, minus the rank of its first
    caption, or the METEOR of its regions. ``curves``: of each label, the false and the true
    positive rates, and the area below.
    """

    report: dict[str, Any]
    said: Mapping[str, Said]
    figures: Mapping[str, Figure | Weighted]
    merits: Array
    curves: Mapping[str, tuple[Array, Array, float]] = field(default_factory=dict)


def score_model(
    folder: Path,
    samples: Sequence[Sample],
    frames: int,
    options: SearchOptions,
    machine: Machine,
    objects: ObjectNames | None = None,
    advance: Callable[[int], object] = lambda count: None,
    others: Sequence[tuple[Path, float]] = (),
) -> Evaluation:
    """Score what a model says of the samples: captions, labels, numbers or regions; and its joint
    space, if it has one.

    Captions are scored approximately if Java is missing, and with ``objects``, also by the objects
    that they name.

    ``frames``: of each sample; 0 is as many as the model learned from. ``advance``: see
    ``caption_samples``. ``others``: folders of models whose words are mixed into
    this one's, with their weights. Raises UsageError if they cannot be, ModelError, InputError, and
    SetupError if pycocoevalcap is missing.
    """
    model = model_folder.load(folder, machine.device)
    frames = frames or model.network.config.frames
    mixed = [(model_folder.load(place, machine.device), weight) for place, weight in others]
    for (place, _), (other, _) in zip(others, mixed, strict=True):
        model_folder.check_mixable(model, str(folder), other, str(place))
    if model.network.config.writes:
        check_scoring()
        found = _score_captions(model, mixed, samples, frames, options, machine, objects, advance)
    elif model.network.config.says == "regions":
        found = _score_regions(model, samples, frames, machine, advance)
    else:
        voices = [(other.network, weight) for other, weight in mixed]
        given = head_of_samples(model.network, samples, frames, machine, advance, voices)
        found = _SCORES[model.network.config.says](model, samples, given)
    report = {
        "samples": len(samples),
        "head": model.network.config.says,
        "model_sha256": mixed_sha256([(model.sha256, 1), *((m.sha256, w) for m, w in mixed)]),
        "frames": frames,
        "precision": machine.precision,
        **found.report,
        "bootstrap": {"resamples": statistics.RESAMPLES, "seed": statistics.SEED, "level": 0.95},
        "intervals": {
            name: _round_both(statistics.interval(values))
            for name, values in statistics.resample(found.figures).items()
        },
    }
    return replace(found, report=report)


def _score_captions(
    model: Model,
    mixed: Sequence[tuple[Model, float]],
    samples: Sequence[Sample],
    frames: int,
    options: SearchOptions,
    machine: Machine,
    objects: ObjectNames | None,
    advance: Callable[[int], object],
) -> Evaluation:
    said = caption_samples(
        *(model.network, model.vocabulary, samples, frames, options, machine, advance),
        others=[(other.network, weight) for other, weight in mixed],
    )
    java = has_java()
    texts = {key: each.text for key, each in said.items()}
    scores = coco_figures(texts, {sample.id: sample.captions for sample in samples}, java)
    figures: dict[str, Figure | Weighted] = {
        **scores,
        **text_figures(said, samples, scores["CIDEr"]),
    }
    if "joint" in model.network.heads:
        vectors = torch.from_numpy(unpack([said[sample.id].vector for sample in samples]))
        figures |= retrieval_figures(
            *compare(model.network, "joint", vectors, samples, model.vocabulary)
        )
    if objects:
        figures |= object_figures(texts, samples, objects)
    report = {
        "search": asdict(options),
        "metrics": describe_scoring(java),
        "scores": {name: _round(float(figure), 2) for name, figure in scores.items()},
        "distinct_captions": round(len(set(texts.values())) / len(texts), 3),
        "vocabulary_used": len({word for text in texts.values() for word in tokenize(text)}),
        **{name: _round(float(figures[name]), 3) for name in figures if name not in scores},
    }
    return Evaluation(report, said, figures, scores["CIDEr"].rows[:, 0])


def _score_labels(model: Model, samples: Sequence[Sample], given: Tensor) -> Evaluation:
    """``given``: log-probabilities, (N, K)."""
    log_probs = given.double().numpy()
    labels, probabilities = model.vocabulary.labels, np.exp(log_probs)
    index = {label: i for i, label in enumerate(labels)}
    truth = np.array([index.get(sample.label or "", -1) for sample in samples])
    figures = label_figures(truth, probabilities)
    rows = label_rows(truth, probabilities, labels)
    unknown = int((truth < 0).sum())
    report = {
        "metrics": "one label per sample",
        "scores": {name: _round(float(figure), 2) for name, figure in figures.items()},
        **({"samples_of_unknown_labels": unknown} if unknown else {}),
        "labels": rows,
        "confusion": confusion(truth, probabilities),
    }
    likeliest, sure = probabilities.argmax(1), log_probs.max(1)
    said = {
        sample.id: Said(labels[k], float(log_prob))
        for sample, k, log_prob in zip(samples, likeliest, sure, strict=True)
    }
    merits = np.where(likeliest == truth, np.exp(sure), -np.exp(sure))
    curves = {
        row["label"]: (*roc((truth == k).astype(float), probabilities[:, k]), row["auc"] / 100)
        for k, row in enumerate(rows)
        if row["auc"] is not None
    }
    return Evaluation(report, said, figures, merits, curves)


def _score_numbers(model: Model, samples: Sequence[Sample], given: Tensor) -> Evaluation:
    """``given``: (N,)."""
    numbers = given.double().numpy()
    wanted = np.array([sample.score for sample in samples], float)
    figures = number_figures(numbers, wanted)
    report = {
        "metrics": "one score per sample",
        "scores": {name: _round(float(figure), 4) for name, figure in figures.items()},
    }
    said = {s.id: Said(f"{x:.4g}", 0.0) for s, x in zip(samples, numbers, strict=True)}
    return Evaluation(report, said, figures, -abs(numbers - wanted))


def _score_matches(model: Model, samples: Sequence[Sample], given: Tensor) -> Evaluation:
    """``given``: (N, ...). A sample is said to be what the caption most similar to it says."""
    name = model.network.config.says
    similar, owners = compare(model.network, name, given, samples, model.vocabulary)
    figures = retrieval_figures(similar, owners)
    texts = [text for sample in samples for text in sample.captions]
    report = {
        "metrics": "all captions of the samples to choose from",
        "scores": {name: _round(float(figure), 2) for name, figure in figures.items()},
    }
    said = closest_captions(samples, similar, texts)
    merits = -ranks_of_sentences(similar, owners).astype(float)
    return Evaluation(report, said, figures, merits)


def _score_regions(
    model: Model,
    samples: Sequence[Sample],
    frames: int,
    machine: Machine,
    advance: Callable[[int], object],
) -> Evaluation:
    from vidcaption.evaluation.regions import METRICS, region_figures  # which loads torchvision

    said = caption_samples(
        *(model.network, model.vocabulary, samples, frames, SearchOptions(), machine, advance)
    )
    given, wanted = zip(*((said[s.id].graph, s.graph) for s in samples), strict=True)
    figures, merits = region_figures(given, wanted)
    report = {
        "metrics": METRICS,
        "scores": {name: _round(float(figure), 2) for name, figure in figures.items()},
    }
    return Evaluation(report, said, figures, merits)


_SCORES = {
    "classes": _score_labels,
    "score": _score_numbers,
    "joint": _score_matches,
    "alignment": _score_matches,
}


def text_figures(
    said: Mapping[str, Said], samples: Sequence[Sample], cider: Figure
) -> dict[str, Figure]:
    """Figures beyond the standard metrics.

    - words_per_caption
    - generic_captions: share of captions that another sample has as well.
    - word_precision: share of a caption's distinct words that occur in a reference of the sample;
      word_recall: share of a reference's distinct words that occur in the caption, the mean over
      the sample's references; word_f1: their harmonic mean.
    - score_pearson, score_spearman: correlation of a caption's score, the mean log-probability of
      its words, with its CIDEr. 0 if the score does not predict how good a caption is.
    """
    times = Counter(each.text for each in said.values())
    words = [set(tokenize(said[sample.id].text)) for sample in samples]
    wanted = [[set(tokenize(text)) for text in sample.captions] for sample in samples]
    precision = ratio(
        [len(w & set().union(*refs)) for w, refs in zip(words, wanted, strict=True)],
        [len(w) for w in words],
    )
    recall = ratio(
        [np.mean([len(w & ref) for ref in refs]) for w, refs in zip(words, wanted, strict=True)],
        [np.mean([len(ref) for ref in refs]) for refs in wanted],
    )
    scores = [said[sample.id].score for sample in samples]
    merits = cider.rows[:, 0]
    return {
        "words_per_caption": mean([len(tokenize(said[sample.id].text)) for sample in samples]),
        "generic_captions": mean([times[said[sample.id].text] > 1 for sample in samples]),
        "word_precision": precision,
        "word_recall": recall,
        "word_f1": f1(precision, recall),
        "score_pearson": pearson(scores, merits),
        "score_spearman": pearson(ranks(scores), ranks(merits)),
    }


def differences(first: Evaluation, second: Evaluation) -> dict[str, dict[str, Any]]:
    """Each figure that both have, of ``first`` minus that of ``second``, on the same samples.

    The interval comes from a paired bootstrap (Koehn 2004): both use the same resamples. It is
    narrower than the two models' own intervals suggest, as hard samples are hard for both.
    """
    ours, theirs = statistics.resample(first.figures), statistics.resample(second.figures)
    with np.errstate(invalid="ignore"):  # an undefined figure may be infinite in both
        apart = {name: ours[name] - theirs[name] for name in ours if name in theirs}
    return {
        name: {
            "difference": _round(float(figure) - float(second.figures[name]), 3),
            "interval": _round_both(statistics.interval(apart[name])),
        }
        for name, figure in first.figures.items()
        if name in apart
    }


def _round(value: float, digits: int) -> float | None:
    """None for an undefined figure, such as a correlation with a constant."""
    return round(value, digits) if np.isfinite(value) else None


def _round_both(interval: tuple[float, float] | None) -> list[float] | None:
    return [round(value, 3) for value in interval] if interval else None
