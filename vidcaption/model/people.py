"""The kinds of people that captions name, by their English words."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from vidcaption.model.vocabulary import UNK, Vocabulary

W = TypeVar("W", bound=Hashable)
_WORDS = {
    "man": "man men guy guys",
    "boy": "boy boys",
    "woman": "woman women lady ladies",
    "girl": "girl girls",
}
KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
CHANGED = 0.4  # what it costs the rank if a neighbouring window names people of other kinds


def kinds_of(vocabulary: Vocabulary) -> dict[int, str]:
    """The kinds of people by the ids of their words."""
    known = {vocabulary.id_of(word): kind for word, kind in KINDS.items()}
    known.pop(UNK, None)
    return known


def who(words: Iterable[W], kinds: Mapping[W, str]) -> frozenset[str]:
    """The kinds of people that a caption names, often none.

    >>> sorted(who("two men and a girl".split(), KINDS))
    ['girl', 'man']
    """
    return frozenset(kinds[word] for word in words if word in kinds)


def contenders(named: Sequence[frozenset[str]], ranks: Sequence[float]) -> list[int]:
    """Which of a window's captions its neighbours may choose: of those with the same people the
    best, unless it is so much worse than the first that both neighbours cannot make up for it.

    ``named``: of the captions, the best first, with their ``ranks``; so the first is a contender.
    """
    chosen: dict[frozenset[str], int] = {}
    for i, (people, rank) in enumerate(zip(named, ranks, strict=True)):
        if rank >= ranks[0] - 2 * CHANGED:
            chosen.setdefault(people, i)
    return list(chosen.values())
