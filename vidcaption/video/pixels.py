"""From a decoded picture to the pixels that the network sees, in running and in training."""

import math
from fractions import Fraction
from typing import NamedTuple, cast

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

RGB = NDArray[np.uint8]  # (H, W, 3)

# Each pixel is the mean of the pixels it replaces, as in the training of the first models (OpenCV).
# Without the other flags, two neighbours in a row share one colour: the second flag is for other
# sizes, the third for the frame's own.
_SCALING = Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
# PyAV fails on side data of these types, even if only others are requested; 31 is EXIF.
_UNKNOWN_SIDE_DATA = range(28, 32)


class Orientation(NamedTuple):
    """How a stored picture is shown: mirrored left to right, or not, then turned clockwise.

    ``rotation``: degrees, 0, 90, 180 or 270.
    """

    rotation: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """The nearest of the eight to the display matrix, which FFmpeg also creates from EXIF.

        Raises FFmpegError for pixel formats that FFmpeg cannot convert.
        """
        # Where a step right and a step down in the stored picture lead in the shown one.
        right_x, right_y, _, down_x, down_y = _display_matrix(frame)[:5].tolist()
        mirrored = right_x * down_y < right_y * down_x
        if mirrored:
            right_x, right_y = -right_x, -right_y
        return cls(round(math.degrees(math.atan2(right_y, right_x)) / 90) * 90 % 360, mirrored)

    def turn(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) as shown for that as stored, and vice versa."""
        return size if self.rotation % 180 == 0 else size[::-1]

    def apply(self, image: RGB) -> RGB:
        """The picture as it is shown."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -self.rotation // 90))


class Converter:
    """Converts frames of a video, or a still, into pixels.

    ``size``: (width, height) to resize them to, as they are shown.
    """

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self._size = size
        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame
        self._angle: int | None = None
        self._orientation = Orientation()

    def __call__(self, frame: VideoFrame) -> RGB:
        """The picture as it is shown, with transparent parts in white.

        Raises FFmpegError for pixel formats that FFmpeg cannot convert.
        """
        if frame.rotation != self._angle:  # rare; reading the whole matrix takes longer
            self._angle, self._orientation = frame.rotation, Orientation.of(frame)
        if frame.format.has_palette or any(each.is_alpha for each in frame.format.components):
            frame = self._on_white(frame)
        width, height = self._orientation.turn(self._size) if self._size else (None, None)
        scaled = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=_SCALING, threads=1
        )
        pixels = np.asarray(scaled.to_ndarray(), np.uint8)
        return self._orientation.apply(pixels)  # after scaling, when there are fewer pixels

    def _on_white(self, frame: VideoFrame) -> VideoFrame:
        """Before scaling, or the colours of transparent pixels would show at the edges."""
        pixels = self._reformatter.reformat(frame, format="rgba", threads=1).to_ndarray()
        alpha = pixels[..., 3:].astype(np.uint16)
        rgb = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return VideoFrame.from_ndarray(rgb.astype(np.uint8), "rgb24")


def resize(image: RGB, size: tuple[int, int]) -> RGB:
    """Resize a picture to (width, height), as frames are."""
    return Converter(size)(VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24"))


def _display_matrix(frame: VideoFrame) -> NDArray[np.int32]:
    """FFmpeg's display matrix, row by row; that of an upright picture if there is none.

    Read from a tiny copy: a frame whose side data was read refers to itself, which delays freeing
    its memory.
    """
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
        ),
        *(graph.add("sidedata", f"mode=delete:type={kind}") for kind in _UNKNOWN_SIDE_DATA),
        graph.add("scale", "8:8:flags=neighbor"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    side_data = cast(SideDataContainer, graph.pull().side_data)
    if "DISPLAYMATRIX" not in side_data:
        return np.eye(3, dtype=np.int32).ravel()
    return np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), np.int32)
