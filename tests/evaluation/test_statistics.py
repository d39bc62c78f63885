import numpy as np
import pytest

from vidcaption.evaluation.statistics import (
    f1,
    interval,
    mean,
    pearson,
    ranks,
    ratio,
    resample,
)

RNG = np.random.default_rng(0)


def test_the_interval_of_a_mean_is_that_of_theory():
    values = RNG.normal(5, 2, 400)
    low, high = interval(resample({"mean": mean(values)})["mean"])
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_resamples_are_paired_and_repeatable():
    values = RNG.normal(size=50)
    first = resample({"other": mean(values**2), "mean": mean(values)})
    again = resample({"mean": mean(values + 1)})
    assert again["mean"] - first["mean"] == pytest.approx(np.ones_like(again["mean"]))


def test_ratios_are_of_sums():
    precision, recall = ratio([1, 3], [2, 6]), ratio([1, 3], [1, 4])
    assert float(precision) == 0.5 and float(recall) == 0.8
    assert float(f1(precision, recall)) == pytest.approx(2 * 0.5 * 0.8 / 1.3)


def test_correlations():
    x, y = RNG.normal(size=(2, 30))
    y = 0.5 * x + y + 1000
    assert float(pearson(x, y)) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert float(pearson(ranks(x), ranks(np.exp(x)))) == pytest.approx(1)
    assert ranks([3, 1, 3, 2]).tolist() == [3.5, 1, 3.5, 2]


def test_what_is_not_defined_has_no_interval():
    flat = pearson([1, 1, 1], [1, 2, 3])
    assert np.isnan(float(flat))
    assert interval(resample({"flat": flat})["flat"]) is None


def test_infinite_values_have_no_interval():
    """Rounding makes a correlation with an almost constant figure infinite in some resamples."""
    assert interval(np.array([-np.inf, -np.inf, np.nan, 0.5])) is None
    assert interval(np.array([-np.inf] * 3 + [0.5] * 4 + [np.inf] * 3)) is None
