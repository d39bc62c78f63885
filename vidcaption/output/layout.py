"""Segments to subtitle cues: lines that fit a screen, times that ascend without overlap."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from vidcaption.output.text import milliseconds, one_line
from vidcaption.types import Segment

WIDTH = 42  # characters per line
MOST_LINES = 2  # per cue
SHORTEST_MS = 1000  # on screen, where there is room


@dataclass(frozen=True, slots=True)
class Cue:
    """What a subtitle file shows from ``start_ms`` to ``end_ms``, in whole milliseconds."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def blocks(text: str, width: int = WIDTH, most: int = MOST_LINES) -> list[tuple[str, ...]]:
    """``text`` as blocks of lines for consecutive cues; no block for an empty text.

    A block has at most ``most`` lines of at most ``width`` characters. There are as few lines as
    possible, and they are about equally long. Lines break between words; only a word longer than
    ``width`` is itself broken.
    """
    words = one_line(text).split(" ")
    pieces = [word[i : i + width] for word in words for i in range(0, len(word), width)]
    joined = " ".join(pieces)
    fewest = len(_fill(joined, width))
    if not fewest:
        return []
    # Balanced: the narrowest width that needs no further line. It is at least the mean length of
    # the lines (each break takes one space away) and the longest word.
    mean = -(-(len(joined) - fewest + 1) // fewest)
    narrowest = max(mean, *map(len, pieces))
    lines = next(
        lines
        for lines in (_fill(joined, tried) for tried in range(narrowest, width + 1))
        if len(lines) == fewest
    )
    return [tuple(lines[i : i + most]) for i in range(0, fewest, most)]


def cues(segments: Iterable[Segment], video_end_s: float | None = None) -> Iterator[Cue]:
    """Segments, in order of their starts, as cues that follow one another without overlap.

    A segment that runs into the next is cut at the next one's start. A cue lasts at least
    ``SHORTEST_MS`` where the next start, and for the last cue ``video_end_s`` (seconds), leave
    room; it never lasts less than 1 ms, and pushes the next one back if it must. A text too long
    for one cue is spread over several. Segments without text have no cue.
    """
    placed = _placed(segments)
    current = next(placed, None)
    while current is not None:
        following = next(placed, None)
        start, end, parts = current
        extended = max(end, start + SHORTEST_MS * len(parts))
        if following is not None:
            end = min(extended, following[0])
        elif video_end_s is not None:
            end = min(extended, max(end, start + len(parts), milliseconds(video_end_s)))
        else:
            end = extended
        bounds = _shared(start, end, [sum(map(len, lines)) for lines in parts])
        for (cue_start, cue_end), lines in zip(pairwise(bounds), parts, strict=True):
            yield Cue(cue_start, cue_end, lines)
        current = following


def _fill(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _placed(segments: Iterable[Segment]) -> Iterator[tuple[int, int, list[tuple[str, ...]]]]:
    """Start and end in ms and blocks of each segment with text; starts leave 1 ms per block."""
    earliest = 0
    for segment in segments:
        parts = blocks(segment.text)
        if parts:
            start = max(earliest, milliseconds(segment.start_s))
            earliest = start + len(parts)
            yield start, milliseconds(segment.end_s), parts


def _shared(start: int, end: int, characters: Sequence[int]) -> list[int]:
    """Bounds in ms of consecutive cues: the shortest time for each, the rest by characters."""
    least = min(SHORTEST_MS, (end - start) // len(characters))
    spare = end - start - least * len(characters)
    before = accumulate(characters, initial=0)
    return [start + least * i + spare * count // sum(characters) for i, count in enumerate(before)]
