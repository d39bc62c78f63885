from dataclasses import replace
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.model.neighbours import AHEAD, choose
from vidcaption.model.people import CHANGED, contenders
from vidcaption.model.search import Caption

MAN, WOMAN, BOTH, NOBODY = map(frozenset, (["man"], ["woman"], ["man", "woman"], []))


def caption(people, rank, *others):
    return Caption([], torch.empty(0), torch.empty(0), rank, people=people, others=others)


captions = st.builds(
    caption, st.sampled_from([MAN, WOMAN, BOTH, NOBODY]), st.integers(-20, 0).map(lambda n: n / 10)
)
several = st.lists(captions, min_size=1, max_size=4).map(
    lambda every: sorted(every, key=lambda each: -each.rank)
)
videos = st.lists(several, min_size=1, max_size=AHEAD + 1)


def window(every):
    first, *others = every
    return replace(first, others=tuple(others))


def worth(before, path):
    """The ranks along a path, less what changes cost."""
    changes = [a and b and a != b for a, b in pairwise([before, *(c.people for c in path)])]
    return sum(each.rank for each in path) - CHANGED * sum(map(bool, changes))


def test_the_same_people_are_chosen_unless_others_are_much_likelier():
    man, woman = caption(MAN, -1.0), caption(WOMAN, -1.0 - CHANGED + 0.01)
    assert choose(NOBODY, [window([man, woman])]) is not woman
    assert choose(WOMAN, [window([man, woman])]) is woman
    assert choose(MAN, [window([man, woman])]).people == MAN
    much_worse = replace(woman, rank=-1.0 - CHANGED - 0.01)
    assert choose(WOMAN, [window([man, much_worse])]).people == MAN
    dog = window([caption(NOBODY, -1.0), woman])
    assert choose(WOMAN, [dog]).people == NOBODY  # which is no change


def test_what_comes_counts_as_what_was():
    one = window([caption(MAN, -1.0), caption(WOMAN, -1.1)])
    sure = window([caption(WOMAN, -0.5)])
    assert choose(NOBODY, [one]).people == MAN
    assert choose(NOBODY, [one, sure]).people == WOMAN
    assert choose(NOBODY, [one, one, sure]).people == WOMAN
    assert choose(NOBODY, [one, window([caption(NOBODY, -1.0)]), sure]).people == MAN
    assert choose(MAN, [one, sure]).people == MAN  # one change in either case


@given(before=st.sampled_from([MAN, WOMAN, NOBODY]), every=videos)
def test_no_other_way_along_the_windows_is_better(before, every):
    chosen = choose(before, [window(each) for each in every])
    best = max(worth(before, path) for path in product(*every))
    begun = [each for each in every[0] if each.rank == chosen.rank and each.people == chosen.people]
    onwards = max(worth(before, (begun[0], *path)) for path in product(*every[1:]))
    assert onwards == pytest.approx(best)


@given(before=st.sampled_from([MAN, WOMAN, NOBODY]), every=videos)
def test_only_contenders_can_be_chosen(before, every):
    fewer = []
    for each in every:
        kept = contenders([c.people for c in each], [c.rank for c in each])
        assert kept[0] == 0 and kept == sorted(kept)
        named = [each[i].people for i in kept]
        assert len(set(named)) == len(named)
        fewer.append(window([each[i] for i in kept]))
    best = max(worth(before, path) for path in product(*every))
    paths = product(*([each, *each.others] for each in fewer))
    assert max(worth(before, path) for path in paths) == pytest.approx(best)
