"""Write a 20-second sample video from photographs that scikit-image carries: a motorcycle, an
astronaut, a cup of coffee, a cat and a rocket, four seconds each, with a slow camera move and hard
cuts.

Where the photographs come from stands in their docstrings in ``skimage.data``.

    python examples/make_clip.py examples/clip.mp4
"""

import sys
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

WIDTH, HEIGHT = 480, 360  # pixels
FPS = 24
SECONDS_PER_PHOTO = 4
CRF = "32"  # x264's quality; lower is better and larger

Point = tuple[float, float]  # (x, y), each in [0, 1] of the free room of the view

# photograph, zoom and view at its start, zoom and view at its end; at zoom 1 the view is the
# largest 4:3 rectangle that fits the photograph
MOVES: tuple[tuple[NDArray[np.uint8], float, Point, float, Point], ...] = (
    (data.stereo_motorcycle()[0], 1.00, (0.2, 0.5), 1.10, (0.6, 0.6)),
    (data.astronaut(), 1.00, (0.5, 0.0), 1.15, (0.5, 0.05)),
    (data.coffee(), 1.25, (0.4, 0.5), 1.00, (0.5, 0.5)),
    (data.cat(), 1.00, (0.0, 0.5), 1.10, (0.8, 0.5)),
    (data.rocket(), 1.00, (0.2, 0.5), 1.15, (0.6, 0.6)),
)


def view(photo: NDArray[np.uint8], zoom: float, at: Point) -> NDArray[np.uint8]:
    """The part of ``photo`` (H, W, 3) that the camera sees, as (HEIGHT, WIDTH, 3)."""
    height, width = photo.shape[:2]
    scale = min(width / WIDTH, height / HEIGHT) / zoom  # photograph pixels per video pixel
    left, top = at[0] * (width - scale * WIDTH), at[1] * (height - scale * HEIGHT)
    matrix = np.array([[scale, 0, left], [0, scale, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        photo, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT
    )


def frames() -> Iterator[NDArray[np.uint8]]:
    """Every frame of the video, in order."""
    count = FPS * SECONDS_PER_PHOTO
    for photo, zoom, start, end_zoom, end in MOVES:
        for i in range(count):
            t = i / (count - 1)
            x, y = (a + t * (b - a) for a, b in zip(start, end, strict=True))
            yield view(photo, zoom + t * (end_zoom - zoom), (x, y))


def write(path: str) -> None:
    with av.open(path, "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": CRF, "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for pixels in frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUTPUT.mp4")
    write(sys.argv[1])
