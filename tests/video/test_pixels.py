"""The network gets the same pixels from a still, a video frame and a training crop."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import every, write_clip
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vidcaption.video.pixels import resize
from vidcaption.video.reader import VideoReader, probe

RED, WHITE = (255, 0, 0), (255, 255, 255)


def read(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    with VideoReader(path, size) as reader:
        return next(iter(reader.frames([0.0]))).image


def difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype(int) - theirs).mean())


@pytest.fixture(scope="module")
def quarters() -> Image.Image:
    """Four colours, none of which is where it would be if the picture were turned or mirrored."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32] = RED, (0, 255, 0), (0, 0, 255)
    return Image.fromarray(image)


@pytest.fixture(scope="module")
def blobs() -> NDArray[np.uint8]:
    """Smooth colours without borders, as in photographs."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_stills_are_shown_as_exif_says(
    tmp_path: Path, quarters: Image.Image, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[0x112] = orientation
    quarters.save(path, exif=exif, quality=95)
    shown = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    assert difference(read(path), np.asarray(shown)) < 4
    assert difference(read(path, (32, 32)), np.asarray(shown.resize((32, 32), Image.BOX))) < 6
    info = probe(path)
    assert (info.width, info.height) == shown.size


@pytest.mark.parametrize("size", [(224, 224), (640, 480), (900, 700)])
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_pixels_are_means_in_full_colour(
    tmp_path: Path, blobs: NDArray[np.uint8], suffix: str, size: tuple[int, int]
) -> None:
    """As they were when the first models were trained, by OpenCV."""
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(blobs).save(path, quality=90)
    how = cv2.INTER_AREA if size[0] < 640 else cv2.INTER_LINEAR
    decoded = np.asarray(Image.open(path).convert("RGB"))
    means = np.asarray(cv2.resize(decoded, size, interpolation=how), np.uint8)
    assert difference(read(path, size), means) < 1
    assert difference(resize(decoded, size), means) < 0.7


def test_a_still_and_a_video_of_it_look_the_same(tmp_path: Path, blobs: NDArray[np.uint8]) -> None:
    still, video = tmp_path / "photo.png", tmp_path / "clip.mkv"
    Image.fromarray(blobs).save(still)
    write_clip(video, [0.0], [blobs], codec="ffv1", pix_fmt="bgr0", size=(640, 480))
    assert (read(still, (96, 96)) == read(video, (96, 96))).all()
    assert (read(still, (96, 96)) == resize(blobs, (96, 96))).all()


def see_through() -> Image.Image:
    """Red on the left, half of it transparent; on the right black that cannot be seen."""
    image = np.zeros((48, 64, 4), np.uint8)
    image[:, :32] = (*RED, 255)
    image[24:, :32, 3] = 128
    return Image.fromarray(image)


def assert_on_white(image: NDArray[np.uint8]) -> None:
    height, width = image.shape[:2]
    top, low, left, right = height // 4, height * 3 // 4, width // 4, width * 3 // 4
    np.testing.assert_allclose(image[top, left].astype(int), RED, atol=6)
    np.testing.assert_allclose(image[low, left].astype(int), (255, 127, 127), atol=6)
    np.testing.assert_allclose(image[[top, low], right].astype(int), [WHITE] * 2, atol=6)
    assert image[..., 0].min() > 240  # nowhere between red and white is it dark


@pytest.mark.parametrize("size", [None, (17, 15), (100, 80)])
@pytest.mark.parametrize("suffix", ["png", "webp", "tiff", "avif"])
def test_transparent_stills_are_on_white(
    tmp_path: Path, suffix: str, size: tuple[int, int] | None
) -> None:
    path = tmp_path / f"logo.{suffix}"
    see_through().save(path, lossless=True, quality=100, subsampling="4:4:4")
    assert_on_white(read(path, size))


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palettes_with_a_transparent_entry(tmp_path: Path, suffix: str) -> None:
    image = Image.new("P", (64, 48), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (0, 0, 32, 48))
    image.save(tmp_path / f"logo.{suffix}", transparency=0)
    pixels = read(tmp_path / f"logo.{suffix}", (20, 20))
    assert pixels[5, 5].tolist() == [*RED] and pixels[5, 15].tolist() == [*WHITE]
    assert pixels[..., 0].min() == 255


def test_transparent_videos_are_on_white(tmp_path: Path) -> None:
    frames = [np.asarray(see_through())] * 3
    path = tmp_path / "logo.mov"
    write_clip(path, every(0.1, 3), frames, codec="png", pix_fmt="rgba")
    with VideoReader(path, (32, 24)) as reader:
        for frame in reader.frames():
            assert_on_white(frame.image)
