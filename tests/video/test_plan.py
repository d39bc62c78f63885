"""The plan is checked against a decoder that knows what each picture is predicted from.

It assumes the worst that a codec allows: a picture needs all pictures stored before it that others
may be predicted from, back to the last start; one that leads (stored after a start, shown before
it) also needs those before that start.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcaption.options.captioning import Sampling
from vidcaption.video import plan as module
from vidcaption.video.clock import Clock
from vidcaption.video.packets import Role, UnsureError
from vidcaption.video.plan import DEPTH, MAX_OLDER_S, MIN_SAVED, Picture, Plan, checked

TICK_S = 0.1
IDR = Role(key=True, start=True, resets=True, droppable=False, settings=True)
CRA = Role(key=True, start=True, resets=False, droppable=False)  # pictures may lead it
INTRA = Role(key=True, start=False, resets=False, droppable=False)
P = Role(key=False, start=False, resets=False, droppable=False)
B = Role(key=False, start=False, resets=False, droppable=True, between=True)
Stream = list[Picture]


def stored(roles: Sequence[Role], shown: Sequence[int], size: int = 100) -> Stream:
    """Pictures in the order stored; ``shown``: the time of each in ticks."""
    return [
        Picture(pts=pts, dts=number, duration=1, size=size, role=role)
        for number, (role, pts) in enumerate(zip(roles, shown, strict=True))
    ]


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Groups of pictures of all kinds, with frames of irregular length."""
    roles: list[Role] = []
    ranks: list[float] = []  # of each in the order shown; a start comes between two whole numbers
    turn = count()
    for number in range(draw(st.integers(1, 5))):
        start = draw(st.sampled_from([IDR, CRA, CRA, INTRA])) if number else IDR
        with_settings = start is IDR or draw(st.booleans())
        roles.append(start._replace(settings=with_settings))
        leading = 0 if start is IDR else draw(st.integers(0, 3))
        roles += [draw(st.sampled_from([B, P])) for _ in range(leading)]
        leads = [next(turn) for _ in range(leading)]
        ranks += [next(turn), *leads]
        for _ in range(draw(st.integers(0, 6))):
            between = draw(st.integers(0, 3))
            roles += [P._replace(settings=draw(st.integers(0, 9)) == 0)] + [B] * between
            ahead = [next(turn) for _ in range(between)]
            ranks += [next(turn), *ahead]
    steps = draw(st.lists(st.integers(1, 9), min_size=len(roles), max_size=len(roles)))
    times = dict(zip(sorted(ranks), accumulate(steps, initial=0), strict=False))
    pictures = stored(roles, [times[rank] for rank in ranks])
    hidden = draw(st.integers(0, len(pictures) - 1) | st.just(0))
    for picture in sorted(pictures, key=lambda each: each.pts)[:hidden]:
        picture.discard = True  # as players are told of a cut amid a group of pictures
    return pictures


times = st.lists(st.floats(-1, 30), min_size=1, max_size=8).map(sorted)
planned = settings(deadline=None, max_examples=150)


@dataclass
class Planned:
    decoded: Stream
    due: Stream
    end_s: float

    def answer(self, time_s: float) -> Picture | None:
        """The picture that the reader would give for a time."""
        return next((each for each in self.due if time_s < each.until_s), None)


def clock() -> Clock:
    return Clock(Fraction(1, 10), TICK_S, 0)


def plan(pictures: Stream, times_s: Sequence[float] | None, sampling: Sampling) -> Planned:
    made: Plan[Picture] = Plan(times_s, sampling)
    decoded = list(made.decide(pictures, clock()))
    return Planned(decoded, list(made.due), made.end_s)


def starts_s(pictures: Stream) -> list[float]:
    return [each.pts / 10 for each in pictures]


def in_order_shown(pictures: Stream) -> Stream:
    return sorted((each for each in pictures if not each.discard), key=lambda each: each.pts)


def assert_decodable(pictures: Stream, planned: Planned) -> None:
    """All that is asked for is decoded, in the order stored, and from what it needs."""
    place = {id(each): number for number, each in enumerate(pictures)}
    order = [place[id(each)] for each in planned.decoded]
    assert order == sorted(set(order))
    assert {place[id(each)] for each in planned.due} <= set(order)
    have: set[int] = set()
    sent: set[int] = set()
    for number in order:
        picture = pictures[number]
        if picture.flush or picture.role.resets:
            have = set()
        starts = [i for i in range(number + 1) if pictures[i].role.start]
        if pictures[starts[-1]].pts > picture.pts:  # it leads
            starts.pop()
        own = pictures[starts[-1]]
        needs = {i for i in range(starts[-1], number) if not pictures[i].role.droppable}
        if starts[-1] != number and own.pts < picture.pts:
            # what follows a start is predicted from nothing that leads it
            needs -= {i for i in needs if pictures[i].pts < own.pts}
        if not picture.role.key:
            assert needs <= have, f"{number} lacks {needs - have}"
        told = [i for i in range(number + 1) if pictures[i].role.settings]
        sent.add(number)
        assert told[-1] in sent
        have.add(number)


@planned
@given(pictures=streams(), times_s=times)
def test_exact_gives_what_is_shown(pictures: Stream, times_s: list[float]) -> None:
    shown = in_order_shown(pictures)
    made = plan(pictures, times_s, "exact")
    assert_decodable(pictures, made)
    ends_s = [*starts_s(shown)[1:], shown[-1].pts / 10 + TICK_S]
    expected = []
    for time_s in times_s:
        at = max(bisect_right(starts_s(shown), time_s) - 1, 0)
        if time_s < ends_s[-1]:
            expected.append(shown[at])
            assert made.answer(time_s) is shown[at]
    if times_s[-1] >= ends_s[-1]:
        assert made.end_s == ends_s[-1]
        expected.append(shown[-1])  # to see that it is there
    assert made.due == list(dict.fromkeys(expected))
    for picture in made.due:
        assert picture.start_s == picture.pts / 10
        assert picture.until_s == ends_s[shown.index(picture)]


@planned
@given(pictures=streams(), times_s=times)
def test_exact_decodes_no_more_than_it_must(pictures: Stream, times_s: list[float]) -> None:
    made = plan(pictures, times_s, "exact")
    needed = {id(each) for each in made.due}
    for number, picture in enumerate(made.decoded):
        if id(picture) in needed:
            continue
        assert not picture.role.droppable
        # something that is needed builds on it, unless dropping it would not be worth while
        later = made.decoded[number + 1 :]
        new = next((i for i, each in enumerate(later) if each.flush or each.role.resets), None)
        assert any(id(each) in needed for each in later[:new])


@planned
@given(pictures=streams(), times_s=times)
def test_fast_gives_references_nearby(pictures: Stream, times_s: list[float]) -> None:
    made = plan(pictures, times_s, "fast")
    assert_decodable(pictures, made)
    assert not any(each.role.droppable for each in made.decoded)
    shown = [each for each in in_order_shown(pictures) if not each.role.droppable]
    end_s = in_order_shown(pictures)[-1].pts / 10 + TICK_S
    for time_s in times_s:
        if not shown or time_s >= end_s:
            continue
        middles_s = [(a + b) / 2 for a, b in pairwise(starts_s(shown))]
        nearest = bisect_right(middles_s, time_s)
        answer = made.answer(time_s)
        assert answer is not None
        given = shown.index(answer)
        assert given <= nearest
        assert (shown[nearest].pts - shown[given].pts) * TICK_S <= MAX_OLDER_S + 1e-6
        assert not any(each.role.key for each in shown[given + 1 : nearest + 1])


@planned
@given(pictures=streams(), times_s=times)
def test_keyframes_gives_the_last_key_frame(pictures: Stream, times_s: list[float]) -> None:
    made = plan(pictures, times_s, "keyframes")
    assert made.decoded == sorted(made.due, key=pictures.index)
    shown = [each for each in in_order_shown(pictures) if each.role.key]
    end_s = in_order_shown(pictures)[-1].pts / 10 + TICK_S
    for time_s in times_s:
        if shown and time_s < end_s:
            at = max(bisect_right(starts_s(shown), time_s) - 1, 0)
            assert made.answer(time_s) is shown[at]
    assert all(each.flush != each.role.resets for each in made.decoded)


@planned
@given(pictures=streams(), sampling=st.sampled_from(["fast", "keyframes"]))
def test_without_times_all_candidates_are_given(pictures: Stream, sampling: Sampling) -> None:
    made = plan(pictures, None, sampling)
    shown = in_order_shown(pictures)
    expected = [each for each in shown if each.role.key or sampling == "fast"]
    assert made.due == [each for each in expected if not each.role.droppable]


def groups(number: int, size: int, role: Role) -> Stream:
    """Groups of pictures that are all predicted from the one before."""
    roles = [IDR if at == 0 else role if at % size == 0 else P for at in range(number * size)]
    return stored(roles, range(number * size))


@pytest.mark.parametrize("role", [IDR, CRA._replace(settings=True)])
def test_groups_without_an_asked_frame_are_dropped(role: Role) -> None:
    pictures = groups(4, 10, role)
    assert plan(pictures, [3.15, 3.2], "exact").decoded == pictures[30:33]
    assert pictures[30].flush != role.resets


def test_short_groups_are_not_worth_emptying_the_decoder() -> None:
    for size, dropped in ((MIN_SAVED, True), (MIN_SAVED - 1, False)):
        pictures = groups(2, size, CRA._replace(settings=True))
        made = plan(pictures, [size * TICK_S + 0.05], "exact")
        assert made.decoded == pictures[size if dropped else 0 : size + 1]
        assert pictures[size].flush == dropped


def test_settings_are_not_dropped() -> None:
    """A start without any of its own may need those of a picture before it."""
    for with_settings in (True, False):
        pictures = groups(2, 10, CRA._replace(settings=with_settings))
        made = plan(pictures, [1.05], "exact")
        assert made.decoded == pictures[10 if with_settings else 0 : 11]


def leading() -> Stream:
    """Ten pictures, and a start with three that are stored after it and shown before it."""
    roles = [IDR, *[P] * 9, CRA._replace(settings=True), B, P, B, P]
    return stored(roles, [*range(10), 13, 10, 11, 12, 14])


def test_leading_pictures_that_are_asked_for_need_the_group_before() -> None:
    pictures = leading()
    made = plan(pictures, [1.05], "exact")
    assert made.decoded == [*pictures[:11], pictures[11]]
    assert not any(each.flush for each in pictures)


def test_leading_pictures_are_left_out_where_decoding_starts() -> None:
    pictures = leading()
    made = plan(pictures, [1.35, 1.45], "exact")
    assert made.decoded == [pictures[10], pictures[14]]
    assert pictures[10].flush and not pictures[14].flush


def test_the_end_of_an_exact_pass_is_decoded() -> None:
    """Or a file that is cut off would look whole."""
    pictures = groups(2, 10, IDR)
    made = plan(pictures, [0.05, 99.0], "exact")
    assert made.decoded == [pictures[0], *pictures[10:]]
    assert made.due == [pictures[0], pictures[-1]]
    assert made.end_s == pictures[-1].until_s == pytest.approx(2.0)
    assert plan(groups(2, 10, IDR), [0.05], "exact").end_s < 2.0
    for sampling in ("fast", "keyframes"):
        assert len(plan(groups(2, 10, IDR), [0.05, 99.0], sampling).due) == 1


def test_what_is_held_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of pictures may be as long as the video."""
    monkeypatch.setattr(module, "MAX_HELD_BYTES", 1000)
    read = 0

    def long() -> Iterator[Picture]:
        nonlocal read
        for read in range(1000):
            yield Picture(pts=read, dts=read, duration=1, size=100, role=P if read else IDR)

    made: Plan[Picture] = Plan([1e9], "exact")
    decisions = made.decide(long(), clock())
    for first in (0, 11, 22):
        assert next(decisions).pts == first
        assert read == first + 11 + DEPTH  # eleven are held, and none of them before
        assert [next(decisions).pts for _ in range(10)] == list(range(first + 1, first + 11))
    dropped = plan(groups(3, 8, IDR), [0.0, 1.65], "exact")
    assert [each.pts for each in dropped.decoded] == [0, 16]


def test_before_and_after_a_stream_without_pictures() -> None:
    made: Plan[Picture] = Plan([0.0], "exact")
    assert (made.end_s, made.shows) == (0.0, False)
    assert not list(made.decide([], clock()))
    assert (made.end_s, made.shows, list(made.due)) == (0.0, False, [])
    list(made.decide(groups(1, 2, IDR), clock()))
    assert made.shows


def test_it_stops_reading_when_all_times_are_answered() -> None:
    read: list[int] = []

    def pictures() -> Iterator[Picture]:
        for each in groups(1, 1000, IDR):
            read.append(each.pts)
            yield each

    list(Plan[Picture]([0.55], "exact").decide(pictures(), clock()))
    assert len(read) <= 5 + DEPTH + 3


def test_pictures_that_are_never_shown() -> None:
    pictures = groups(1, 100, IDR)
    pictures[0].discard = pictures[-1].discard = True
    source = iter(pictures)
    made: Plan[Picture] = Plan([0.15, 99.0], "exact")
    decisions = made.decide(source, clock())
    assert [next(decisions).pts, next(decisions).pts] == [0, 1]
    assert len(list(source)) >= 100 - DEPTH - 4  # they do not hold up what follows
    made = Plan([0.15, 99.0], "exact")
    assert list(made.decide(pictures, clock())) == pictures[:-1]
    assert (made.end_s, [each.pts for each in made.due]) == (9.9, [1, 98])


def test_two_pictures_at_one_time_are_odd() -> None:
    with pytest.raises(UnsureError):
        plan(stored([IDR, P, P], [0, 1, 1]), [0.0, 9.0], "exact")


def test_a_picture_stored_too_far_from_its_turn_is_odd() -> None:
    pictures = stored([IDR] + [P] * (DEPTH + 2), [5, *range(10, DEPTH + 11), 0])
    with pytest.raises(UnsureError):
        plan(pictures, [99.0], "exact")


def odd(reorders: bool, *pictures: tuple[Role, int, int | None], origin: int | None = 0) -> bool:
    """Whether pictures of (role, pts, dts) raise UnsureError."""
    stream = [
        Picture(pts=pts, dts=dts, duration=1, size=1, role=role) for role, pts, dts in pictures
    ]
    try:
        passed = list(checked(stream, reorders, Clock(Fraction(1, 10), TICK_S, origin)))
    except UnsureError:
        return True
    assert passed == stream
    return False


def test_odd_timestamps() -> None:
    assert not odd(False, (IDR, 0, 0), (P, 1, 1), (P, 5, 5))
    assert odd(False, (IDR, 0, 0), (P, 2, 1), (P, 1, 2))  # back, though nothing is reordered
    assert not odd(True, (IDR, 0, 0), (P, 2, 1), (B, 1, 2))
    assert not odd(True, (IDR, 0, 0), (P, 3, 1), (B, 1, 2), (B, 2, 3))  # both before the P
    assert odd(True, (IDR, 0, 0), (P, 1, 1), (B, 2, 2))  # not back: in the order stored
    assert odd(True, (IDR, 0, 0), (P, 1, 0))  # stored at the same time, or before
    assert odd(True, (IDR, 0, 5), (P, 1, None), (P, 2, 4))
    assert not odd(True, (IDR, 0, None), (P, 1, None), (P, 2, 4))
    assert odd(False, (P._replace(ends=True), 0, 0), (IDR, 1, 1))  # after the end of a sequence
    assert not odd(False, (IDR, 0, 0), (P._replace(ends=True), 1, 1))


def test_a_start_that_is_not_told_needs_a_first_frame_that_is_certain() -> None:
    for first in (P, CRA, INTRA):
        assert odd(True, (first, 0, 0), origin=None)
        assert not odd(True, (first, 0, 0), origin=0)
    assert not odd(True, (IDR, 0, 0), (P, 1, 1), origin=None)
