"""Scores of the numbers that a model gives."""

from vidcaption.evaluation.statistics import Array, Figure, mean, pearson, ranks


def number_figures(said: Array, wanted: Array) -> dict[str, Figure]:
    """spearman and pearson, x 100: the correlation of ranks and of values; mean_absolute_error."""
    return {
        "spearman": _percent(pearson(ranks(said), ranks(wanted))),
        "pearson": _percent(pearson(said, wanted)),
        "mean_absolute_error": mean(abs(said - wanted)),
    }


def _percent(figure: Figure) -> Figure:
    return Figure(figure.rows, lambda sums: 100 * figure.value(sums))
