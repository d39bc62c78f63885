"""Photographs as phones store them: many tiles that make one picture."""

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from heif import write_grid
from numpy.typing import NDArray

from vidcaption.batch import discover
from vidcaption.errors import InputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.video.batches import WindowReader
from vidcaption.video.reader import VideoReader

SIZE = (150, 90)


@pytest.fixture(scope="module")
def gradient() -> NDArray[np.uint8]:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.stack([x * 255 // 150, y * 255 // 90, x + y], -1).astype(np.uint8)


@pytest.fixture(scope="module", params=["heic", "avif"])
def photo(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    gradient: NDArray[np.uint8],
) -> Iterator[Path]:
    av.logging.set_level(None)
    path = tmp_path_factory.mktemp("photos") / f"IMG_1.{request.param.upper()}"
    yield write_grid(path, gradient, 2, 3)


def read(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    with VideoReader(path, size) as reader:
        [frame] = reader.frames([0.0])
        info = reader.info
    assert (info.duration_s, info.fps, info.frames) == (None, None, 1)
    if size is None:
        assert frame.image.shape == (info.height, info.width, 3)
    return frame.image


def difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype(int) - theirs).mean())


def test_tiles_make_one_picture(photo: Path, gradient: NDArray[np.uint8]) -> None:
    assert difference(read(photo), gradient) < 3
    halves = gradient.reshape(45, 2, 75, 2, 3).mean((1, 3)).astype(np.uint8)
    assert difference(read(photo, (75, 45)), halves) < 3
    with WindowReader(photo, (32, 32), CaptionOptions(frames=2, window_s=3), 8) as reader:
        [window] = reader.read()
        assert (window.start_s, window.end_s, reader.read()) == (0, 3, [])


@pytest.mark.parametrize("orientation", [(1, -1), (2, -1), (3, -1), (0, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_they_are_turned(
    tmp_path: Path, gradient: NDArray[np.uint8], suffix: str, orientation: tuple[int, int]
) -> None:
    path = write_grid(tmp_path / f"photo.{suffix}", gradient, 2, 3, orientation)
    turns, axis = orientation
    upright = np.rot90(gradient, turns)
    assert difference(read(path), np.flip(upright, axis) if axis >= 0 else upright) < 3


def test_a_photograph_cut_off(photo: Path, tmp_path: Path) -> None:
    path = tmp_path / photo.name
    path.write_bytes(photo.read_bytes()[: photo.stat().st_size // 3])
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value) == f"{path} cannot be decoded; it may be damaged or cut off"


def test_a_photograph_that_is_too_large(photo: Path, tmp_path: Path) -> None:
    path = tmp_path / photo.name
    data = photo.read_bytes()
    path.write_bytes(data.replace(struct.pack(">II", *SIZE), struct.pack(">II", 20_000, 90)))
    with pytest.raises(InputError, match="has frames of 20000x90 pixels; scale it down"):
        read(path)


def test_photographs_are_found_in_folders(photo: Path) -> None:
    assert list(discover([photo.parent])) == [photo]
