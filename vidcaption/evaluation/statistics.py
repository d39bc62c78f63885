"""Figures over samples, and their variation with other samples.

Nearly every figure is a function of sums of per-sample statistics, so a bootstrap (Efron 1979; for
BLEU: Koehn 2004) re-weights statistics that are computed once, and never runs a scorer again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000
SEED = 1
_PART = 50  # resamples at a time: bounds the memory

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Figure:
    """``rows``: (N, K), K statistics of each of N samples. ``value``: of their sums.

    It maps (..., K) to (...), with NaN where the figure is undefined.
    """

    rows: Array
    value: Callable[[Array], Array]

    def __len__(self) -> int:
        return len(self.rows)

    def __float__(self) -> float:
        with np.errstate(all="ignore"):
            return float(self.value(self.rows.sum(0)))

    def of(self, weights: Array) -> Array:
        """For each row of ``weights``, (..., N): how often each sample counts."""
        return self.value(weights @ self.rows)


@dataclass(frozen=True, eq=False)
class Weighted:
    """A figure of N samples that is no function of sums. ``of``: as that of a Figure."""

    count: int
    of: Callable[[Array], Array]

    def __len__(self) -> int:
        return self.count

    def __float__(self) -> float:
        with np.errstate(all="ignore"):
            return float(self.of(np.ones(self.count)))


def ratio(above: ArrayLike, below: ArrayLike) -> Figure:
    """The sum of one statistic divided by the sum of another."""
    return Figure(np.stack([above, below], -1).astype(float), lambda s: s[..., 0] / s[..., 1])


def mean(values: ArrayLike) -> Figure:
    return ratio(values, np.ones_like(values))


def f1(precision: Figure, recall: Figure) -> Figure:
    """The harmonic mean of two ratios."""

    def value(sums: Array) -> Array:
        p, r = precision.value(sums[..., :2]), recall.value(sums[..., 2:])
        return 2 * p * r / (p + r)

    return Figure(np.concatenate([precision.rows, recall.rows], -1), value)


def pearson(x: ArrayLike, y: ArrayLike) -> Figure:
    """The linear correlation of two statistics; of their ``ranks``, Spearman's correlation."""
    # Centred, as differences of large sums would lose digits.
    a, b = (_centred(np.asarray(values, float)) for values in (x, y))
    rows = np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], -1)

    def value(sums: Array) -> Array:
        n, sx, sy, sxx, syy, sxy = np.moveaxis(sums, -1, 0)
        both: Array = n * sxy - sx * sy
        spread: Array = np.sqrt((n * sxx - sx * sx) * (n * syy - sy * sy))
        return both / spread

    return Figure(rows, value)


def _centred(values: Array) -> Array:
    centred: Array = values - values.mean()
    return centred


def ranks(values: ArrayLike) -> Array:
    """From 1; equal values share the mean of their ranks. A resample keeps the whole's ranks."""
    _, group, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Array = (last - (counts - 1) / 2)[group]
    return shared


def resample(figures: Mapping[str, Figure | Weighted]) -> dict[str, Array]:
    """RESAMPLES values of each figure, each of N samples drawn with replacement.

    Figures of another model on the same samples, in the same order, get the same
    resamples: their differences are those of a paired bootstrap.
    """
    count = len(next(iter(figures.values())))
    rng = np.random.default_rng(SEED)
    parts: dict[str, list[Array]] = {name: [] for name in figures}
    with np.errstate(all="ignore"):
        for _ in range(RESAMPLES // _PART):
            weights = _draw(count, rng)
            for name, figure in figures.items():
                parts[name].append(figure.of(weights))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _draw(count: int, rng: np.random.Generator) -> Array:
    """(_PART, count): how often each sample is drawn."""
    drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(_PART)]
    return np.stack(drawn).astype(float)


def interval(values: Array) -> tuple[float, float] | None:
    """The 95% percentile interval, or None if a value is undefined."""
    with np.errstate(invalid="ignore"):  # an undefined value may be infinite
        low, high = np.percentile(values, [2.5, 97.5])
    return (float(low), float(high)) if np.isfinite([low, high]).all() else None
