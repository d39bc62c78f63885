"""Who is seen: it should not change between neighbouring windows without cause.

A window is captioned by itself, so that windows can be batched, resumed and distributed. Which of
its likeliest captions it gets is decided afterwards, along the video.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from vidcaption.model.vocabulary import UNK, Vocabulary

if TYPE_CHECKING:
    from vidcaption.model.search import Caption

W = TypeVar("W", bound=Hashable)
_WORDS = {
    "man": "man men guy guys",
    "boy": "boy boys",
    "woman": "woman women lady ladies",
    "girl": "girl girls",
}
KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
CHANGED = 0.4  # what it costs the rank if a neighbour names people of other kinds
AHEAD = 2  # windows that a choice looks ahead; more change nothing


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


def choose(before: frozenset[str], windows: "Sequence[Caption]") -> "Caption":
    """The caption of the first of neighbouring windows: of its contenders, that from which the sum
    of ranks along the windows, less what changes cost, can be highest (Viterbi 1967).

    ``before``: who was named in the window before.
    """
    worth: list[tuple[Caption, float]] = []
    for window in reversed(windows):
        worth = [
            (each, each.rank + max((w - _cost(each.people, c.people) for c, w in worth), default=0))
            for each in (window, *window.others)
        ]
    return max(worth, key=lambda each: each[1] - _cost(before, each[0].people))[0]


def _cost(people: frozenset[str], others: frozenset[str]) -> float:
    return CHANGED if people and others and people != others else 0.0
