"""Windows at fixed times that are split at cuts: what holds for any film, with its cuts known."""

import math
from bisect import bisect
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import cast
from weakref import ReferenceType, ref

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Frame, VideoInfo, Window
from vidcaption.video import split
from vidcaption.video.cuts import Cut, CutFinder
from vidcaption.video.reader import VideoReader
from vidcaption.video.split import auto_windows
from vidcaption.video.windows import fixed_windows

FPS = 25


class Film:
    """Stands in for a VideoReader. Each frame's picture is the number of its scene."""

    def __init__(self, *lengths_s: float) -> None:
        starts = np.cumsum([0, *(max(1, round(length_s * FPS)) for length_s in lengths_s)])
        self.starts = [int(start) for start in starts[:-1]]  # in frames
        self.end_s = float(starts[-1] / FPS)
        self.info = VideoInfo("film", "none", 1, 1, 0, self.end_s, FPS, int(starts[-1]))

    @property
    def cuts_s(self) -> list[float]:
        return [start / FPS for start in self.starts[1:]]

    def frame(self, number: int) -> Frame:
        return Frame(number / FPS, np.array(bisect(self.starts, number)))

    def frames(self, times_s: Iterable[float]) -> Iterator[Frame]:
        for time_s in times_s:
            if time_s >= self.end_s:
                return
            yield self.shown(time_s)

    def shown(self, time_s: float) -> Frame:
        return self.frame(int(time_s * FPS + 1e-6))


class Known(CutFinder):
    """Finds the cuts of a film, each some time after that part of it was read."""

    LATE_S = 3.5

    def frames(self, reader: VideoReader, times_s: Iterable[float]) -> Iterator[Frame]:
        film = cast(Film, reader)
        self._begin()
        self._cuts = iter(film.starts[1:])
        self._film, self._next = film, next(self._cuts, math.inf)
        for time_s in times_s:
            self._find(time_s - self.LATE_S)
            if time_s >= film.end_s:
                return
            yield film.shown(time_s)

    def _find(self, time_s: float) -> None:
        self._answered_s = time_s
        while self._next / FPS <= time_s and self._next < math.inf:
            number = int(self._next)
            self.found.append(Cut(self._film.frame(number - 1), self._film.frame(number)))
            self._next = next(self._cuts, math.inf)

    def end(self) -> None:
        self._find(math.inf)


@pytest.fixture(autouse=True, scope="module")
def known_cuts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "CutFinder", Known)
        yield


def windows_of(film: Film, options: CaptionOptions) -> list[Window]:
    return list(auto_windows(cast(VideoReader, film), options))


def bounds(film: Film, **options: float) -> list[tuple[float, float]]:
    windows = windows_of(film, CaptionOptions(**({"frames": 4} | options)))  # type: ignore[arg-type]
    return [(window.start_s, window.end_s) for window in windows]


def scenes_in(window: Window) -> set[int]:
    return {int(frame.image) for frame in window.frames}


def facts(windows: Iterable[Window]) -> list[tuple[float, float, list[float]]]:
    return [
        (window.start_s, window.end_s, [frame.pts_s for frame in window.frames])
        for window in windows
    ]


lengths = st.lists(st.floats(0.04, 30), min_size=1, max_size=12)
option_sets = st.builds(
    CaptionOptions,
    window_s=st.floats(0.5, 10) | st.just(4.0),
    frames=st.integers(1, 6),
    start_s=st.just(0.0) | st.floats(0, 20),
    end_s=st.none() | st.floats(20.1, 60),
    min_scene_s=st.none() | st.floats(0, 5),
)


@pytest.mark.parametrize(
    ("lengths_s", "expected"),
    [
        ([3], [(0, 3)]),
        ([10], [(0, 4), (4, 8), (8, 10)]),
        ([1.92, 8.08], [(0, 1.92), (1.92, 4), (4, 8), (8, 10)]),
        ([2, 8], [(0, 2), (2, 8), (8, 10)]),  # half a window joins the next one
        ([4, 4], [(0, 4), (4, 8)]),
        ([6.08, 5.92], [(0, 4), (4, 6.08), (6.08, 12)]),  # the rest belongs to the scene after
        ([5.92, 6.08], [(0, 5.92), (5.92, 8), (8, 12)]),  # or before the cut
        ([3, 6, 3], [(0, 3), (3, 9), (9, 12)]),  # both
        ([2.88, 6.24, 2.88], [(0, 2.88), (2.88, 6), (6, 9.12), (9.12, 12)]),  # and too long
        ([3.2, 0.6, 4.2], [(0, 3.2), (3.2, 8)]),  # a short scene joins the next
        ([0.6, 3.4, 4], [(0, 4), (4, 8)]),
        ([6.2, 1.4, 0.4], [(0, 4), (4, 6.2), (6.2, 8)]),  # at the end, the one before
        ([1.2] * 5, [(0, 1.2), (1.2, 2.4), (2.4, 3.6), (3.6, 4.8), (4.8, 6)]),
    ],
)
def test_bounds(lengths_s: list[float], expected: list[tuple[float, float]]) -> None:
    assert [pytest.approx(pair) for pair in expected] == bounds(Film(*lengths_s))


def test_the_shortest_scene_is_an_option() -> None:
    film = Film(3, 0.6, 4.4)
    assert bounds(film, min_scene_s=0.5)[:2] == [(0, 3), (3, 3.6)]
    assert bounds(film, min_scene_s=3.5) == [(0, 3.6), (3.6, 8)]


@settings(deadline=None)
@given(lengths, option_sets)
def test_time_is_covered_once_and_no_window_shows_two_scenes(
    lengths_s: list[float], options: CaptionOptions
) -> None:
    film = Film(*lengths_s)
    windows = windows_of(film, options)
    end_s = min(film.end_s, options.end_s or math.inf)
    if options.start_s >= end_s:
        assert not windows
        return
    assert windows[0].start_s == options.start_s and windows[-1].end_s == end_s
    assert all(a.end_s == b.start_s for a, b in pairwise(windows))
    least_s = min(options.window_s / 4, options.shortest_scene_s)
    for window in windows:
        length_s = window.end_s - window.start_s
        assert length_s <= 1.5 * options.window_s * (1 + 1e-6)
        assert length_s >= least_s * (1 - 1e-6) or len(windows) == 1
        assert len(window.frames) == options.frames and len(scenes_in(window)) == 1
        assert all(a.pts_s <= b.pts_s for a, b in pairwise(window.frames))


@settings(deadline=None)
@given(st.lists(st.floats(1.1, 30), min_size=1, max_size=12), st.integers(1, 6))
def test_every_cut_between_scenes_that_are_not_short_ends_a_window(
    lengths_s: list[float], frames: int
) -> None:
    film = Film(*lengths_s)
    windows = windows_of(film, CaptionOptions(frames=frames))
    assert set(film.cuts_s) <= {window.end_s for window in windows}
    for window in windows:  # and its frames are of that scene
        scene = bisect(film.starts, round(window.start_s * FPS + 1e-6))
        assert scenes_in(window) == {scene}


@settings(deadline=None)
@given(
    st.lists(st.floats(1.1, 12), min_size=1, max_size=12),
    st.sampled_from([0.7, 3.0, 4.0]),
    st.none() | st.floats(0.5, 9),
    st.integers(1, 6),
    st.integers(0, 30),
)
def test_going_on_from_any_window_gives_the_same(
    lengths_s: list[float],
    window_s: float,
    stride_s: float | None,
    frames: int,
    number: int,
) -> None:
    film = Film(*lengths_s)
    options = CaptionOptions(window_s=window_s, stride_s=stride_s, frames=frames)
    whole = windows_of(film, options)
    last = whole[number % len(whole)]
    rest = list(auto_windows(cast(VideoReader, film), options, (last.start_s, last.end_s)))
    assert facts(rest) == facts(whole[number % len(whole) + 1 :])


def test_going_on_behind_a_scene_that_is_too_short_gives_the_same() -> None:
    film = Film(12, 6.4, 2, 9.6)  # the third scene is too short to be one
    options = CaptionOptions(min_scene_s=3, frames=2)
    whole = windows_of(film, options)
    for number, last in enumerate(whole, start=1):
        rest = auto_windows(cast(VideoReader, film), options, (last.start_s, last.end_s))
        assert facts(rest) == facts(whole[number:])


@settings(deadline=None)
@given(st.floats(0.1, 60), option_sets)
def test_without_cuts_windows_are_the_fixed_ones(length_s: float, options: CaptionOptions) -> None:
    film = Film(length_s)
    fixed = fixed_windows(cast(VideoReader, film), options)
    assert facts(windows_of(film, options)) == facts(fixed)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(0.04, 8), min_size=1, max_size=6),
    st.floats(0.5, 10),
    st.floats(0.5, 10),
    st.integers(1, 6),
)
def test_windows_that_overlap_or_leave_gaps_are_cut_down_to_one_scene(
    lengths_s: list[float], window_s: float, stride_s: float, frames: int
) -> None:
    assume(window_s != stride_s)
    film = Film(*lengths_s)
    options = CaptionOptions(window_s=window_s, stride_s=stride_s, frames=frames)
    windows = windows_of(film, options)
    fixed = list(fixed_windows(cast(VideoReader, film), options))
    bounds = [(window.start_s, window.end_s) for window in windows]
    assert all(one != other for one, other in pairwise(bounds))
    assert all(len(scenes_in(w)) == 1 and len(w.frames) == frames for w in windows)
    longest: list[set[tuple[float, float]]] = []
    for uncut in fixed:
        inside = [cut_s for cut_s in film.cuts_s if uncut.start_s < cut_s < uncut.end_s]
        parts = list(pairwise([uncut.start_s, *inside, uncut.end_s]))
        most_s = max(b - a for a, b in parts)
        longest.append({(a, b) for a, b in parts if b - a == most_s})
    assert all(set(bounds) & parts for parts in longest)
    assert set(bounds) <= set().union(*longest)


def test_an_endless_film_takes_constant_memory() -> None:
    images: list[ReferenceType[NDArray[np.uint8]]] = []

    class Endless(Film):
        def frame(self, number: int) -> Frame:
            frame = super().frame(number)
            images.append(ref(frame.image))
            return frame

    film = Endless(*[1.3, 0.5, 7.0] * 300, 1e9)
    most = 0
    for window in islice(auto_windows(cast(VideoReader, film), CaptionOptions(frames=2)), 2000):
        assert len(scenes_in(window)) == 1
        most = max(most, sum(image() is not None for image in images[-200:]))
    assert len(images) > 5000 and most < 40
    assert sum(image() is not None for image in images) < 40
