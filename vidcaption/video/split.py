"""Splits windows at scene changes, so that none shows two scenes."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from vidcaption.options.captioning import SHORTEST, CaptionOptions
from vidcaption.types import Frame, Window
from vidcaption.video.cuts import Cut, CutFinder
from vidcaption.video.reader import VideoReader
from vidcaption.video.windows import LONGEST, REMAINDER, centres, fixed_windows, still_window

_Sample = tuple[float, Frame]  # a time, and the frame sampled for it


def auto_windows(
    reader: VideoReader, options: CaptionOptions, done: tuple[float, float] | None = None
) -> Iterator[Window]:
    """Fixed windows, split at cuts; where they overlap, or have gaps, cut down to one scene.

    Windows are bounded by cuts and by the fixed windows' own bounds, except those within half a
    window of a cut: the remainder joins the window on its own side of the cut. So there are about
    as many windows as fixed ones. Those longer than one and a half are halved. A scene shorter than
    ``min_scene_s``, by default a quarter window, has no window of its own: it belongs to that of
    the next scene, or at the end the one before, and its frames are not used. The frames are those
    that fixed windows sample, some of them repeated in a window that has too few; a window without
    any gets the one next to its cut.

    ``done``: start and end of the last window that is no longer needed. Cuts depend on what is
    shown and stored around them (see CutFinder), and a window's bounds on the cuts within half a
    window, and on the scene before not being too short. So sampling begins two windows, or one and
    ``min_scene_s``, earlier, and the windows are those of a video that is read from its start,
    unless a sequence of scenes that are all too short began before that.
    """
    if reader.info.duration_s is None:
        yield still_window(reader, options)
        return
    stride_s = options.stride_s or options.window_s
    lead_s = options.window_s + max(options.window_s, options.shortest_scene_s)
    first = 0 if done is None else max(0, int((done[0] - lead_s - options.start_s) / stride_s))
    begun_s = options.start_s + first * stride_s
    finder = CutFinder(options, begun_s)
    windows = fixed_windows(reader, options, finder, first)
    if stride_s == options.window_s:
        windows = _split(windows, finder, options, begun_s)
    else:
        windows = _cut_down(windows, finder, options)
    for window in windows:
        if done is None or (window.start_s, window.end_s) > done:
            yield window


def _cut_down(
    windows: Iterator[Window], finder: CutFinder, options: CaptionOptions
) -> Iterator[Window]:
    """The longest part of each window that shows one scene, unless it is the last one's."""
    held: deque[Window] = deque()
    last: tuple[float, float] | None = None
    for window in chain(windows, (None,)):
        if window:
            held.append(window)
        else:
            finder.end()
        while held and held[0].end_s <= finder.known_s:
            first = held.popleft()
            finder.forget(first.start_s)
            part = _longest(first.start_s, first.end_s, finder.found)
            if part != last:
                yield _window(*part, _samples(first), finder.found, options)
            last = part


def _split(
    windows: Iterator[Window], finder: CutFinder, options: CaptionOptions, begun_s: float
) -> Iterator[Window]:
    """Windows that touch, split and joined at cuts; the next one starts at ``begun_s``."""
    remainder_s = options.window_s * REMAINDER
    scene_s = begun_s  # where the scene of the next window starts, as far as known
    lines: list[float] = []  # bounds of the fixed windows
    samples: list[_Sample] = []
    end_s = begun_s
    for window in chain(windows, (None,)):
        if window:
            lines.append(window.start_s)
            samples += _samples(window)
            end_s = window.end_s
            sure_s = min(finder.known_s, end_s) - remainder_s  # a cut may come as near
        else:
            finder.end()
            sure_s = end_s
        scenes = _scenes(finder.found, scene_s, end_s if window is None else None, options)
        bounds = sorted({*scenes, *_clear(lines, [scene_s, *scenes], remainder_s), end_s})
        for bound_s in [each for each in bounds if begun_s < each <= sure_s]:
            parts = 1 if bound_s - begun_s <= LONGEST * options.window_s * (1 + 1e-9) else 2
            step_s = (bound_s - begun_s) / parts
            middles = [begun_s + i * step_s for i in range(1, parts)]
            for start_s, until_s in pairwise([begun_s, *middles, bound_s]):
                yield _window(start_s, until_s, samples, finder.found, options)
            begun_s = bound_s
            scene_s = max([scene_s, *(each for each in scenes if each <= bound_s)])
        samples = [sample for sample in samples if sample[0] >= begun_s]
        lines = [line for line in lines if line >= begun_s]
        finder.forget(begun_s)


def _scenes(
    cuts: Sequence[Cut], scene_s: float, end_s: float | None, options: CaptionOptions
) -> list[float]:
    """The cuts, after that of ``scene_s``, at which scenes begin that are not too short."""
    shortest_s = options.shortest_scene_s
    scenes: list[float] = []
    for cut in cuts:
        left_s = math.inf if end_s is None else end_s - cut.time_s
        last = left_s < min(shortest_s, options.window_s * SHORTEST)
        if cut.time_s > scene_s and cut.time_s - scene_s >= shortest_s and not last:
            scenes.append(scene_s := cut.time_s)
    return scenes


def _clear(lines: Sequence[float], scenes: Sequence[float], near_s: float) -> list[float]:
    """Those of the lines that no scene begins near."""
    return [line for line in lines if all(abs(line - scene) > near_s for scene in scenes)]


def _samples(window: Window) -> list[_Sample]:
    times_s = centres(window.start_s, window.end_s, len(window.frames))
    return list(zip(times_s, window.frames, strict=True))


def _window(
    start_s: float,
    end_s: float,
    samples: Sequence[_Sample],
    cuts: Sequence[Cut],
    options: CaptionOptions,
) -> Window:
    """A window whose frames all show the scene that fills most of it."""
    from_s, until_s = _longest(start_s, end_s, cuts)
    begins = [cut for cut in cuts if cut.time_s <= from_s][-1:]
    ends = [cut for cut in cuts if cut.time_s >= until_s][:1]
    # Not all frames are shown at the time that they answer: see --sampling.
    near = [
        (time_s, frame)
        for time_s, frame in samples
        if from_s <= time_s < until_s
        and all(frame.pts_s >= cut.time_s for cut in begins)
        and all(frame.pts_s < cut.time_s for cut in ends)
    ]
    near = near or [(cut.time_s, cut.after) for cut in begins]
    near = near or [(cut.time_s, cut.before) for cut in ends] or list(samples)
    frames = (
        min(near, key=lambda sample: abs(sample[0] - time_s))[1]
        for time_s in centres(from_s, until_s, options.frames)
    )
    return Window(start_s, end_s, tuple(frames))


def _longest(start_s: float, end_s: float, cuts: Sequence[Cut]) -> tuple[float, float]:
    """The longest part between two cuts."""
    inside = [cut.time_s for cut in cuts if start_s < cut.time_s < end_s]
    return max(pairwise([start_s, *inside, end_s]), key=lambda part: part[1] - part[0])
