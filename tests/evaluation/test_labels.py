import numpy as np
import pytest

from vidcaption.evaluation.labels import auc, confusion, label_figures, label_rows, roc
from vidcaption.evaluation.statistics import interval, resample

LABELS = ("cook", "run", "sing")
TRUTH = np.array([0, 0, 0, 1, 1, 2, -1])  # the last is of a label that the model does not know
GIVEN = np.array([0, 0, 1, 1, 0, 1, 1])
RNG = np.random.default_rng(0)


def probabilities(given, count):
    """The given label has the highest of some distinct probabilities."""
    values = RNG.uniform(0.1, 0.2, (len(given), count))
    values[range(len(given)), given] = 0.5
    return values


def test_figures_of_labels_by_hand():
    figures = label_figures(TRUTH, probabilities(GIVEN, 3))
    assert "top_5" not in figures  # of three labels it would be 100
    values = {name: float(figure) for name, figure in figures.items() if name != "macro_auc"}
    assert values == pytest.approx(
        {
            "accuracy": 100 * 3 / 7,
            "macro_precision": 100 * (2 / 3 + 1 / 4 + 0) / 3,  # sing is never given
            "macro_recall": 100 * (2 / 3 + 1 / 2 + 0) / 3,
            "macro_f1": 100 * (2 / 3 + 1 / 3 + 0) / 3,
        }
    )


def test_rows_and_confusion_by_hand():
    given = probabilities(GIVEN, 3)
    cook, run, sing = label_rows(TRUTH, given, LABELS)
    assert list(cook) == ["label", "samples", "precision", "recall", "f1", "auc"]
    assert (cook["label"], cook["samples"]) == ("cook", 3)
    assert (run["precision"], run["recall"], run["f1"]) == (25.0, 50.0, 33.33)
    assert (sing["precision"], sing["recall"], sing["f1"]) == (0.0, 0.0, 0.0)
    assert confusion(TRUTH, given) == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]


def test_a_label_that_does_not_occur_is_undefined_and_left_out_of_the_mean():
    truth = np.array([0, 1, 0, 1])
    given = probabilities(truth, 3)
    assert label_rows(truth, given, LABELS)[2]["recall"] is None
    assert label_rows(truth, given, LABELS)[2]["auc"] is None
    assert {float(x) for x in label_figures(truth, given).values()} == {100.0}


def test_the_true_label_among_the_five_most_probable():
    given = np.tile(np.arange(7.0), (7, 1))  # the higher its number, the more probable
    assert float(label_figures(np.arange(7), given)["top_5"]) == pytest.approx(100 * 5 / 7)


def test_the_area_counts_pairs_and_halves_of_ties():
    positive = RNG.integers(0, 2, 40)
    scores = RNG.integers(0, 6, 40).astype(float)
    pairs = scores[positive == 1][:, None] - scores[positive == 0]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert auc(positive, scores, np.ones(40)) == pytest.approx(expected)
    false, true = roc(positive, scores)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(expected)


def test_weights_are_repetitions():
    positive, scores = RNG.integers(0, 2, 30), RNG.integers(0, 9, 30).astype(float)
    weights = RNG.integers(0, 3, (2, 30))
    repeated = [
        auc(np.repeat(positive, row), np.repeat(scores, row), np.ones(row.sum())) for row in weights
    ]
    assert auc(positive, scores, weights) == pytest.approx(repeated)


def test_the_interval_of_an_area_covers_it():
    truth = RNG.integers(0, 2, 300)
    scores = truth + RNG.normal(size=300)
    given = np.stack([-scores, scores], 1)
    figures = {"area": label_figures(truth, given)["macro_auc"]}
    low, high = interval(resample(figures)["area"])
    # of Hanley and McNeil, for an area of 0.76 with 150 samples of each kind: 0.027
    assert low < float(figures["area"]) < high
    assert (high - low) / 3.92 == pytest.approx(2.7, abs=0.5)
