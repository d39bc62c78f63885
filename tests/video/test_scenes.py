"""Scene windows: cuts are found and timed exactly, windows are neither too long nor too short."""

from collections.abc import Iterator, Sequence
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any, cast
from weakref import ReferenceType, WeakSet, ref

import numpy as np
import pytest
from clips import IN_ORDER, Clips, every, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Frame, VideoInfo, Window
from vidcaption.video import scenes
from vidcaption.video.reader import VideoReader
from vidcaption.video.scenes import scene_windows

FPS = 10


class Film:
    """Stands in for a VideoReader: scenes of flat colours, each frame a new object."""

    def __init__(self, times_s: Sequence[float], scene_of: Sequence[int], end_s: float) -> None:
        self.info = VideoInfo("film", "none", 16, 16, 0, end_s, FPS, len(times_s))
        self.end_s = end_s
        self.shot = dict(zip(times_s, scene_of, strict=True))

    def frames(self) -> Iterator[Frame]:
        for time_s, scene in self.shot.items():
            yield Frame(time_s, scene_image(scene))


def scene_image(scene: int) -> NDArray[np.uint8]:
    colours = np.random.default_rng(scene).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return colours.repeat(4, 0).repeat(4, 1)


def film(*lengths_s: float) -> Film:
    """A film at 10 frames per second, of scenes of these lengths."""
    scene_of = [i for i, length in enumerate(lengths_s) for _ in range(round(length * FPS))]
    return Film([i / FPS for i in range(len(scene_of))], scene_of, len(scene_of) / FPS)


def cut(film: Film, **options: Any) -> list[Window]:
    options = {"frames": 4} | options
    reader = cast(VideoReader, film)
    return list(scene_windows(reader, CaptionOptions(segment="scenes", **options)))


def bounds(windows: list[Window]) -> list[tuple[float, float]]:
    return [(window.start_s, window.end_s) for window in windows]


def approx(pairs: list[tuple[float, float]]) -> list[object]:
    return [pytest.approx(pair) for pair in pairs]


@pytest.mark.parametrize(
    ("lengths_s", "expected"),
    [
        ([3], [(0, 3)]),
        ([2, 3, 1.5], [(0, 2), (2, 5), (5, 6.5)]),
        ([4, 4], [(0, 4), (4, 8)]),
        ([5, 2], [(0, 5), (5, 7)]),
        ([5.6, 2], [(0, 2.8), (2.8, 5.6), (5.6, 7.6)]),  # a long scene in equal parts
        ([2, 7.5], [(0, 2), (2, 5.75), (5.75, 9.5)]),
        ([10], [(0, 4), (4, 7), (7, 10)]),  # a very long one gives off whole windows
        ([17, 2], [(0, 4), (4, 8), (8, 12), (12, 17), (17, 19)]),
        ([3, 0.6, 2], [(0, 3), (3, 5.6)]),  # a short one joins the next
        ([3, 0.6, 4.2], [(0, 3), (3, 7.8)]),
        ([3, 0.8, 5], [(0, 3), (3, 5.9), (5.9, 8.8)]),
        ([0.6, 0.6, 0.6, 0.6], [(0, 1.2), (1.2, 2.4)]),
        ([3, 0.6], [(0, 3.6)]),  # the last joins the one before
        ([4, 0.9], [(0, 4.9)]),
        ([0.6, 4.2, 0.9], [(0, 2.85), (2.85, 5.7)]),
        ([0.5], [(0, 0.5)]),
    ],
)
def test_bounds(lengths_s: list[float], expected: list[tuple[float, float]]) -> None:
    assert approx(expected) == bounds(cut(film(*lengths_s)))


def test_the_shortest_scene_is_an_option() -> None:
    assert approx([(0, 3), (3, 3.6), (3.6, 5.6)]) == bounds(cut(film(3, 0.6, 2), min_scene_s=0.5))
    assert approx([(0, 3.6), (3.6, 5.6)]) == bounds(cut(film(3, 0.6, 2), min_scene_s=3.5))
    long = bounds(cut(film(9, 2, 9), min_scene_s=10.0))  # the first scene ends with the second
    assert 11 in [pytest.approx(end_s) for _, end_s in long]
    assert 9 not in [pytest.approx(end_s) for _, end_s in long]


def test_the_threshold_is_an_option() -> None:
    class Flicker(Film):
        def frames(self) -> Iterator[Frame]:
            chance = np.random.default_rng(0)
            for frame in super().frames():
                light = chance.integers(0, 20, dtype=np.uint8)
                yield Frame(frame.pts_s, frame.image // 2 + light)

    def flicker() -> Flicker:
        return Flicker([i / FPS for i in range(40)], [0] * 20 + [1] * 20, 4.0)

    assert approx([(0, 2), (2, 4)]) == bounds(cut(flicker(), scene_threshold=3.0))
    assert bounds(cut(flicker(), scene_threshold=40.0)) == [(0, 4)]


def test_frames_are_near_the_centres_and_of_their_scene() -> None:
    reader = film(2, 3, 6, 9)
    for window in cut(reader, frames=5):
        slice_s = (window.end_s - window.start_s) / 5
        for i, frame in enumerate(window.frames):
            # As near as the frame rate allows, in a long scene within half a slice.
            assert abs(frame.pts_s - window.start_s - (i + 0.5) * slice_s) <= slice_s / 2
            assert (window.frames[0].image == frame.image).all()


def test_uneven_times_are_kept_exactly() -> None:
    times_s = [0, 0.1, 0.25, 0.3, 1.1, 1.15, 1.2, 1.7, 2.03, 2.1, 2.2, 2.9, 3.3]
    reader = Film(times_s, [0] * 6 + [1] * 7, 3.4)
    assert bounds(cut(reader)) == [(0, 1.2), (1.2, 3.4)]


def test_start_and_end() -> None:
    reader = film(2, 3, 2)
    assert approx([(1, 2), (2, 4.5)]) == bounds(cut(reader, start_s=1.0, end_s=4.5))
    assert approx([(5.5, 7)]) == bounds(cut(reader, start_s=5.5))
    assert bounds(cut(reader, start_s=7.0)) == []
    assert bounds(cut(reader, start_s=6.95, end_s=7.5)) == [(6.95, 7.0)]


def test_a_frame_that_is_shown_for_long_fills_several_windows() -> None:
    windows = cut(Film([0, 10], [0, 0], 12.0))
    assert approx([(0, 4), (4, 8), (8, 12)]) == bounds(windows)
    assert [{f.pts_s for f in w.frames} for w in windows] == [{0}, {0}, {0, 10}]
    late = cut(Film([0, 10], [0, 0], 12.0), start_s=5.0, end_s=9.0)
    assert [{f.pts_s for f in w.frames} for w in late] == [{0}]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.1, 9), min_size=1, max_size=6),
    st.floats(0.5, 5),
    st.integers(1, 8),
)
def test_every_film_is_covered_once(lengths_s: list[float], window_s: float, frames: int) -> None:
    reader = film(*lengths_s)
    windows = cut(reader, window_s=window_s, frames=frames)
    assert windows[0].start_s == 0
    assert windows[-1].end_s == reader.end_s
    assert all(a.end_s == b.start_s for a, b in pairwise(windows))
    for window in windows:
        assert window_s / 4 * (1 - 1e-9) <= window.end_s - window.start_s or len(windows) == 1
        assert window.end_s - window.start_s <= 1.25 * window_s * (1 + 1e-5)
        assert len(window.frames) == frames
        assert all(a.pts_s <= b.pts_s for a, b in pairwise(window.frames))


def test_an_endless_scene_takes_constant_memory() -> None:
    images: list[ReferenceType[NDArray[np.uint8]]] = []

    class Endless(Film):
        def frames(self) -> Iterator[Frame]:
            for i in count():
                frame = Frame(i / FPS, scene_image(0))
                images.append(ref(frame.image))
                yield frame

    options = CaptionOptions(segment="scenes", frames=2)
    windows = scene_windows(cast(VideoReader, Endless([], [], 1e9)), options)
    most = 0
    for i, window in enumerate(islice(windows, 50)):
        assert window.start_s == 4 * i
        most = max(most, sum(image() is not None for image in images))
    assert len(images) > 1900
    assert most < 4 * scenes.CANDIDATES * options.frames


def test_a_pan_is_no_cut() -> None:
    class Pan(Film):
        def frames(self) -> Iterator[Frame]:
            wide = np.concatenate([scene_image(i) for i in range(10)], axis=1)
            wide = wide.repeat(4, 0).repeat(4, 1)
            for i in range(30):
                yield Frame(i / FPS, wide[:, 4 * i : 4 * i + 64])

    assert bounds(cut(Pan([], [], 3.0))) == [(0, 3)]


def test_a_real_video(tmp_path: Path) -> None:
    images = [scene_image(i // 12).repeat(4, 0).repeat(4, 1) for i in range(36)]
    path = write_clip(tmp_path / "scenes.mp4", every(0.1, 36), images, size=(64, 64))
    with VideoReader(path, size=(32, 32)) as reader:
        windows = list(scene_windows(reader, CaptionOptions(segment="scenes", frames=4)))
    assert approx([(0, 1.2), (1.2, 2.4), (2.4, 3.6)]) == bounds(windows)
    assert [f.pts_s for f in windows[1].frames] == pytest.approx([1.3, 1.6, 1.9, 2.2])


def test_a_still_image_is_one_window(clips: Clips) -> None:
    with VideoReader(clips["still.png"]) as reader:
        (window,) = scene_windows(reader, CaptionOptions(frames=2, segment="scenes", window_s=3.0))
    assert (window.start_s, window.end_s, len(window.frames)) == (0, 3, 1)


def test_a_picture_that_stands_for_hours_costs_no_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stretches: WeakSet[object] = WeakSet()

    class Counted(scenes._Stretch):
        def __init__(self, start_s: float, room: int) -> None:
            super().__init__(start_s, room)
            stretches.add(self)

    monkeypatch.setattr(scenes, "_Stretch", Counted)
    path = write_clip(tmp_path / "hours.mkv", [0, 20_000], options=IN_ORDER)
    most = number = 0
    with VideoReader(path, size=(64, 48)) as reader:
        for _ in scene_windows(reader, CaptionOptions(frames=2, segment="scenes", window_s=60)):
            most, number = max(most, len(stretches)), number + 1
    assert number == 334 and most < 6
