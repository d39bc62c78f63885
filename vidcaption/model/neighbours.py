"""Who is seen should not change between neighbouring windows without cause.

A window is captioned by itself, so that windows can be batched, resumed and distributed. Which of
its likeliest captions it gets is decided afterwards, along the video.
"""

from collections.abc import Sequence

from vidcaption.model.people import CHANGED
from vidcaption.model.search import Caption

AHEAD = 2  # windows that a choice looks ahead; more change nothing


def choose(before: frozenset[str], windows: Sequence[Caption]) -> Caption:
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
