"""How captions of the dev split are scored."""

import pytest

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.metrics import cider
from vidcaption.training.judge import mean_cider


def sample(dataset, *captions):
    return Sample("x", captions, "dev", dataset=dataset)


def test_each_dataset_is_scored_by_itself():
    pytest.importorskip("pycocoevalcap")
    samples = [
        sample("a", "a dog runs on grass", "a brown dog runs"),
        sample("b", "a man plays a guitar", "a man with a guitar"),
        sample("a", "two boats on a lake", "boats at rest"),
        sample("b", "a woman cooks rice in a pot", "a woman cooks"),
    ]
    said = ["a dog runs", "a man sings", "two boats on a lake", "a woman cooks rice"]
    texts = {str(i): text for i, text in enumerate(said)}

    def alone(*rows):
        part = {str(i): said[i] for i in rows}
        return cider(part, {str(i): samples[i].captions for i in rows})

    assert mean_cider(texts, samples) == pytest.approx((alone(0, 2) + alone(1, 3)) / 2)
    assert mean_cider(texts, samples) != pytest.approx(alone(0, 1, 2, 3))
