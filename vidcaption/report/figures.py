"""Results of an evaluation as rows of text, for the terminal and the page."""

from collections.abc import Mapping, Sequence
from typing import Any

from vidcaption.output.text import aligned, counted, printable

# they depend on the sample count
_COUNTS = ("distinct_captions", "vocabulary_used", "samples_of_unknown_labels")

_MEANINGS = {
    "BLEU": "Share of a caption's sequences of 1 to 4 words that a reference has; less for short "
    "captions.",
    "METEOR": "Words that match a reference, including stems and synonyms, and their order.",
    "ROUGE-L": "The longest sequence of words in common with a reference.",
    "CIDEr": "Similarity to the references in sequences of 1 to 4 words, rare ones count "
    "more; it may exceed 100.",
    "distinct_captions": "Different captions divided by the number of samples.",
    "vocabulary_used": "Different words in all captions.",
    "words_per_caption": "Mean length of a caption.",
    "generic_captions": "Share of captions that another sample has as well.",
    "word_precision": "Share of a caption's words that occur in a reference.",
    "word_recall": "Share of a reference's words that occur in the caption.",
    "word_f1": "The harmonic mean of both.",
    "objects_named": "Share of the objects in at least two human captions that the caption names.",
    "objects_confirmed": "Share of the objects in the caption that a human caption names as well.",
    "accuracy": "Share of samples that get their label, x 100.",
    "top_5": "Share of samples whose label is among the five most probable, x 100.",
    "macro_precision": "Of the samples given a label, the share whose label it is; the mean over "
    "labels, x 100.",
    "macro_recall": "Of a label's samples, the share that get it; the mean over labels, x 100.",
    "macro_f1": "The harmonic mean of a label's precision and recall; the mean over labels, x 100.",
    "macro_auc": "Area under the ROC curve: how often a sample of a label has a higher probability "
    "of it than another sample; the mean over labels, x 100. Chance is 50.",
    "mAP": "Average precision of the regions' phrases: the mean over overlaps of boxes from 0.3 to "
    "0.7 and METEOR, of words that match exactly, from 0 to 0.25, x 100.",
    "box_recall": "Share of the true boxes of which one overlaps half, x 100.",
    "label_accuracy": "Share of these boxes' labels that are right, x 100.",
    "relation_recall": "Share of relations found with the boxes and labels of both, x 100.",
    "spearman": "Correlation of the ranks of the model's and the true scores, x 100.",
    "pearson": "Correlation of the model's and the true scores, x 100.",
    "mean_absolute_error": "Mean distance from the true score.",
    "score_pearson": "Correlation of a caption's score, its mean log-probability, with its CIDEr.",
    "score_spearman": "The same for their ranks.",
}

Report = Mapping[str, Any]


def figure_rows(report: Report) -> list[tuple[str, str, str]]:
    """Name, value and interval of each figure in what ``evaluate --json`` prints."""
    values = report["scores"] | {name: report[name] for name in report if name in _COUNTS}
    values |= {name: report[name] for name in report["intervals"] if name not in values}
    return [
        (name, _number(value), _range(report["intervals"].get(name)))
        for name, value in values.items()
    ]


def meanings(report: Report) -> list[tuple[str, str]]:
    """The meaning of each figure of a report, with one entry for all forms of BLEU."""
    names = dict.fromkeys("BLEU" if n.startswith("BLEU") else n for n, *_ in figure_rows(report))
    return [(name, _MEANINGS[name]) for name in names if name in _MEANINGS]


def comparison_rows(report: Report) -> list[tuple[str, str, str, str, str]]:
    """Name, both models' values, their difference and its interval, of ``--against --json``."""
    first, second = ({**part, **part["scores"]} for part in (report, report["against"]))
    return [
        (
            name,
            _number(first[name]),
            _number(second[name]),
            _number(row["difference"]),
            _range(row["interval"]),
        )
        for name, row in report["differences"].items()
    ]


def label_table(report: Report) -> list[tuple[str, ...]]:
    """The figures of each label, below their names; empty unless the model gives labels."""
    head = ("", "samples", "precision", "recall", "F1", "AUC")
    rows = [tuple(_number(x) for x in row.values()) for row in report.get("labels", ())]
    return [head, *rows] if rows else []


def score_table(report: Report) -> str:
    """What ``evaluate --json`` prints, as lines: each figure with its interval."""
    bootstrap = report["bootstrap"]
    settings = [f"{name} {value}" for name, value in report.get("search", {}).items()]
    settings = [", ".join(settings)] if settings else []
    labels = label_table(report)
    lines = [
        f"{report['dataset']}, {report['split']}: {counted(report['samples'], 'sample')}",
        "",
        *aligned([("", "", f"{bootstrap['level']:.0%} interval"), *figure_rows(report)], ">"),
        "",
        *([*aligned(labels, ">"), ""] if labels else []),
        f"{report['metrics']}; {bootstrap['resamples']} bootstrap resamples",
        "; ".join([*settings, f"{counted(report['frames'], 'frame')}, {report['precision']}"]),
        f"model {report['model']}, sha256 {report['model_sha256']}",
    ]
    return "".join(printable(line) + "\n" for line in lines)


def comparison_table(report: Report, model: str, against: str) -> str:
    """What ``evaluate --against --json`` prints, as lines: both models' figures side by side."""
    level = f"{report['bootstrap']['level']:.0%}"
    head = ("", model, against, "difference", f"{level} interval")
    lines = [
        *aligned([head, *comparison_rows(report)], ">"),
        "",
        f"{against} has sha256 {report['against']['model_sha256']}; if an interval does "
        f"not contain 0, the models differ on such samples with {level} confidence",
    ]
    return "".join(printable(line) + "\n" for line in lines)


def _number(value: float | str | None) -> str:
    if value is None:
        return "none"
    return (
        str(value) if isinstance(value, int | str) else f"{value:.{2 if abs(value) >= 2 else 3}f}"
    )


def _range(interval: Sequence[float] | None) -> str:
    return f"{_number(interval[0])} to {_number(interval[1])}" if interval else ""
