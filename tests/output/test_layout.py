from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.output.layout import Cue, blocks, cues
from vidcaption.output.text import one_line
from vidcaption.types import Segment

LONG = "a man in a red coat is riding a brown horse along the beach while two dogs run behind him"


def segment(start_s: float, end_s: float, text: str = "a dog") -> Segment:
    return Segment(start_s, end_s, text, -1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("a dog", [("a dog",)]),
        ("x" * 42, [("x" * 42,)]),
        (
            "a man is riding a horse on the beach at sunset",
            [("a man is riding a horse", "on the beach at sunset")],
        ),
        # Three lines at least, so two cues.
        (
            LONG,
            [
                ("a man in a red coat is riding", "a brown horse along the beach"),
                ("while two dogs run behind him",),
            ],
        ),
        ("x" * 50, [("x" * 42, "x" * 8)]),
        ("a " + "x" * 42, [("a", "x" * 42)]),
        (
            "a man wearing a black-and-white-striped shirt in a room",
            [("a man wearing a black-and-white-striped", "shirt in a room")],
        ),
    ],
)  # fmt: skip
def test_blocks(text: str, expected: list[tuple[str, ...]]) -> None:
    assert blocks(text) == expected


@given(st.text("ab -\n", max_size=400), st.integers(1, 50), st.integers(1, 3))
def test_blocks_fit_and_lose_nothing(text: str, width: int, most: int) -> None:
    found = blocks(text, width, most)
    lines = [line for block in found for line in block]
    assert all(1 <= len(block) <= most for block in found)
    assert all(len(block) == most for block in found[:-1])
    assert all(1 <= len(line) <= width and line == line.strip() for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    if all(len(word) <= width for word in text.split()):
        assert " ".join(lines) == one_line(text)
        # No line could take the first word of the next one within the width of the longest line.
        longest = max(map(len, lines), default=0)
        assert all(len(a) + 1 + len(b.split()[0]) > longest for a, b in pairwise(lines))


@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=16))
def test_two_lines_are_balanced_as_well_as_any_break_allows(words: list[str]) -> None:
    found = blocks(" ".join(words))
    if [len(block) for block in found] == [2]:
        breaks = [
            max(len(" ".join(words[:i])), len(" ".join(words[i:]))) for i in range(1, len(words))
        ]
        assert max(map(len, found[0])) == min(breaks)


def times(found: list[Cue]) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in found]


@pytest.mark.parametrize(
    ("segments", "video_end_s", "expected"),
    [
        # As they are
        ([segment(0, 4), segment(4, 8)], 8, [(0, 4000), (4000, 8000)]),
        # An earlier one ends where the next starts
        ([segment(0, 4), segment(2, 6), segment(4, 8)], 8, [(0, 2000), (2000, 4000), (4000, 8000)]),
        # Too short: one second where there is room, and what there is where there is less
        ([segment(0, 0.2), segment(3, 3.2), segment(3.5, 5)], 5,
         [(0, 1000), (3000, 3500), (3500, 5000)]),
        # The last may reach the end of the video, but not beyond; unless the end is unknown
        ([segment(3, 3.2)], 3.5, [(3000, 3500)]),
        ([segment(3, 3.2)], None, [(3000, 4000)]),
        ([segment(3, 5)], 4, [(3000, 5000)]),
        ([segment(4, 4)], 4, [(4000, 4001)]),
        # Rounding makes no cue empty, and equal or backward starts do not overlap
        ([segment(1.0001, 1.0002), segment(1.0003, 1.0004), segment(0.5, 2)], 2,
         [(1000, 1001), (1001, 1002), (1002, 2000)]),
        ([segment(-0.02, 1)], 1, [(0, 1000)]),
        # No text, no cue, and no cut
        ([segment(0, 4), segment(2, 6, " ")], 8, [(0, 4000)]),
        ([], None, []),
    ],
)  # fmt: skip
def test_cue_times(
    segments: list[Segment], video_end_s: float | None, expected: list[tuple[int, int]]
) -> None:
    assert times(list(cues(segments, video_end_s))) == expected


def test_a_long_text_shares_its_time_by_characters() -> None:
    first, second = list(cues([segment(10, 18, LONG)], 60))
    assert " ".join(first.lines + second.lines) == LONG
    # 2 s go out as minimum, the other 6 s as 58 : 29 characters.
    assert times([first, second]) == [(10000, 15000), (15000, 18000)]


def test_a_long_text_in_too_short_a_time() -> None:
    assert times(list(cues([segment(0, 0.5, LONG), segment(8, 9)]))) == [
        (0, 1000),
        (1000, 2000),
        (8000, 9000),
    ]
    assert times(list(cues([segment(0, 4, LONG), segment(0, 4)]))) == [(0, 1), (1, 2), (2, 4000)]


TEXTS = st.sampled_from(["", "a dog", LONG, LONG * 3, "x" * 100]) | st.text(max_size=100)
SEGMENTS = st.lists(
    st.builds(
        lambda start, length, text: segment(start, start + length, text),
        st.floats(0, 20) | st.integers(0, 20),
        st.floats(0, 5) | st.integers(0, 5),
        TEXTS,
    ),
    max_size=6,
)


@given(SEGMENTS.map(lambda found: sorted(found, key=lambda s: s.start_s)) | SEGMENTS)
def test_cues_go_forward_without_overlap_and_keep_every_word(segments: list[Segment]) -> None:
    found = list(cues(segments))
    assert all(0 <= cue.start_ms < cue.end_ms for cue in found)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))
    assert all(1 <= len(cue.lines) <= 2 for cue in found)
    assert all(1 <= len(line) <= 42 for cue in found for line in cue.lines)
    shown = "".join(line for cue in found for line in cue.lines)
    said = "".join(one_line(s.text) for s in segments)
    assert shown.replace(" ", "") == said.replace(" ", "")
    # Shorter than a second only where the next one follows at once.
    for cue, following in pairwise([*found, None]):
        assert cue is not None
        room_used = following is not None and following.start_ms == cue.end_ms
        assert cue.end_ms - cue.start_ms >= 1000 or room_used


@given(st.lists(st.integers(1000, 5000), min_size=1), st.floats(0.01, 10))
def test_a_second_each_where_starts_are_a_second_apart(steps: list[int], length_s: float) -> None:
    start, segments = 0, []
    for step in steps:
        segments.append(segment(start / 1000, start / 1000 + length_s))
        start += step
    found = list(cues(segments))
    assert [cue.start_ms / 1000 for cue in found] == [s.start_s for s in segments]
    assert all(cue.end_ms - cue.start_ms >= 1000 for cue in found)
