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


@pytest.mark.parametrize(
    ("captions", "least"), [(10, 1), (1999, 1), (2000, 2), (7999, 4), (8000, 5), (40_000, 5)]
)
def test_rare_words_are_kept_where_captions_are_few(captions, least):
    rare = [word for times in range(1, 7) for word in [f"w{times}"] * times]
    texts = rare + ["a"] * (captions - len(rare)) if captions > len(rare) else ["a"] * 9 + ["w1"]
    words = Vocabulary.build(texts).words[4:]
    assert set(words) == {"a"} | {w for w in set(texts) - {"a"} if int(w[1:]) >= least}
    assert Vocabulary(words).unknown(["A w0, w9"]) == {"w0", "w9"}


def test_json_round_trip_keeps_ids():
    plain = Vocabulary(["été", "dog"])
    knowing = Vocabulary(["hot", "dog"], ["hot dog", "dog"], [None, 1])
    labelled = Vocabulary([], labels=["playing a guitar", "Kochen"])
    for vocabulary in (plain, knowing, labelled):
        read = Vocabulary.from_json(vocabulary.to_json())
        assert read.words == vocabulary.words
        assert read.concepts == vocabulary.concepts and read.classes == vocabulary.classes
        assert read.labels == vocabulary.labels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "vocab.json, line 1, column 2: not JSON"),
        ("{}", "list of words"),
        ('{"words": ["a"], "odd": 1}', "unknown fields: 'odd'"),
        ('{"words": ["a"], "concepts": ["dog"]}', "concept 'dog'; concepts must consist of"),
        ('{"words": ["a"], "concepts": [""]}', "concept ''"),
        ('{"words": ["a"], "concepts": [1]}', "concept 1"),
        ('{"words": ["a"], "concepts": 1}', "concepts must be a list"),
        ('{"words": ["a"], "concepts": ["a", "a"]}', "contains a concept twice"),
        ('{"words": ["a"], "concepts": ["a"], "classes": [1]}', "maps a class to 1; .* 0 to 0"),
        ('{"words": ["a"], "concepts": ["a"], "classes": ["a"]}', "maps a class to 'a'"),
        ('{"words": ["a"], "concepts": ["a"], "classes": {}}', "classes must be a list"),
        ('{"words": ["a"], "concepts": ["a"], "objects": {}}', "objects must be a list"),
        ('{"words": ["a"], "concepts": ["a"], "objects": [1]}', "objects must be from 0 to 0"),
        ('{"words": ["a"], "concepts": ["a"], "objects": [0, 0]}', "an object twice"),
        ('{"words": [], "labels": [" "]}', "label ' '; a label is a printable text"),
        ('{"words": [], "labels": [["a"]]}', "label .'a'.; a label"),
        ('{"words": [], "labels": ["a", "a"]}', "holds a label twice"),
        ('{"words": [], "labels": "a"}', "labels must be a list"),
        ('{"words": [], "things": [""]}', "the thing ''; a thing is a printable text"),
        ('{"words": [], "predicates": ["on", "on"]}', "holds a predicate twice"),
        ("[1, 2]", "list of words"),
        ('["a", "a"]', "twice"),
        ('["<unk>"]', "twice"),
    ],
)
def test_broken_files_are_refused(text, reason):
    with pytest.raises(ModelError, match=reason):
        Vocabulary.from_json(text)
