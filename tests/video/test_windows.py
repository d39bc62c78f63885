"""Fixed windows: spans that cover the video, and windows that hold the right frames."""

import math
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import pytest
from clips import IN_ORDER, Clips, every, number_of, write_clip
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidcaption.errors import InputError, UsageError
from vidcaption.options.base import WHOLE
from vidcaption.options.captioning import MOST_FRAMES, CaptionOptions, Sampling
from vidcaption.types import Window
from vidcaption.video import windows as module
from vidcaption.video.batches import WindowReader
from vidcaption.video.cuts import CutFinder
from vidcaption.video.reader import VideoReader, probe
from vidcaption.video.windows import centres, fixed_spans, fixed_windows, whole_windows

durations = st.floats(0.01, 1e5)


@st.composite
def option_sets(draw: st.DrawFn, stride: bool = False) -> CaptionOptions:
    start_s = draw(st.just(0.0) | st.floats(0, 1e4))
    length_s = draw(st.none() | st.floats(0.01, 1e4))
    window_s = draw(st.floats(0.1, 3600) | st.sampled_from([0.1, 0.7, 4.0]))
    frames = draw(st.integers(1, 64))
    least_s = max(0.1, window_s * frames / (MOST_FRAMES - 64))
    return CaptionOptions(
        window_s=window_s,
        stride_s=draw(st.floats(least_s, 3600)) if stride else None,
        frames=frames,
        start_s=start_s,
        end_s=length_s and start_s + length_s,
    )


def bounds(duration_s: float, **options: Any) -> list[tuple[float, float]]:
    spans = fixed_spans(duration_s, CaptionOptions(**options).of_model(2))
    return [(span.start_s, span.end_s) for span in spans]


def windows_of(path: Path, **options: Any) -> list[Window]:
    with VideoReader(path, size=(64, 48)) as reader:
        return list(fixed_windows(reader, CaptionOptions(**options).of_model(2)))


def whole_of(path: Path, **options: Any) -> list[Window]:
    with VideoReader(path, size=(64, 48)) as reader:
        asked = CaptionOptions(window_s=WHOLE, **options).of_model(2)
        return list(whole_windows(reader, asked))


def bounds_of(windows: list[Window]) -> list[tuple[float, float]]:
    return [(window.start_s, window.end_s) for window in windows]


def approx(pairs: list[tuple[float, float]]) -> list[object]:
    return [pytest.approx(pair) for pair in pairs]


def numbers(window: Window) -> list[int]:
    return [number_of(frame.image) for frame in window.frames]


@given(durations, option_sets())
def test_touching_spans_cover_everything_once(duration_s: float, options: CaptionOptions) -> None:
    spans = list(islice(fixed_spans(duration_s, options), 200))
    end_s = min(duration_s, options.end_s or math.inf)
    if options.start_s >= end_s:
        assert not spans
        return
    assert spans[0].start_s == options.start_s
    assert all(a.end_s == b.start_s for a, b in pairwise(spans))
    assert len(spans) == 200 or spans[-1].end_s == end_s


@given(durations, option_sets(stride=True))
def test_every_span_is_sound(duration_s: float, options: CaptionOptions) -> None:
    spans = list(islice(fixed_spans(duration_s, options), 200))
    end_s = min(duration_s, options.end_s or math.inf)
    assert all(a.start_s < b.start_s and a.end_s <= b.end_s for a, b in pairwise(spans))
    for span in spans:
        length_s = span.end_s - span.start_s
        assert 0 < length_s <= 1.25 * options.window_s * (1 + 1e-9)
        assert length_s >= options.window_s / 4 * (1 - 1e-9) or len(spans) == 1
        assert len(span.times_s) == options.frames
        assert span.start_s <= span.times_s[0]
        assert span.times_s[-1] < span.end_s <= end_s
        assert all(a < b for a, b in pairwise(span.times_s))


@pytest.mark.parametrize(
    ("duration_s", "options", "expected"),
    [
        (12.0, {}, [(0, 4), (4, 8), (8, 12)]),
        (10.0, {}, [(0, 4), (4, 8), (8, 10)]),
        (9.0, {}, [(0, 4), (4, 8), (8, 9)]),
        (8.9, {}, [(0, 4), (4, 8.9)]),  # the tail joins
        (0.2, {}, [(0, 0.2)]),
        (0.3, {"window_s": 0.1}, [(0, 0.1), (0.1, 0.2), (0.2, 0.3)]),
        (10.0, {"stride_s": 2.0}, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (10.5, {"stride_s": 2.0}, [(0, 4), (2, 6), (4, 8), (6, 10), (8, 10.5)]),
        (8.5, {"stride_s": 3.9}, [(0, 4), (3.9, 8.5)]),
        (12.0, {"stride_s": 5.0}, [(0, 4), (5, 9), (10, 12)]),
        (10.5, {"stride_s": 5.0}, [(0, 4), (5, 9)]),  # after a gap there is nothing to join
        (12.0, {"start_s": 3.0, "end_s": 9.0}, [(3, 7), (7, 9)]),
        (12.0, {"start_s": 12.0}, []),
        (12.0, {"start_s": 13.0, "end_s": 14.0}, []),
    ],
)
def test_bounds(
    duration_s: float, options: dict[str, float], expected: list[tuple[float, float]]
) -> None:
    assert approx(expected) == bounds(duration_s, **options)


def test_times_are_the_centres_of_equal_slices() -> None:
    (span,) = fixed_spans(4.0, CaptionOptions(frames=4))
    assert span.times_s == (0.5, 1.5, 2.5, 3.5)


def test_spans_are_endless_for_an_endless_video() -> None:
    spans = list(islice(fixed_spans(math.inf, CaptionOptions(frames=2)), 1000))
    assert spans[-1].end_s == 4000


def test_windows_hold_the_frames_shown(clips: Clips) -> None:
    first, second = windows_of(clips["h264.mp4"], window_s=1.0, frames=5)
    assert (first.start_s, first.end_s, second.start_s) == (0, 1, 1)
    assert second.end_s == pytest.approx(2)
    assert numbers(first) == [1, 3, 5, 7, 9]
    assert numbers(second) == [11, 13, 15, 17, 19]
    assert isinstance(first.frames, tuple)


def test_windows_come_as_soon_as_they_are_complete(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", every(0.1, 250))
    with VideoReader(path, size=(64, 48)) as reader:
        windows = fixed_windows(reader, CaptionOptions(window_s=0.2, frames=1))
        assert numbers(next(windows)) == [1]
        assert reader.end_s < 20  # as many frames as may wait for us, and a few that are sorted


def test_cuts_are_found_in_the_same_pass(clips: Clips) -> None:
    options = CaptionOptions(window_s=1.0, frames=5)
    finder = CutFinder(options)
    with VideoReader(clips["h264.mp4"], size=(64, 48)) as reader:
        windows = list(fixed_windows(reader, options, finder))
    assert finder.known_s > 1
    assert [numbers(window) for window in windows] == [[1, 3, 5, 7, 9], [11, 13, 15, 17, 19]]


def test_overlapping_windows_share_frames(clips: Clips) -> None:
    windows = windows_of(clips["h264.mp4"], window_s=1.0, stride_s=0.5, frames=5)
    assert [w.start_s for w in windows] == [0, 0.5, 1.0]
    assert [numbers(w) for w in windows] == [
        [1, 3, 5, 7, 9], [6, 8, 10, 12, 14], [11, 13, 15, 17, 19],
    ]  # fmt: skip
    wide = windows_of(clips["h264.mp4"], window_s=1.6, stride_s=0.4, frames=4)
    assert wide[0].frames[2:] == wide[1].frames[1:3]  # frames compare by identity


def test_few_frames_per_second_repeat_the_same_object(clips: Clips) -> None:
    (window,) = windows_of(clips["one_frame.mp4"], frames=8)
    assert len(window.frames) == 8
    assert len(set(window.frames)) == 1
    (window,) = windows_of(clips["vfr.mp4"], frames=10)
    assert numbers(window) == [0, 2, 2, 2, 4, 4, 4, 4, 4, 5]
    assert len(set(window.frames)) == 4


def test_a_still_image_is_one_window(clips: Clips) -> None:
    (window,) = windows_of(clips["still.jpg"], window_s=3.0, frames=4, start_s=10.0)
    assert (window.start_s, window.end_s) == (0.0, 3.0)
    assert numbers(window) == [5]


def test_a_truncated_video_ends_where_it_ends(clips: Clips) -> None:
    with VideoReader(clips["truncated.mp4"], size=(64, 48)) as reader:
        windows = list(fixed_windows(reader, CaptionOptions(window_s=0.6, frames=6)))
        assert reader.end_s == pytest.approx(1.1)
    assert bounds_of(windows) == [(0, 0.6), (0.6, reader.end_s)]
    assert numbers(windows[0]) == [0, 1, 2, 3, 4, 5]
    assert numbers(windows[1]) == [6, 7, 8, 8, 9, 10]
    one = windows_of(clips["truncated.mp4"], window_s=1.0)  # a rest of 0.1 s joins
    assert approx([(0, 1.1)]) == bounds_of(one)
    (joined,) = windows_of(clips["truncated.mp4"], window_s=1.0, stride_s=0.9, frames=11)
    assert numbers(joined) == list(range(11))
    last = windows_of(clips["truncated.mp4"], window_s=0.4, stride_s=0.2, frames=1)[-1]
    assert (last.start_s, last.end_s) == pytest.approx((0.8, 1.1))
    apart = windows_of(clips["truncated.mp4"], window_s=0.4, stride_s=1.05)
    assert approx([(0, 0.4)]) == bounds_of(apart)


def test_a_video_that_ends_before_the_first_time_asked_for(clips: Clips) -> None:
    with VideoReader(clips["truncated.mp4"], size=(64, 48)) as reader:
        (window,) = fixed_windows(reader, CaptionOptions(start_s=0.9, frames=1))
        assert (window.start_s, window.end_s) == (0.9, reader.end_s)
        assert list(fixed_windows(reader, CaptionOptions(frames=2, start_s=1.9))) == []
        assert list(fixed_windows(reader, CaptionOptions(frames=2, start_s=5.0))) == []


def test_a_video_that_goes_on_for_longer_than_its_container_says(clips: Clips) -> None:
    path = clips["longer_than_said.mp4"]
    assert probe(path).duration_s == pytest.approx(0.75)
    assert approx([(0, 1.3)]) == bounds_of(windows_of(path, frames=3))
    assert approx([(0, 0.5), (0.5, 0.75), (0.75, 1.3)]) == bounds_of(windows_of(path, window_s=0.5))
    assert approx([(0, 0.5)]) == bounds_of(windows_of(path, end_s=0.5))
    assert approx([(0, 0.75), (0.75, 1.2)]) == bounds_of(windows_of(path, window_s=1.0, end_s=1.2))


@pytest.mark.parametrize("end_s", [1.0, 2.0, 3.0])
def test_an_end_beyond_the_video(clips: Clips, end_s: float) -> None:
    windows = windows_of(clips["truncated.mp4"], window_s=0.5, frames=1, end_s=end_s)
    assert windows[-1].end_s == pytest.approx(min(1.1, end_s))


def test_start_and_end(clips: Clips) -> None:
    first, second = windows_of(clips["h264.mp4"], window_s=0.5, start_s=0.5, end_s=1.5, frames=5)
    assert numbers(first) == [5, 6, 7, 8, 9]
    assert numbers(second) == [10, 11, 12, 13, 14]
    assert windows_of(clips["h264.mp4"], start_s=2.0) == []


def test_so_many_frames_of_windows_that_overlap() -> None:
    CaptionOptions(window_s=3600, stride_s=4, frames=9)
    with pytest.raises(UsageError, match=r"1029 windows of 8 frames overlap; .* longer --stride"):
        CaptionOptions(window_s=3600, stride_s=3.5, frames=8)


def test_the_number_of_frames_is_the_model_s_unless_it_is_given() -> None:
    many = CaptionOptions(window_s=3600, stride_s=3.5)
    assert many.of_model(7).frames == 7 and CaptionOptions(frames=5).of_model(7).frames == 5
    with pytest.raises(UsageError, match="1029 windows of 8 frames overlap"):
        many.of_model(8)
    with pytest.raises(AssertionError):
        list(fixed_spans(9.0, many))


def test_a_picture_that_stands_is_looked_at_so_often_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "day.mkv", [0, 20_000], options=IN_ORDER)
    monkeypatch.setattr(module, "MOST_TIMES", 10_000)
    with VideoReader(path, size=(64, 48)) as reader:
        assert len(list(fixed_windows(reader, CaptionOptions(window_s=60, frames=29)))) == 334
        with pytest.raises(InputError, match=r"more than 10,000 times; .* fewer --frames"):
            next(fixed_windows(reader, CaptionOptions(window_s=60, frames=31)))


def test_one_window_for_a_whole_video(clips: Clips) -> None:
    (window,) = whole_of(clips["h264.mp4"], frames=5)
    assert (window.start_s, window.end_s) == pytest.approx((0, 2))
    assert numbers(window) == [2, 6, 10, 14, 18]
    (part,) = whole_of(clips["h264.mp4"], frames=2, start_s=0.4, end_s=1.2)
    assert (part.start_s, part.end_s) == (0.4, 1.2)
    assert numbers(part) == [6, 10]
    (still,) = whole_of(clips["still.jpg"], frames=4)
    assert (still.start_s, still.end_s, numbers(still)) == (0.0, 4.0, [5])
    (single,) = whole_of(clips["one_frame.mp4"], frames=3)
    assert len(single.frames) == 3 and len(set(single.frames)) == 1
    assert whole_of(clips["h264.mp4"], start_s=2.0) == []


@pytest.mark.parametrize(("name", "end_s"), [("truncated.mp4", 1.1), ("longer_than_said.mp4", 1.3)])
def test_a_whole_video_is_as_long_as_its_stream(clips: Clips, name: str, end_s: float) -> None:
    for start_s, until_s, known_s in ((0.0, None, end_s), (0.9, 5.0, end_s), (0.5, 1.0, 1.0)):
        (window,) = whole_of(clips[name], frames=4, start_s=start_s, end_s=until_s)
        assert (window.start_s, window.end_s) == pytest.approx((start_s, known_s))
        with VideoReader(clips[name], size=(64, 48)) as reader:
            shown = list(reader.frames(centres(start_s, known_s, 4)))
        assert numbers(window) == [number_of(frame.image) for frame in shown]
    assert whole_of(clips[name], start_s=end_s + 0.1) == []


def test_a_whole_video_is_read_once_where_its_container_is_about_right(
    clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, frames = [], VideoReader.frames
    monkeypatch.setattr(VideoReader, "frames", lambda *args: passes.append(args) or frames(*args))
    for name, number in (("h264.mp4", 1), ("truncated.mp4", 2)):
        whole_of(clips[name], frames=5)
        assert len(passes) == number
        passes.clear()


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.avi", every(0.1, 250), codec="mjpeg", pix_fmt="yuvj420p")
    images: list[ReferenceType[NDArray[np.uint8]]] = []
    most = 0
    with VideoReader(path, size=(64, 48)) as reader:
        options = CaptionOptions(window_s=0.5, stride_s=0.25, frames=5)
        for i, window in enumerate(fixed_windows(reader, options)):
            assert numbers(window)[0] == (5 * i + 1) // 2
            images += [ref(frame.image) for frame in set(window.frames)]
            most = max(most, len({id(image()) for image in images if image() is not None}))
    assert i == 98
    assert most < 20


@pytest.mark.parametrize("sampling", ["exact", "fast", "keyframes"])
@pytest.mark.parametrize(
    "options",
    [
        {"window_s": 1}, {"window_s": 0.3, "frames": 1}, {"window_s": 2, "stride_s": 0.7},
        {"window_s": 0.5, "stride_s": 1.3, "start_s": 0.4}, {"window_s": 1.9, "end_s": 17},
    ],
)  # fmt: skip
def test_the_first_windows_can_be_left_out(options: dict[str, Any], sampling: Sampling) -> None:
    """The others are the same, to the pixel, and what only those need is not decoded."""
    clip = Path(__file__).parent.parent.parent / "examples/clip.mp4"
    cut = CaptionOptions(**options, sampling=sampling, segment="fixed").of_model(2)

    def read(done: tuple[float, float] | None) -> tuple[list[Any], int]:
        with WindowReader(clip, (8, 8), cut, 1000, done=done) as reader:
            windows = [
                (each.start_s, each.end_s, [(f.pts_s, f.image.tobytes()) for f in each.frames])
                for each in reader.read()
            ]
            assert reader._reader._selection is not None
            return windows, reader._reader._selection.decoded

    whole, decoded = read(None)
    for index in (0, len(whole) // 2, len(whole) - 2, len(whole) - 1):
        assert read(whole[index][:2])[0] == whole[index + 1 :]
    if sampling == "exact":
        assert read(whole[-2][:2])[1] < decoded
