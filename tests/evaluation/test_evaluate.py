import numpy as np
import pytest

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import Said
from vidcaption.evaluation.evaluate import Evaluation, differences, text_figures
from vidcaption.evaluation.statistics import mean

SAMPLES = [
    Sample("a", ("A dog runs.", "a brown dog"), "test"),
    Sample("b", ("two cats",), "test"),
    Sample("c", ("a boat",), "test"),
]
SAID = {"c": Said("a red boat", -1.0), "a": Said("a dog", -2.0), "b": Said("a dog", -3.0)}


def test_what_the_standard_metrics_do_not_tell():
    figures = text_figures(SAID, SAMPLES, mean([50.0, 0.0, 90.0]))
    assert {name: float(figure) for name, figure in figures.items()} == pytest.approx(
        {
            "words_per_caption": 7 / 3,
            "generic_captions": 2 / 3,  # "a dog", of two samples
            "word_precision": 4 / 7,  # a, dog; none; a, boat
            "word_recall": 4 / 7,  # 2 of 3 words for a, 0 of 2, 2 of 2
            "word_f1": 4 / 7,
            "score_pearson": 0.998,
            "score_spearman": 1,
        },
        abs=1e-3,
    )


def test_differences_are_paired():
    """A model that is worse by 1 everywhere is so with certainty, however the samples vary."""
    first = Evaluation({}, {}, {"CIDEr": mean([1.0, 90.0, 30.0])}, np.zeros(3))
    second = Evaluation({}, {}, {"CIDEr": mean([0.0, 89.0, 29.0])}, np.zeros(3))
    assert differences(first, second) == {"CIDEr": {"difference": 1.0, "interval": [1.0, 1.0]}}
