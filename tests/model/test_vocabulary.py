import pytest

from vidcaption.errors import ModelError
from vidcaption.model.vocabulary import EOS, UNK, Vocabulary, tokenize


def test_tokens_are_lower_case_words_without_punctuation():
    assert tokenize("A man's T-shirt, “wet” -- 2 dogs!") == [
        "a",
        "man's",
        "t-shirt",
        "wet",
        "2",
        "dogs",
    ]


def test_builds_from_frequent_words_most_frequent_first():
    vocabulary = Vocabulary.build(["a dog runs", "a dog", "a cat"], min_count=2)
    assert vocabulary.words[4:] == ("a", "dog")
    assert vocabulary.encode("A dog flies") == [4, 5, UNK]
    assert vocabulary.decode([5, EOS]) == ["dog", "<eos>"]


def test_json_round_trip_keeps_ids():
    vocabulary = Vocabulary(["été", "dog"])
    assert Vocabulary.from_json(vocabulary.to_json()).words == vocabulary.words


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("{}", "list of words"),
        ("[1, 2]", "list of words"),
        ("[]", "0 words"),
        ('["a", "a"]', "twice"),
        ('["<unk>"]', "twice"),
    ],
)
def test_broken_files_are_refused(text, reason):
    with pytest.raises(ModelError, match=reason):
        Vocabulary.from_json(text)
