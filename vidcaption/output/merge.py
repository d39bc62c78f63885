"""Merges consecutive segments with equal captions."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from vidcaption.types import Segment

# Window bounds are sums of floats: an end and a start that should be equal may differ slightly.
TOUCH_S = 0.001


def merge_equal(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Join consecutive segments with equal text that overlap or lie at most ``TOUCH_S`` apart.

    A joined segment runs from the first start to the last end and has the words, concepts and
    vector of the part with the best score, and its confidence. Its own score is the mean over all
    words of all parts, which is the mean of the parts' scores, as equal texts have equally many
    words.
    It streams, and holds one segment at a time.
    """
    merged: Segment | None = None
    best = total = 0.0
    parts = 0
    for segment in segments:
        if (
            merged is not None
            and segment.text == merged.text
            and segment.start_s <= merged.end_s + TOUCH_S
        ):
            parts += 1
            total += segment.score
            part = segment if segment.score > best else merged
            best = max(best, segment.score)
            end_s = max(merged.end_s, segment.end_s)
            merged = replace(part, start_s=merged.start_s, end_s=end_s, score=total / parts)
        else:
            if merged is not None:
                yield merged
            merged, parts, best, total = segment, 1, segment.score, segment.score
    if merged is not None:
        yield merged
