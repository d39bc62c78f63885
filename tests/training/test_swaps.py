import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.model.vocabulary import Vocabulary
from vidcaption.training import swaps
from vidcaption.training.swaps import Swaps

ANIMALS = ("dog", "cat", "emu")
FRUITS = ("pear", "plum")
TEXTS = [
    *(f"look at this {each} running away" for each in (*["dog"] * 4, *["cat"] * 4, "emu")),
    *(f"look at some {each} running away" for each in ("dogs", "cats")),
    *(f"people eat one {each} with a spoon" for each in FRUITS),
    *["they found a key of an old car"] * 20,
]
VOCABULARY = Vocabulary.build(TEXTS, 1)


def make(names=(*ANIMALS, *FRUITS, "key", "car"), vocabulary=VOCABULARY, texts=TEXTS) -> Swaps:
    sentences = [vocabulary.encode(text) for text in texts]
    return Swaps(sentences, [vocabulary.id_of(name) for name in names], vocabulary)


def swapped(text: str, times: int = 200, **more) -> list[str]:
    vocabulary = more.get("vocabulary", VOCABULARY)
    made, rng = make(**more), np.random.default_rng(0)
    every = [made.swap(vocabulary.encode(text), rng) for _ in range(times)]
    return [" ".join(vocabulary.decode(swap.sentence)) for swap in every if swap]


def test_names_are_swapped_for_those_that_are_used_like_them():
    assert set(swapped("look at this dog")) == {"look at this cat", "look at this emu"}
    assert set(swapped("people eat one pear")) == {"people eat one plum"}


def test_a_swap_tells_both_names():
    swap = make().swap(VOCABULARY.encode("one plum"), np.random.default_rng(0))
    assert swap and VOCABULARY.decode([swap.old, swap.new]) == ["plum", "pear"]


def test_one_name_is_swapped_everywhere_and_others_stay():
    every = set(swapped("this dog look at some dog eat one pear"))
    assert {text.count("cat") for text in every} == {text.count("emu") for text in every} == {0, 2}
    assert "this dog look at some dog eat one plum" in every and len(every) == 3


def test_articles_follow_the_new_name():
    assert set(swapped("a dog eat a spoon")) == {"a cat eat a spoon", "an emu eat a spoon"}
    assert set(swapped("an emu found an old key")) == {
        "a dog found an old key",
        "a cat found an old key",
    }


def test_rare_names_replace_others_more_often():
    texts = swapped("look at this cat", 900)
    emus = sum("emu" in text for text in texts)
    assert emus / len(texts) == pytest.approx(2 / 3, abs=0.05)  # 1 : 1 / sqrt(4)


def test_plurals_replace_plurals():
    names = ("dog", "dogs", "cat", "cats", "car")
    assert set(swapped("some dogs", names=names)) == {"some cats"}
    assert set(swapped("some dog", names=names)) == {"some cat"}


@pytest.mark.parametrize("text", ["", "a park", "some unknown thing"])
def test_sentences_without_names_stay(text):
    assert swapped(text) == []


def test_names_that_nothing_is_like_stay():
    assert swapped("a dog", names=("dog", "plum")) == []
    assert swapped("a dog", names=()) == []
    assert swapped("a dog", texts=[]) == []


def test_another_language_keeps_its_words():
    texts = ["viele hunde laufen", "viele pferde laufen", *["das ist ein altes auto"] * 9]
    more = {"vocabulary": Vocabulary.build(texts, 1), "texts": texts}
    # an unknown word is no article
    names = ("hunde", "pferde", "auto")
    assert set(swapped("drei hunde", names=names, **more)) == {"<unk> pferde"}


def test_words_of_other_sentences_do_not_tell():
    texts = ["this dog", "runs fast", "this cat", "runs fast", *["an old car"] * 9]
    more = {"names": ("dog", "cat", "car"), "vocabulary": Vocabulary.build(texts, 1)}
    assert swapped("dog", texts=texts, **more)
    texts = ["dog", "runs fast", "cat", "runs fast", *["an old car"] * 9]
    assert not swapped("dog", texts=texts, **more)


def test_frequent_words_tell_how_names_are_used(monkeypatch):
    monkeypatch.setattr(swaps, "CONTEXTS", 0)
    assert swapped("a dog") == []


MADE = make()


@given(st.lists(st.sampled_from(VOCABULARY.words[4:]), max_size=12), st.integers(0, 99))
def test_all_but_one_name_and_its_articles_stay(words, seed):
    sentence = VOCABULARY.encode(" ".join(words))
    swap = MADE.swap(sentence, np.random.default_rng(seed))
    if swap is None:
        assert not {*ANIMALS, *FRUITS} & set(words)
        return
    assert swap.old in sentence and swap.new != swap.old
    articles = set(VOCABULARY.encode("a an"))
    for before, after in zip(sentence, swap.sentence, strict=True):
        if before == swap.old:
            assert after == swap.new
        else:
            assert before == after or {before, after} == articles
