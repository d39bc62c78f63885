"""Cuts are found to the frame, whatever the encoder made of them, and nothing else is one."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import Clips, every, write_clip
from numpy.typing import NDArray

from vidcaption.options.captioning import CaptionOptions, Sampling
from vidcaption.video.cuts import CutFinder
from vidcaption.video.reader import VideoReader
from vidcaption.video.split import auto_windows

STREET = Path(__file__).parents[2] / "examples" / "street.mp4"
Picture = NDArray[np.uint8]
SIZE = 96, 64
STEP_S = 0.04
SHOTS = [37, 60, 29, 44, 80, 50]  # frames
CUTS = [37, 97, 126, 170, 250]
NO_SCENES = "scenecut=0:log-level=none"


def backdrop(seed: int) -> Picture:
    """Smooth colours, twice as large as the film; every other one has more detail."""
    width, height = 2 * SIZE[0], 2 * SIZE[1]
    chance = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 40):
        some = chance.random((cells, cells, 3), np.float32)
        weight = 0.04 * (1 + 5 * (seed % 2)) if cells == 40 else 1 / cells
        picture += cv2.resize(some, (width, height), interpolation=cv2.INTER_CUBIC) * weight
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low) * 255).astype(np.uint8)


def shot(seed: int, frames: int, speed: float = 0.5) -> Iterator[Picture]:
    """A camera that moves over a backdrop by so many pixels a frame."""
    picture = backdrop(seed)
    for i in range(frames):
        at = np.float32([[1, 0, SIZE[0] / 2 + speed * (i - frames / 2)], [0, 1, SIZE[1] / 2]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        yield cv2.warpAffine(picture, at, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT)  # type: ignore[call-overload]


def shots() -> list[Picture]:
    return [each for seed, frames in enumerate(SHOTS) for each in shot(seed, frames)]


def write(path: Path, pictures: list[Picture], codec: str = "libx264", **options: str) -> Path:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return write_clip(
        path,
        every(0.1 if path.suffix in {".avi", ".h264"} else STEP_S, len(pictures)),
        pictures,
        codec=codec,
        size=SIZE,
        pix_fmt=pix_fmt,
        format="h264" if path.suffix == ".h264" else None,
        options={name.replace("_", "-"): value for name, value in options.items()},
    )


def cuts_of(path: Path, step_s: float = STEP_S, **options: object) -> list[int]:
    """The numbers of the frames with which scenes begin."""
    asked = CaptionOptions(**{"frames": 2} | options)  # type: ignore[arg-type]
    finder = CutFinder(asked)
    with VideoReader(path, (64, 64), asked.sampling) as reader:
        every_s = (0.5 + i for i in range(1_000_000))
        assert all(frame.image.shape == (64, 64, 3) for frame in finder.frames(reader, every_s))
        finder.end()
    return [round(cut.time_s / step_s) for cut in finder.found]


ENCODERS = {
    "scenes.mp4": {},
    "fixed.mp4": {"x264_params": f"keyint=48:min-keyint=48:{NO_SCENES}"},
    "long.mp4": {"x264_params": f"keyint=1000:{NO_SCENES}"},
    "pyramid.mp4": {"x264_params": f"bframes=8:b-pyramid=normal:b-adapt=2:{NO_SCENES}"},
    "in_order.ts": {"bf": "0", "x264_params": f"keyint=60:{NO_SCENES}"},
    "open.mkv": {"x264_params": f"keyint=40:open-gop=1:{NO_SCENES}"},
    "intra.mp4": {"g": "1"},
    "hevc.mp4": {"codec": "libx265", "x265_params": f"keyint=60:{NO_SCENES}"},
    "vp9.webm": {"codec": "libvpx-vp9", "deadline": "realtime", "cpu_used": "8"},
    "mpeg4.mp4": {"codec": "mpeg4", "g": "12", "bf": "2"},
    "mjpeg.avi": {"codec": "mjpeg"},
}


@pytest.mark.parametrize("name", ENCODERS)
def test_cuts_are_found_to_the_frame(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, shots(), **ENCODERS[name])
    assert cuts_of(path, 0.1 if name.endswith(".avi") else STEP_S) == CUTS


def test_something_passes_the_camera_before_a_cut() -> None:
    """A taxi at 3.04 s: the picture changes as much in a quarter second as across the cut."""
    assert cuts_of(STREET) == [30, 76, 137, 187, 242]


def test_cuts_are_found_without_timestamps(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.h264", shots())
    assert cuts_of(path, 0.1) == CUTS


def flash() -> list[Picture]:
    pictures = list(shot(1, 100))
    for i in (40, 41):
        pictures[i] = cv2.addWeighted(pictures[i], 0.2, np.full_like(pictures[i], 255), 0.8, 0)  # type: ignore[assignment]
    return pictures


def glitch() -> list[Picture]:
    pictures = list(shot(2, 100))
    pictures[50] = np.ascontiguousarray(np.roll(pictures[50][::-1], 30, 1))
    return pictures


def fade(frames: int = 12) -> list[Picture]:
    """Of one scene to black, and to the next."""
    one, other = list(shot(3, 50)), list(shot(4, 50))
    for i in range(frames):
        one[-frames + i] = (one[-frames + i] * (1 - (i + 1) / frames)).astype(np.uint8)
        other[i] = (other[i] * (i / frames)).astype(np.uint8)
    return one + other


def lights_out(frames: int = 5) -> list[Picture]:
    """Quickly to black, which stays."""
    lit = list(shot(3, 60))
    for i in range(1, frames + 1):
        lit[-i] = (lit[-i] * ((i - 1) / frames)).astype(np.uint8)
    return lit + [np.zeros_like(lit[0])] * 40


def dissolve(frames: int = 15) -> list[Picture]:
    one, other = list(shot(3, 60)), list(shot(4, 60))
    mixed = [
        cv2.addWeighted(a, 1 - i / frames, b, i / frames, 0)
        for i, (a, b) in enumerate(zip(one[-frames:], other[:frames], strict=True))
    ]
    return [*one[:-frames], *mixed, *other[frames:]]  # type: ignore[list-item]


@pytest.mark.parametrize("make", [flash, glitch, fade, lights_out, dissolve])
@pytest.mark.parametrize("encoder", ["scenes.mp4", "fixed.mp4", "vp9.webm", "mpeg4.mp4"])
def test_what_is_no_cut(tmp_path: Path, make: object, encoder: str) -> None:
    path = write(tmp_path / encoder, make(), **ENCODERS[encoder])  # type: ignore[operator]
    assert cuts_of(path) == []


@pytest.mark.parametrize("speed", [2.0, -6.0])
def test_a_pan_is_no_cut(tmp_path: Path, speed: float) -> None:
    pictures = [*shot(5, 40, 0.0), *shot(5, 60, speed)]
    assert cuts_of(write(tmp_path / "pan.mp4", pictures)) in ([], [40])  # it begins elsewhere
    still = cuts_of(write(tmp_path / "still.mp4", pictures[40:]))
    assert still == []


@pytest.mark.parametrize("options", [{"start_s": 3.0}, {"scene_threshold": 2.0}, {"end_s": 9.0}])
def test_cuts_do_not_depend_on_what_is_asked_besides(
    tmp_path: Path, options: dict[str, float]
) -> None:
    path = write(tmp_path / "film.mp4", shots(), **ENCODERS["fixed.mp4"])
    begins = round(options.get("start_s", 0) / STEP_S)
    assert [cut for cut in cuts_of(path, **options) if cut > begins] == [
        cut for cut in CUTS if cut > begins
    ]


def test_a_threshold_that_no_cut_reaches(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", shots())
    assert cuts_of(path, scene_threshold=255.0) == []


@pytest.mark.parametrize("sampling", ["fast", "keyframes"])
def test_cuts_at_key_frames_with_less_decoding(tmp_path: Path, sampling: Sampling) -> None:
    path = write(tmp_path / "film.mp4", shots())  # x264 puts them there
    assert cuts_of(path, sampling=sampling) == CUTS


def test_little_more_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", shots())
    times_s = [0.5 + i for i in range(12)]
    with VideoReader(path, (64, 64)) as reader:
        list(reader.frames(times_s))
        assert reader._selection is not None
        before = reader._selection.decoded
        list(CutFinder(CaptionOptions(frames=2)).frames(reader, times_s))
        assert reader._selection.decoded <= before + 12 * len(CUTS)


def test_windows_of_a_real_film(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", shots())
    with VideoReader(path, (64, 64)) as reader:
        windows = list(auto_windows(reader, CaptionOptions(frames=2)))
    ends_s = [1.48, 3.88, 5.04, 6.8, 10.0, reader.end_s]
    assert [window.end_s for window in windows] == pytest.approx(ends_s)
    for window in windows:
        assert all(window.start_s <= frame.pts_s < window.end_s for frame in window.frames)


def test_a_film_read_from_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", shots(), **ENCODERS["fixed.mp4"])

    def bounds(**options: float) -> list[tuple[float, float]]:
        with VideoReader(path, (64, 64)) as reader:
            windows = auto_windows(reader, CaptionOptions(window_s=2.0, frames=2, **options))  # type: ignore[arg-type]
            return [(window.start_s, window.end_s) for window in windows]

    assert bounds(start_s=4.0)[1:] == [pair for pair in bounds() if pair[0] >= 5.0]


ODD = ["still.png", "one_frame.mp4", "vfr.mp4", "truncated.mp4", "damaged.avi", "damaged.webm"]
ODD += ["animated.gif", "delayed.mkv", "negative.mkv", "longer_than_said.mp4", "live.webm"]


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_covered(clips: Clips, name: str) -> None:
    with VideoReader(clips[name], (64, 48)) as reader:
        windows = list(auto_windows(reader, CaptionOptions(window_s=0.5, frames=3)))
        end_s = 0.5 if name == "still.png" else reader.end_s
    assert windows[0].start_s == 0 and windows[-1].end_s == pytest.approx(end_s)
    assert all(a.end_s == b.start_s for a, b in pairwise(windows))
