import numpy as np
import pytest

from vidcaption.datasets.objects import coco_names
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.objects import object_figures

NAMES = coco_names().without("person")
SAMPLES = [
    Sample("a", ("A man with two dogs and a cat.", "a puppy and a man", "a cat in a car"), "test"),
    Sample("b", ("a hot dog", "a hotdog on a table", "food"), "test"),
    Sample("c", ("a boat", "the sea", "waves"), "test"),
]


def test_named_and_confirmed_are_pooled():
    said = {
        "c": "a ship and a bird",  # one human caption names a boat, so that it is confirmed only
        "a": "a dog and dogs in cars",  # dog is expected and named; car is confirmed; cat is missed
        "b": "a man and a dog",  # of the hot dog neither
    }
    figures = object_figures(said, SAMPLES, NAMES)
    assert float(figures["objects_named"]) == pytest.approx(1 / 3)  # dog, cat; hot dog; none
    assert float(figures["objects_confirmed"]) == pytest.approx(3 / 5)


def test_a_single_human_caption_expects_nothing():
    samples = [Sample("a", ("a dog",), "test")]
    figures = object_figures({"a": "a dog"}, samples, NAMES)
    assert np.isnan(float(figures["objects_named"]))
    assert float(figures["objects_confirmed"]) == 1
