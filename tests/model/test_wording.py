from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.model.wording import REPEATED, Repeated, begins_with_vowel, wording
from vidcaption.options.captioning import SearchOptions

WORDS = "a an the and of dog dogs airplane hour uniform tv stove top box boxes baby babies house"
ENGLISH = Vocabulary(WORDS.split())
GERMAN = Vocabulary(["der", "die", "und", "hund", "roter", "ball"], ["hund", "roter ball"])


def following(said, vocabulary=ENGLISH):
    """By word, what the filters make of a log-probability of 0 behind these words."""
    log_probs = torch.zeros(2, 3, len(vocabulary))
    words = torch.tensor(vocabulary.encode(said), dtype=torch.long).expand(2, 3, -1)
    for change in wording(vocabulary):
        change(log_probs, words)
    assert (log_probs == log_probs[0, 0]).all()
    return dict(zip(vocabulary.words, log_probs[0, 0].tolist(), strict=True))


def test_the_first_word_may_be_any():
    assert set(following("").values()) == {0.0}


def test_what_follows_an_article_fits_to_it():
    never = {word for word, x in following("the dog and a").items() if x == -torch.inf}
    assert never == {"a", "an", "and", "of", "airplane", "hour"}
    never = {word for word, x in following("the dog and an").items() if x == -torch.inf}
    assert never == set(WORDS.split()) - {"and", "of", "airplane", "hour", "tv"}
    assert -torch.inf not in following("a dog and").values()


@pytest.mark.parametrize(
    ("word", "vowel"),
    [
        ("elephant", True), ("umbrella", True), ("uncut", True), ("umpire", True), ("usher", True),
        ("hour", True), ("honest", True), ("upset", True), ("old", True), ("unidentified", True),
        ("uniform", False), ("university", False), ("used", False), ("european", False),
        ("one", False), ("utensil", False), ("urinal", False), ("ukulele", False), ("ufc", False),
        ("house", False), ("yellow", False), ("dog", False), ("honda", False),
    ],
)  # fmt: skip
def test_sounds(word, vowel):
    assert begins_with_vowel(word) is vowel


def test_words_cost_more_again_in_any_number():
    costs = following("a dog and boxes of")
    assert {word for word, x in costs.items() if x} == {"dog", "dogs", "box", "boxes"}
    assert costs["dogs"] == costs["box"] == -REPEATED
    assert following("babies and")["baby"] == -REPEATED
    assert following("the dogs the dogs")["dog"] == -REPEATED  # once, however often it is there


def test_in_another_language_concepts_alone_cost_more_again():
    costs = following("der hund und die roter", GERMAN)
    assert {word for word, x in costs.items() if x} == {"hund", "roter"}


@given(st.lists(st.integers(0, 7), max_size=9))
def test_the_penalty_does_not_depend_on_how_often(said):
    penalty, forms = torch.arange(8.0), torch.arange(8).unsqueeze(-1)
    log_probs = torch.zeros(1, 1, 8)
    Repeated(penalty, forms)(log_probs, torch.tensor(said, dtype=torch.long).view(1, 1, -1))
    assert log_probs.flatten().tolist() == [-x * (x in said) for x in range(8)]


@pytest.fixture(scope="module")
def network():
    small = {"image_size": 64, "size": 8, "attention_heads": 2, "embedding": 8}
    return CaptionNetwork(ModelConfig.flat(**small), ENGLISH).eval()


@given(st.integers(0, 1000), st.integers(1, 4))
def test_captions_are_worded_so(network, seed, beam):
    random = torch.Generator().manual_seed(seed)
    for parameter in network.decoder.parameters():
        parameter.data.normal_(generator=random)
    network.decoder.bias.data[ENGLISH.encode("a an airplane")] += 3
    features = torch.randn(4, 1, 4, 1280, generator=random)
    for caption in network.caption(features, SearchOptions(beam=beam, max_words=8)):
        said = ENGLISH.decode(caption.ids)
        for article, word in pairwise(said):
            assert article != "a" or not begins_with_vowel(word)
            assert article != "an" or begins_with_vowel(word) or word == "tv"
