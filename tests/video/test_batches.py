"""Windows of a video that starts later than its file."""

from pathlib import Path

import pytest
from clips import Clips, number_of, write_late

from vidcaption.errors import InputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Window
from vidcaption.video.batches import WindowReader


def read(path: Path, options: CaptionOptions) -> list[Window]:
    with WindowReader(path, (64, 48), options, 100) as reader:
        return reader.read()


@pytest.mark.parametrize("suffix", ["mp4", "mov", "ts", "mkv"])
def test_windows_start_with_the_picture(clips: Clips, suffix: str) -> None:
    options = CaptionOptions(window_s=1, frames=1, segment="fixed")
    windows = read(clips[f"late.{suffix}"], options)
    bounds = [(window.start_s, window.end_s) for window in windows]
    assert bounds == [pytest.approx((i, i + 1), abs=0.03) for i in (1, 2)]
    assert [number_of(window.frames[0].image) for window in windows] == [5, 15]
    for options in (
        CaptionOptions(frames=2, segment="auto"),
        CaptionOptions(frames=2, segment="scenes"),
    ):
        parts = read(clips[f"late.{suffix}"], options)
        assert (parts[0].start_s, parts[-1].end_s) == pytest.approx((1, 3), abs=0.03)


def test_nothing_is_said_of_the_time_before(tmp_path: Path) -> None:
    path = write_late(tmp_path / "late.mp4", 30.0)
    for segment in ("auto", "fixed", "scenes"):
        options = CaptionOptions(frames=2, segment=segment)
        [window] = read(path, options)
        assert (window.start_s, window.end_s) == (30.0, 32.0)


@pytest.mark.parametrize("name", ["late.mp4", "late.ts", "late.mkv", "h264.avi", "mpeg4.avi"])
def test_the_last_window_ends_with_the_video(clips: Clips, name: str) -> None:
    with WindowReader(clips[name], (8, 8), CaptionOptions(frames=2, window_s=1.3), 100) as reader:
        end_s = reader.read()[-1].end_s
        assert end_s == reader.end_s == pytest.approx(reader.info.duration_s, abs=0.0005)


def test_start_and_end_count_from_the_start_of_the_file(clips: Clips) -> None:
    options = CaptionOptions(start_s=2.0, end_s=2.5, window_s=4, frames=1)
    [window] = read(clips["late.mp4"], options)
    assert (window.start_s, window.end_s) == (2.0, 2.5)
    assert number_of(window.frames[0].image) == 12


def test_an_end_before_the_first_frame(clips: Clips) -> None:
    with pytest.raises(InputError, match=r"shows its first frame at 1\.0 s, and --end is 0\.5; "):
        read(clips["late.mp4"], CaptionOptions(frames=2, end_s=0.5))
