"""Streams read while they are filmed: times of day, bursts, and what there is no time for."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from clips import every, number_of, write_clip
from hypothesis import given
from hypothesis import strategies as st
from streams import send, served

from vidcaption.errors import InputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Flow, Window
from vidcaption.video import live
from vidcaption.video.live import BEHIND_S, HORIZON_S, MOST_WAITING, Backlog, LiveWindows, WallClock
from vidcaption.video.pixels import Converter
from vidcaption.video.source import Source

SIZE = (64, 48)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """24 seconds with a key frame in each, frame numbers from 0 to 239, and silent sound."""
    path = tmp_path_factory.mktemp("stream") / "a.ts"
    send(str(path), 24, paced=False)
    return path.read_bytes()


def opened(text: str, timeout_s: float = 5.0, **options: Any) -> LiveWindows:
    windows = CaptionOptions(segment="fixed", **{"window_s": 6, "frames": 2, **options})
    return LiveWindows(Source.of(text), SIZE, windows, timeout_s)


def read_all(windows: LiveWindows) -> Iterator[Window]:
    while read := windows.read():
        yield from read


def numbers(window: Window) -> list[int]:
    return [number_of(frame.image) for frame in window.frames]


def test_windows_come_as_of_a_file(stream: bytes) -> None:
    with served(stream) as address, opened(address) as windows:
        found = list(read_all(windows))
        assert (windows.info.path, windows.info.codec) == (address, "h264")
        assert (windows.info.width, windows.info.height) == SIZE
    spans = [(window.start_s, window.end_s) for window in found]
    assert spans == [(0, 6), (6, 12), (12, 18), (18, pytest.approx(24))]
    assert [*map(numbers, found)] == [[15, 45], [75, 105], [135, 165], [195, 225]]
    assert not windows.dropped and windows.corrupt == 0


def test_windows_of_a_stream_have_flow(stream: bytes) -> None:
    windows = CaptionOptions(segment="fixed", window_s=6, frames=2)
    seen = []
    for flow in (None, Flow(0.1, "dis")):
        with (
            served(stream) as address,
            LiveWindows(Source.of(address), SIZE, windows, 5.0, flow) as reader,
        ):
            seen.append([frame for window in read_all(reader) for frame in window.frames])
    plain, found = seen
    assert [frame.pts_s for frame in plain] == [frame.pts_s for frame in found]
    assert all((a.image == b.image[..., :3]).all() for a, b in zip(plain, found, strict=True))
    assert {frame.image.shape for frame in found} == {(48, 64, 6)}
    assert any(frame.image[..., 5].any() for frame in found)  # its bars flicker


def test_a_window_comes_before_the_stream_is_over(stream: bytes) -> None:
    """What follows is not waited for, but for a quarter of a window."""
    with served(stream, silent=True) as address, opened(address, 60.0) as windows:
        assert [numbers(*windows.read()) for _ in range(3)] == [[15, 45], [75, 105], [135, 165]]


def test_silence_ends_it_after_what_has_come(stream: bytes) -> None:
    found = []
    with (
        served(stream, silent=True) as address,
        opened(address, 0.3) as windows,
        pytest.raises(InputError, match=r"has sent nothing for 0.3 s"),
    ):
        for window in read_all(windows):
            found.append(numbers(window))
    assert found[:3] == [[15, 45], [75, 105], [135, 165]]
    assert len(found) == 4 and 190 <= found[3][0] <= 195


def test_a_stream_without_a_window(stream: bytes) -> None:
    with (
        served(stream[: len(stream) // 80]) as address,
        pytest.raises(InputError, match=r"ended before its first window"),
        opened(address) as windows,
    ):
        list(read_all(windows))


def test_what_waits_too_long_is_dropped(stream: bytes) -> None:
    """By one that is slow; the latest is not."""
    with served(stream) as address, opened(address, window_s=0.25) as windows:
        windows.read()
        time.sleep(0.5)  # meanwhile all the others come
        last = list(read_all(windows))[-1]
    assert last.end_s == pytest.approx(24)
    assert windows.dropped["windows"] >= 96 - 2 - MOST_WAITING


def test_a_slow_decoder_goes_on_at_a_key_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(
        tmp_path / "a.ts", every(0.02, 100), options={"g": "10", "bf": "0", "sc_threshold": "0"}
    )
    convert = Converter.__call__

    def slowly(self: Converter, frame: Any) -> Any:
        time.sleep(0.03)  # of a stream with a frame each 0.02 s
        return convert(self, frame)

    monkeypatch.setattr(Converter, "__call__", slowly)
    monkeypatch.setattr(live, "BEHIND_S", 0.1)
    with (
        served(clip.read_bytes()) as address,
        opened(address, window_s=1, frames=50) as windows,
    ):
        seen = {number for window in read_all(windows) for number in numbers(window)}
    dropped = windows.dropped["packets"]
    assert 0 < dropped < 100
    assert len(seen) <= 100 - dropped
    resumed = [later for earlier, later in pairwise(sorted(seen)) if later - earlier > 1]
    assert resumed and all(number % 10 == 0 for number in resumed)


def test_a_growing_file_is_captioned_from_its_end(stream: bytes, tmp_path: Path) -> None:
    path, half = tmp_path / "a.ts", len(stream) // 188 // 2 * 188
    path.write_bytes(stream[:half])
    done = Event()

    def grow() -> None:
        with path.open("ab") as file:
            for start in range(half, len(stream), 20 * 188):
                file.write(stream[start : start + 20 * 188])
                file.flush()
                time.sleep(0.01)
        done.set()

    with opened(str(path), 0.5) as windows:
        Thread(target=grow, daemon=True).start()
        found = windows.read()
        assert done.wait(10)
        with pytest.raises(InputError, match=r"has not grown for 0.5 s"):
            for window in read_all(windows):
                found.append(window)
    seen = [number for window in found for number in numbers(window)]
    assert found[0].start_s == 0
    assert min(seen) >= 117 and max(seen) >= 200  # from a new key frame on
    assert not windows.dropped


@given(st.lists(st.floats(0, 30), min_size=1, max_size=50), st.floats(0, 1e6))
def test_the_clock_follows_the_frame_that_was_least_late(
    late_s: list[float], start_s: float
) -> None:
    wall = WallClock()
    for i, each_s in enumerate(late_s):
        wall.observe(i, start_s + i + each_s)
    recent = min(late_s[-int(HORIZON_S / 2) :])
    assert start_s + min(late_s) - 0.01 <= wall.at(0) <= start_s + recent + 0.01


def test_the_clock_follows_a_camera_that_drifts() -> None:
    wall = WallClock()
    for i in range(1000):
        wall.observe(i, i * 1.001)
    assert 999 * 1.001 - 2 * HORIZON_S * 0.001 <= wall.at(999) <= 999 * 1.001


def test_who_waits_is_not_behind() -> None:
    backlog = Backlog()
    for i in range(100):  # a second between packets, for a tenth of a second of video
        assert backlog.read(i - 0.5, i, i / 10) == 0


def test_who_never_waits_is_behind_by_what_the_stream_lags() -> None:
    backlog = Backlog()
    for i in range(100):
        assert backlog.read(i, i, i / 4) == pytest.approx(0.75 * i)
        assert backlog.read(i, i, None) == 0
    assert backlog.read(100, 100, 200) < -BEHIND_S  # a burst is no backlog
    assert backlog.read(101, 101, 0) == 0  # nor is a new clock
