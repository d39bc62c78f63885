from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import Clips, every, write_clip
from moving import SIDE, WORLD, texture, window
from numpy.typing import NDArray

from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import REACH, Flow, Frame
from vidcaption.video.arrays import FrameArray
from vidcaption.video.batches import WindowReader
from vidcaption.video.flow import picture_of
from vidcaption.video.reader import VideoReader

FLOW = Flow(0.1, "dis")
REST = [128, 128, 0]
WORLDS = texture(np.random.default_rng(0))


def panned(moved: Sequence[float]) -> list[NDArray[np.uint8]]:
    """Frames in which everything has moved this far to the right, in pixels."""
    return [window(WORLDS, WORLD / 2 - x, WORLD / 2, SIDE) for x in moved]


def level(pixels: float) -> float:
    """Of x, where something moves so far in FLOW.gap_s."""
    return 128 + 127 * pixels / (REACH * SIDE)


def motion(frame: Frame) -> list[float]:
    """The flow in the middle of a frame: x, y and magnitude."""
    assert frame.image.shape[2] == 6
    return [float(x) for x in frame.image[16:-16, 16:-16, 3:].mean((0, 1))]


def read(
    moved: Sequence[float], times_s: Sequence[float], asked_s: Sequence[float], flow: Flow = FLOW
) -> list[Frame]:
    with FrameArray(panned(moved), times_s, (SIDE, SIDE), flow) as reader:
        return list(reader.frames(asked_s))


def test_a_picture_of_flow_is_x_y_and_magnitude() -> None:
    moved = np.zeros((64, 32, 2), np.float32)
    moved[1, 1] = 32 * REACH / 2, 0
    moved[2, 2] = -32 * REACH, 64 * REACH
    moved[3, 3] = 99, -99
    levels = picture_of(moved)
    assert levels.dtype == np.uint8 and levels.shape == (64, 32, 3)
    assert levels[0, 0].tolist() == REST
    assert levels[1, 1].tolist() == [192, 128, 127]
    assert levels[2, 2].tolist() == [1, 255, 254]
    assert levels[3, 3].tolist() == [255, 1, 254]


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_the_levels_tell_how_far_everything_moves(method: str) -> None:
    flow = Flow(0.1, method)
    first, second, third = read([0, 3, 1, 1], every(0.1, 4), [0.0, 0.15, 0.25], flow)
    x, y, length = motion(first)
    assert x == pytest.approx(level(3), abs=3) and y == pytest.approx(128, abs=2)
    assert length == pytest.approx(2 * (level(3) - 128), abs=6)
    assert motion(second)[0] == pytest.approx(level(-2), abs=3)
    assert motion(third) == pytest.approx(REST, abs=1)


def test_motion_is_a_speed_whatever_the_times_of_the_frames() -> None:
    first, second = read([0, 3, 6, 9], [0.0, 0.13, 0.26, 0.3], [0.1, 0.2])
    assert motion(first)[0] == pytest.approx(level(3 / 1.3), abs=3)
    assert motion(second)[0] == pytest.approx(level(6 / 1.7), abs=3)


def test_where_frames_are_rare_the_next_one_is_taken() -> None:
    moved = [0, 4, 8, 12]
    for frame in read(moved, every(0.4, 4), [0.0, 0.5, 0.9]):
        assert motion(frame)[0] == pytest.approx(level(1), abs=3)


def test_the_last_frame_is_at_rest_and_every_time_has_its_frame() -> None:
    frames = read([0, 2, 4, 6], every(0.1, 4), [0.0, 0.05, 0.1, 0.32, 0.39])
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0, 0.1, 0.3, 0.3])
    assert frames[0] is frames[1] and frames[3] is frames[4]
    assert motion(frames[2])[0] > 140 and motion(frames[3]) == REST


def test_a_still_is_at_rest(clips: Clips) -> None:
    with VideoReader(clips["still.png"], (SIDE, SIDE), flow=FLOW) as reader:
        [frame] = reader.frames([0.0])
    assert motion(frame) == REST


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds that go to the right for three, then to the left."""
    moved = np.concatenate([np.arange(0, 60, 2), np.arange(60, 0, -2)])
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_clip(path, every(0.1, 60), panned(moved), size=(SIDE, SIDE))


def test_pictures_are_those_without_flow_from_one_pass(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    from vidcaption.video import reader as module

    real: Callable[..., object] = module.open_video
    monkeypatch.setattr(module, "open_video", lambda *a: opened.append(a) or real(*a))
    times_s = [0.3, 1.7, 1.75, 4.2]
    with VideoReader(film, (SIDE, SIDE)) as reader:
        plain = list(reader.frames(times_s))
    before = len(opened)
    with VideoReader(film, (SIDE, SIDE), flow=FLOW) as reader:
        found = list(reader.frames(times_s))
    assert len(opened) == 2 * before
    for one, other in zip(plain, found, strict=True):
        assert one.pts_s == other.pts_s and (one.image == other.image[..., :3]).all()
    right, _, _, left = (motion(frame)[0] for frame in found)
    assert right == pytest.approx(level(2), abs=3) and left == pytest.approx(level(-2), abs=3)


def test_steps_of_flow_go_on_from_frame_to_frame() -> None:
    moved, times_s = [0, 1, 3, 6, 6, 4], every(0.1, 6)
    single = read(moved, times_s, times_s)
    asked_s = [0.0, 0.05, 0.1, 0.32]
    first, same, second, last = read(moved, times_s, asked_s, Flow(0.1, "dis", 3))
    assert first is same
    assert [f.pts_s for f in (first, second, last)] == [times_s[i] for i in (0, 1, 3)]
    for frame, number in ((first, 0), (second, 1)):
        assert (frame.image[..., :3] == single[number].image[..., :3]).all()
        for step in range(3):
            steps = frame.image[..., 3 + 3 * step : 6 + 3 * step]
            assert (steps == single[number + step].image[..., 3:]).all()
    assert (last.image[..., 3:9] == np.dstack([x.image[..., 3:] for x in single[3:5]])).all()
    assert (last.image[..., 9:] == REST).all()  # nothing is known of what comes after the end


def test_cuts_are_found_by_frames_alone(tmp_path: Path) -> None:
    panning = panned(range(20))
    frames = [*panning, *(255 - each[::-1] for each in panning)]
    path = write_clip(tmp_path / "cut.mp4", every(0.1, 40), frames, size=(SIDE, SIDE))
    found = []
    for flow in (None, FLOW, Flow(0.1, "dis", 5)):
        options = CaptionOptions(window_s=2.5, frames=2)
        with WindowReader(path, (SIDE, SIDE), options, 8, flow=flow) as reader:
            found.append([(each.start_s, each.end_s) for each in reader.read()])
    assert found[0] == found[1] == found[2] and found[0][0][1] == pytest.approx(2.0)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_pass_over_all_frames_has_the_same_flow(film: Path, steps: int) -> None:
    with VideoReader(film, (SIDE, SIDE), flow=Flow(0.1, "dis", steps)) as reader:
        every_one = list(reader.frames())
        asked = list(reader.frames([frame.pts_s for frame in every_one]))
    assert len(every_one) == 60
    for one, other in zip(every_one, asked, strict=True):
        assert (one.image == other.image).all()
    assert all(one.pts_s < other.pts_s for one, other in pairwise(every_one))
    firsts = [Frame(frame.pts_s, frame.image[..., :6]) for frame in every_one]
    assert [motion(frame)[0] > 140 for frame in firsts[:29]] == [True] * 29
    assert motion(firsts[-1]) == REST


@pytest.mark.parametrize(
    "options",
    [
        CaptionOptions(window_s=2, frames=2),
        CaptionOptions(window_s=2, frames=2, segment="fixed"),
        CaptionOptions(window_s=2, frames=2, segment="scenes"),
        CaptionOptions(window_s=float("inf"), frames=4),
    ],
    ids=lambda options: f"{options.segment} {options.window_s}",
)
def test_every_kind_of_window_has_flow(film: Path, options: CaptionOptions) -> None:
    with WindowReader(film, (SIDE, SIDE), options, 8, flow=FLOW) as reader:
        windows = reader.read()
    frames = [frame for window in windows for frame in window.frames]
    assert [f.image.shape for f in frames] == [(SIDE, SIDE, 6)] * len(frames)
    early = [motion(f)[0] for f in frames if f.pts_s < 2.5]
    late = [motion(f)[0] for f in frames if 3.5 < f.pts_s < 5.5]
    assert early and late and min(early) > 145 and max(late) < 111
