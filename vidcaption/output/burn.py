"""Draws subtitles into the picture, which is re-encoded; the sound is copied."""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vidcaption.errors import UsageError
from vidcaption.output.layout import Cue
from vidcaption.output.mux import Watch, copies, created, kind_of, opened, packets_of, start_s
from vidcaption.video.reader import VideoReader

TICK = Fraction(1, 90_000)
_HD = 720  # lines; from this size on players assume BT.709 colours
_LINES = 18  # of text that would fill the picture's shorter side
_MARGIN = 0.04  # free space at the bottom, as a share of the picture's height
_WIDEST = 0.94  # maximum width of a line, as a share of the picture's width

Picture = NDArray[np.uint8]


def burn_subtitles(
    video: Path, cues: Sequence[Cue], target: Path, font: Path | None, watch: Watch
) -> None:
    """Write ``target``: the frames of ``video``, upright, with the cues on them, and its sound.

    ``cues``: counted from the first frame, in order. ``font``: a TrueType or OpenType file; that of
    Pillow, which has Latin letters alone, if not given. Frames keep their times. Raises InputError,
    UsageError, OutputError.
    """
    kind = kind_of(target)
    painter = Painter(cues, font)
    with (
        VideoReader(video) as reader,
        opened(video) as (source, picture),
        created(target, kind, source) as output,
    ):
        info = reader.info
        encoded = output.add_stream(
            kind.encoder, picture.average_rate or picture.guessed_rate, options=dict(kind.encoding)
        )
        assert isinstance(encoded, VideoStream)
        encoded.width, encoded.height = even(info.width), even(info.height)
        encoded.pix_fmt = "yuv420p"
        encoded.codec_context.time_base = TICK
        shape = picture.sample_aspect_ratio or Fraction(1)
        encoded.sample_aspect_ratio = shape if info.rotation % 180 == 0 else 1 / shape
        matrix = Colorspace.ITU709 if encoded.height >= _HD else Colorspace.ITU601
        encoded.codec_context.colorspace = matrix
        encoded.codec_context.color_range = ColorRange.MPEG
        copied = copies(output, source.streams.audio)
        output.start_encoding()

        sound = packets_of(video, source, source.streams.audio) if copied else iter(())
        waiting = next(sound, None)
        for frame in reader.frames():
            watch(frame.pts_s)
            drawn = av.VideoFrame.from_ndarray(painter.paint(frame.image, frame.pts_s), "rgb24")
            drawn = drawn.reformat(encoded.width, encoded.height, "yuv420p", dst_colorspace=matrix)
            at_s = frame.pts_s + start_s(picture)
            drawn.pts, drawn.time_base = round(at_s / TICK), TICK
            output.mux(encoded.encode(drawn))
            while waiting is not None and (waiting.dts or 0) * (waiting.time_base or 0) <= at_s:
                waiting.stream = copied[waiting.stream.index]
                output.mux(waiting)
                waiting = next(sound, None)
        output.mux(encoded.encode(None))
        while waiting is not None:
            waiting.stream = copied[waiting.stream.index]
            output.mux(waiting)
            waiting = next(sound, None)


def even(side: int) -> int:
    """The largest size up to this one that encoders accept."""
    return max(2, side // 2 * 2)


class Painter:
    """Draws cues, white with a black outline, centred at the bottom of pictures.

    Raises UsageError if the font cannot be used.
    """

    def __init__(self, cues: Sequence[Cue], font: Path | None) -> None:
        self._cues, self._font = cues, font
        self._next = 0
        self._drawn = lru_cache(maxsize=1)(self._draw)
        self._sized(16)

    def paint(self, image: Picture, time_s: float) -> Picture:
        """``image``, (H, W, 3) RGB, with the cue of that time. Times come in ascending order."""
        while self._next < len(self._cues) and self._cues[self._next].end_ms <= 1000 * time_s:
            self._next += 1
        if self._next == len(self._cues) or 1000 * time_s < self._cues[self._next].start_ms:
            return image
        top, patch, opacity = self._drawn(self._next, *image.shape[:2])
        painted = image.copy()
        below = painted[top : top + len(patch)]
        below[:] = (below * (255 - opacity) + patch * opacity + 127) // 255
        return painted

    def _draw(self, number: int, height: int, width: int) -> tuple[int, Picture, Picture]:
        """(top, patch, opacity) of a cue on a picture: the patch is as wide as the picture."""
        text = "\n".join(self._cues[number].lines)
        size = max(8, min(height, width) // _LINES)
        sheet = ImageDraw.Draw(Image.new("L", (1, 1)))

        def box(size: int) -> tuple[float, float, float, float]:
            return sheet.multiline_textbbox(
                (0, 0), text, self._sized(size), stroke_width=edge(size), align="center"
            )

        left, above, right, under = box(size)
        while right - left > _WIDEST * width and size > 1:
            size -= 1
            left, above, right, under = box(size)
        rows = min(height, int(under - above) + 2)
        layers = Image.new("LA", (width, rows))
        ImageDraw.Draw(layers).multiline_text(
            ((width - right - left) / 2, 1 - above), text, (255, 255), self._sized(size),
            align="center", stroke_width=edge(size), stroke_fill=(0, 255),
        )  # fmt: skip
        top = max(0, height - rows - round(_MARGIN * height))
        values = np.asarray(layers)
        return top, values[..., :1].astype(np.uint16), values[..., 1:].astype(np.uint16)

    def _sized(self, size: int) -> "ImageFont.FreeTypeFont":
        try:
            if self._font is not None:
                return ImageFont.truetype(self._font, size)
        except OSError as error:
            raise UsageError(
                f"--font is {self._font}, not a TrueType or OpenType font; name another file"
            ) from error
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font


def edge(size: int) -> int:
    """Width in pixels of the black outline for a font size."""
    return max(1, size // 12)
