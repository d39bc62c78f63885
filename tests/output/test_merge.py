from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.output.merge import merge_equal
from vidcaption.types import Segment, Word


def words(probability: float) -> tuple[Word, ...]:
    return (Word("dog", probability),)


def test_equal_neighbours_become_one() -> None:
    merged = merge_equal(
        [
            Segment(0, 4, "a dog", -1.0, words(0.1)),
            Segment(4, 8, "a dog", -0.25, words(0.9)),
            Segment(8, 12, "a dog", -0.25, words(0.8)),
            Segment(12, 16, "a cat", -2.0, words(0.2)),
            Segment(16, 20, "a dog", -3.0, words(0.3)),
        ]
    )
    assert list(merged) == [
        Segment(0, 12, "a dog", -0.5, words(0.9)),
        Segment(12, 16, "a cat", -2.0, words(0.2)),
        Segment(16, 20, "a dog", -3.0, words(0.3)),
    ]


def test_overlapping_windows_merge_and_keep_the_last_end() -> None:
    merged = merge_equal([Segment(0, 9, "a dog", -1.0), Segment(2, 6, "a dog", -3.0)])
    assert list(merged) == [Segment(0, 9, "a dog", -2.0)]


@pytest.mark.parametrize(("gap_s", "expected"), [(0.001, 1), (0.002, 2), (1.0, 2)])
def test_only_segments_that_touch_merge(gap_s: float, expected: int) -> None:
    merged = merge_equal([Segment(0, 4, "a dog", -1.0), Segment(4 + gap_s, 8, "a dog", -1.0)])
    assert len(list(merged)) == expected


def test_a_score_of_one_segment_is_left_as_it_is() -> None:
    segment = Segment(0.1, 0.3, "a dog", -0.1 - 0.2)
    assert list(merge_equal([segment])) == [segment]
    assert list(merge_equal([])) == []


def test_streams() -> None:
    taken = []

    def source() -> Iterator[Segment]:
        for start in range(100):
            taken.append(start)
            yield Segment(start, start + 1, f"caption {start // 2}", -1.0)

    assert next(merge_equal(source())) == Segment(0, 2, "caption 0", -1.0)
    assert taken == [0, 1, 2]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 2.0, 3.0]),  # from the last start to this one
            st.sampled_from([0.5, 2.0]),
            st.sampled_from(["a dog", "a cat"]),
            st.floats(-9, 0),
        )
    )
)
def test_properties(rows: list[tuple[float, float, str, float]]) -> None:
    segments, start = [], 0.0
    for step, length, text, score in rows:
        start += step
        segments.append(Segment(start, start + length, text, score))
    merged = list(merge_equal(segments))

    assert list(merge_equal(merged)) == merged
    assert not any(a.text == b.text and b.start_s <= a.end_s for a, b in pairwise(merged))
    for segment in segments:  # each is inside a joined one that says the same
        assert any(
            m.start_s <= segment.start_s and segment.end_s <= m.end_s and m.text == segment.text
            for m in merged
        )
    assert all(-9.001 <= m.score <= 0 for m in merged)
    assert {m.start_s for m in merged} <= {s.start_s for s in segments}
    assert {m.end_s for m in merged} <= {s.end_s for s in segments}
