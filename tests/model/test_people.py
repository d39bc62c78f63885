from vidcaption.model.people import CHANGED, KINDS, contenders, kinds_of, who
from vidcaption.model.vocabulary import Vocabulary


def test_people_by_their_words():
    vocabulary = Vocabulary(["a", "ladies", "dog", "guy", "boys", "girl", "and"])
    kinds = kinds_of(vocabulary)
    assert who(vocabulary.encode("a guy and boys and a dog"), kinds) == {"man", "boy"}
    assert who(vocabulary.encode("ladies and a girl"), kinds) == {"woman", "girl"}
    assert who(vocabulary.encode("a dog and a woman"), kinds) == set()  # "woman" is unknown
    assert who(["a", "dog", "and", "a", "woman"], KINDS) == {"woman"}


def test_contenders_are_few():
    man, woman, nobody = frozenset(["man"]), frozenset(["woman"]), frozenset[str]()
    ranks = [-1.0, -1.1, -1.2, -1.0 - 2 * CHANGED, -1.01 - 2 * CHANGED, float("-inf")]
    named = [man, man, nobody, woman, man | woman, frozenset(["girl"])]
    assert contenders(named, ranks) == [0, 2, 3]
    assert contenders([nobody] * 5, [-1.0] * 5) == [0]
