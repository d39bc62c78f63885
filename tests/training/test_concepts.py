from pathlib import Path

import numpy as np
import pytest

from vidcaption.datasets.objects import coco_names
from vidcaption.datasets.samples import Sample
from vidcaption.model.concepts import LEAST
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.training import concepts
from vidcaption.training.concepts import (
    SentenceConcepts,
    concept_targets,
    function_words,
    name_concepts,
    stem,
)

CAPTIONS = [
    ("A man rides a bike.", "the man is riding"),
    ("two men ride horses on a sofa", "a rocket and a hot dog"),
    ("men riding", "a couch with a man"),
]
VOCABULARY = Vocabulary.build(
    [*(text for several in CAPTIONS for text in several), "he rode a bicycle"], 1
)


@pytest.fixture
def names():
    return name_concepts(CAPTIONS, VOCABULARY, ["rocket", "zeppelin", "person"], coco_names())


def test_inflected_forms_share_a_stem():
    for forms in (("man", "men"), ("ride", "rides", "riding", "rode"), ("dog", "dogs")):
        assert len({stem(form) for form in forms}) == 1
    assert stem("man") != stem("woman")


def test_function_words_are_lower_case_and_name_nothing():
    assert {"a", "the", "with", "is"} <= function_words()
    assert not {"dog", "man", "red", "running", "two"} & function_words()
    assert all(word == word.lower() for word in function_words())


def test_frequent_words_are_concepts_with_all_their_forms(names):
    assert names.classes[:2] == ("man", "riding")  # the most frequent form, most frequent first
    assert names.named("A man rode with men.") == ["man", "riding"]
    assert "the" not in names.classes and "is" not in names.classes


def test_objects_keep_their_synonyms_and_taught_names_become_concepts(names):
    assert {"couch", "bicycle", "hot dog", "rocket"} <= set(names.classes)
    assert names.named("a bike and a sofa") == ["bicycle", "couch"]
    # whoever is in the picture, captions say who it is
    assert "person" not in names.classes
    # the model could not say these
    assert not {"zeppelin", "refrigerator"} & set(names.classes)


def test_small_datasets_have_concepts_of_few_mentions(monkeypatch):
    few = name_concepts(CAPTIONS, VOCABULARY, [], coco_names())
    assert "two" not in few.classes
    monkeypatch.setattr(concepts, "MENTIONS", 1)  # at least 2 all the same
    assert name_concepts(CAPTIONS, VOCABULARY, [], coco_names()).classes == few.classes


def test_captions_and_scores_teach(names):
    stills = [Path(f"/pictures/{i}.jpg") for i in range(3)]
    samples = [
        Sample("told", ("a man", "a rocket", "a man", "sky", "sky"), "train", stills=(stills[0],)),
        Sample("bare", (), None, stills=tuple(stills[1:])),
    ]
    tables = [
        {stills[0]: {"rocket": 0.9, "person": 1.0}, stills[1]: {"rocket": 0.5}, stills[2]: {}},
        {Path("/elsewhere.jpg"): {"couch": 1.0}},
    ]
    targets, known = concept_targets(samples, names, tables)
    at = {name: i for i, name in enumerate(names.classes)}
    assert known[0].all() and np.flatnonzero(known[1]).tolist() == [at["rocket"]]
    assert targets[0, at["man"]] == 1.0  # two captions of five say so
    assert targets[0, at["rocket"]] == pytest.approx(0.9)  # one does, but the score is surer
    assert targets[1, at["rocket"]] == pytest.approx(0.25)  # the mean over frames
    assert targets[0].sum() == pytest.approx(1.9) and targets[1].sum() == pytest.approx(0.25)


def test_sentences_get_concepts_as_sure_and_as_wrong_as_the_classifier():
    rng = np.random.default_rng(0)
    shown = np.zeros((40, 3), bool)
    shown[:20, 0] = shown[20:, 1] = True
    probabilities = np.zeros((40, 3), np.float32)
    probabilities[:20, 0] = np.linspace(0.6, 0.9, 20)
    probabilities[20:, 1] = LEAST / 2  # never noticed
    probabilities[:, 2] = 0.3  # always thought to be there
    sentences = SentenceConcepts(probabilities, shown, slots=2)
    ids, confidence, *_ = sentences.draw([[0], [1], [], [0, 2]] * 50, rng)
    assert ids.shape == confidence.shape == (200, 2)
    noticed, missed, nothing, both = (
        [list(zip(*pair, strict=True)) for pair in zip(i.tolist(), c.tolist(), strict=True)]
        for i, c in ((ids[row::4], confidence[row::4]) for row in range(4))
    )
    assert all(pair[0][0] == 0 and 0.6 <= pair[0][1] <= 0.9 for pair in noticed)
    assert len({pair[0][1] for pair in noticed}) > 5
    assert all(pair[1] == (2, pytest.approx(0.3)) for pair in noticed)
    for pair in (*missed, *nothing):
        assert pair == [(2, pytest.approx(0.3)), (0, 0.0)] or pair[0][0] == 0  # a false dog
    # too few pictures show the third: it is as sure as any
    assert all({n for n, p in pair if p} <= {0, 2} and pair[0][1] >= pair[1][1] for pair in both)


def test_a_concept_may_be_confused_with_one_that_is_less_sure():
    shown = np.eye(3, dtype=bool).repeat(6, 0)
    probabilities = np.where(shown, 0.8, 0.0).astype(np.float32)
    sentences = SentenceConcepts(probabilities, shown, slots=2)
    every = sentences.draw([[0], [0, 1]] * 100, np.random.default_rng(0), {0: (0, 2), 1: (0, 1)})
    alone = [sentences.draw([[0]], np.random.default_rng(i), {0: (0, 2)}) for i in range(200)]
    assert {each.ids[0, 0].item() for each in alone} == {0}  # the true one is the surest
    doubts = [each.confidence[0, 1].item() for each in alone]
    assert all(d == 0 or LEAST <= d < 0.8 for d in doubts)
    assert 0.0 in doubts and max(doubts) > 0.7 and np.mean(doubts) == pytest.approx(0.4, abs=0.05)
    # what a sentence names stays as sure as it is, and other sentences are not confused
    assert every.confidence[1].tolist() == pytest.approx([0.8, 0.8])
    assert set(every.ids[2::2, 1].tolist()) == {0} and not every.confidence[2::2, 1].any()
