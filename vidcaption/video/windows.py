"""Splits a video into windows at fixed times, or one window, and samples their frames."""

import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import chain, count, islice

from vidcaption.errors import InputError
from vidcaption.options.base import WHOLE
from vidcaption.options.captioning import SHORTEST, CaptionOptions
from vidcaption.types import Frame, Span, Window
from vidcaption.video.cuts import CutFinder
from vidcaption.video.plan import MAX_OLDER_S
from vidcaption.video.reader import VideoReader

MOST_TIMES = 10_000_000  # at which a video is sampled
REMAINDER = 1 / 2  # of a window: up to this, what is left beside a cut joins the next window
LONGEST = 1 + REMAINDER  # windows: anything longer is split
LEAD_S = 2 * MAX_OLDER_S  # of sampled times, which may affect the frames for later ones

_Sampled = tuple[Span, list[Frame]]  # and the frames of its first times


def fixed_spans(duration_s: float, options: CaptionOptions) -> Iterator[Span]:
    """Spans of ``window_s``, one every ``stride_s``, from ``start_s`` to the first of both ends.

    The last span ends with the video. If it is shorter than a quarter window, the one before is
    extended instead; with gaps between windows (a stride above the window) it is dropped.
    """
    window_s = options.window_s
    stride_s = options.stride_s or window_s
    end_s = duration_s if options.end_s is None else min(duration_s, options.end_s)
    for index in count():
        start_s = options.start_s + index * stride_s
        if start_s >= end_s:
            return
        next_s = options.start_s + (index + 1) * stride_s
        until_s = next_s + (window_s - stride_s)  # exactly next_s if windows touch
        last = until_s >= end_s or end_s - next_s < window_s * SHORTEST
        if last:
            until_s = end_s if stride_s <= window_s else min(until_s, end_s)
        yield Span(start_s, until_s, centres(start_s, until_s, options.frames))
        if last:
            return


def fixed_windows(
    reader: VideoReader, options: CaptionOptions, finder: CutFinder | None = None, first: int = 0
) -> Iterator[Window]:
    """Windows of ``frames`` frames each, from the one of this number, while the video is decoded.

    If the stream ends before the container's duration, or after it, so do the windows. A still
    image is one window of ``window_s`` seconds, whatever the start and end. A ``finder`` looks for
    cuts in the same pass.
    """
    duration_s = reader.info.duration_s
    if duration_s is None:
        yield still_window(reader, options)
        return
    empty = first == 0 and duration_s < math.inf  # a live stream cannot be read twice
    for window in _windows(reader, options, duration_s, finder, first):
        empty = False
        yield window
    if empty and options.start_s < reader.end_s:  # very short, and now it is known how short
        yield from _windows(reader, options, reader.end_s, finder)


def first_after(done: tuple[float, float] | None, options: CaptionOptions) -> int:
    """The number of the fixed window at which sampling must begin for those after ``done``, the
    start and end of one, to be the same as if it had begun with the video."""
    if done is None:
        return 0
    before_s = done[0] - options.start_s - options.window_s - LEAD_S
    return max(0, int(before_s / (options.stride_s or options.window_s)))


def whole_windows(reader: VideoReader, options: CaptionOptions) -> Iterator[Window]:
    """One window for all from ``start_s`` to ``end_s``, its frames spread evenly over it.

    They are spread over the container's duration while the stream is read to its end. If the actual
    duration differs by more than half the time between two frames, it is read again.
    """
    if reader.info.duration_s is None:
        yield still_window(reader, options)
        return
    start_s = options.start_s
    latest_s = math.inf if options.end_s is None else options.end_s
    end_s = max(start_s, min(reader.info.duration_s, latest_s))
    frames = _spread(reader, options, end_s, latest_s)
    known_s = min(reader.end_s, latest_s)
    if abs(known_s - end_s) >= (end_s - start_s) / options.frames / 2 and known_s > start_s:
        frames = _spread(reader, options, known_s, latest_s)
    if known_s > start_s:
        yield Window(start_s, known_s, frames)


def _spread(
    reader: VideoReader, options: CaptionOptions, end_s: float, latest_s: float
) -> tuple[Frame, ...]:
    """Frames at the centres of equal slices up to ``end_s``; reads the stream to ``latest_s``."""
    times_s = centres(options.start_s, end_s, options.frames)
    return tuple(reader.frames(chain(times_s, [latest_s])))[: options.frames]


def still_window(reader: VideoReader, options: CaptionOptions) -> Window:
    """The one window of a still image, of one frame: it lasts ``window_s``, so as to be a cue."""
    (frame,) = reader.frames([0.0])
    length_s = CaptionOptions.window_s if options.window_s == WHOLE else options.window_s
    return Window(0.0, length_s, (frame,))


def centres(start_s: float, end_s: float, number: int) -> tuple[float, ...]:
    """The centres of ``number`` equal slices, in seconds."""
    assert number > 0  # the number of frames was to be set to the model's, see ``of_model``
    return tuple(start_s + (i + 0.5) * (end_s - start_s) / number for i in range(number))


def shown(frames: Sequence[Frame], times_s: Iterable[float]) -> tuple[Frame, ...]:
    """For each time the frame that is shown then; ``frames`` are in order."""
    starts_s = [frame.pts_s for frame in frames]
    return tuple(frames[max(0, bisect(starts_s, time_s) - 1)] for time_s in times_s)


def _windows(
    reader: VideoReader,
    options: CaptionOptions,
    duration_s: float,
    finder: CutFinder | None,
    first: int = 0,
) -> Iterator[Window]:
    """The windows of a video of this expected duration, from the one of this number on."""
    # The reader's thread consumes the times, so the spans are computed again for the frames.
    drawn: Iterator[Span] = islice(_spans(duration_s, options), first, None)
    if duration_s < math.inf:
        drawn = _limited(drawn, reader.info.path)
    times_s = (time_s for time_s, *_ in _schedule(drawn))
    frames = finder.frames(reader, times_s) if finder else reader.frames(times_s)
    schedule = _schedule(islice(_spans(duration_s, options), first, None))
    waiting: dict[int, _Sampled] = {}
    for (time_s, number, _, span), frame in zip(schedule, frames, strict=False):
        # A window is held until it is certain that no short remainder has to join it.
        for earlier, (passed, picked) in list(waiting.items()):
            if time_s >= passed.end_s + options.window_s * SHORTEST:
                del waiting[earlier]
                yield Window(passed.start_s, passed.end_s, tuple(picked))
        waiting.setdefault(number, (span, []))[1].append(frame)
    yield from _last_windows(waiting.values(), reader.end_s, options)


def _last_windows(
    sampled: Iterable[_Sampled], end_s: float, options: CaptionOptions
) -> Iterator[Window]:
    """The windows at the end of the video, which may come earlier or later than expected."""
    end_s = end_s if options.end_s is None else min(end_s, options.end_s)
    windows: list[Window] = []
    for span, picked in sampled:
        windows.append(Window(span.start_s, min(span.end_s, end_s), tuple(picked)))
        if span.end_s >= end_s:
            break
    touching = (options.stride_s or 0) <= options.window_s
    begun_s = windows[-1].start_s if windows else options.start_s
    if begun_s > options.start_s and end_s - begun_s < options.window_s * SHORTEST:
        rest = windows.pop()
        if windows and touching:
            frames = sorted(windows[-1].frames + rest.frames, key=lambda frame: frame.pts_s)
            windows[-1] = replace(windows[-1], frames=tuple(frames))
    for i, window in enumerate(windows, start=1):
        until_s = end_s if i == len(windows) and touching else window.end_s
        times_s = centres(window.start_s, until_s, options.frames)
        yield Window(window.start_s, until_s, shown(window.frames, times_s))


def _spans(duration_s: float, options: CaptionOptions) -> Iterator[Span]:
    """The spans of the duration, and those that follow if the stream continues beyond it.

    At the requested end there is one more of no length, to learn if the video lasts until then.
    """
    yield from fixed_spans(duration_s, options)
    if options.end_s is None or options.end_s > duration_s:
        start_s = max(duration_s, options.start_s)
        yield from fixed_spans(math.inf, replace(options, start_s=start_s))
    if options.end_s is not None:
        yield Span(options.end_s, options.end_s, (options.end_s,))


def _limited(spans: Iterable[Span], path: str) -> Iterator[Span]:
    """The same spans. Raises InputError if there are too many, perhaps of one long picture."""
    number = 0
    for span in spans:
        number += len(span.times_s)
        if number > MOST_TIMES:
            raise InputError(
                f"{path} would be sampled more than {MOST_TIMES:,} times; caption a part of it "
                "with --start and --end, or give a longer --window or fewer --frames"
            )
        yield span


def _schedule(spans: Iterable[Span]) -> Iterator[tuple[float, int, int, Span]]:
    """(time, span number, number in the span, span) for every time, in order."""
    waiting: list[tuple[float, int, int, Span]] = []
    for number, span in enumerate(spans):
        while waiting and waiting[0][0] <= span.start_s:
            yield heappop(waiting)
        for i, time_s in enumerate(span.times_s):
            heappush(waiting, (time_s, number, i, span))
    while waiting:
        yield heappop(waiting)
