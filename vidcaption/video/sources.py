"""Videos that are not files: in a stream, which is copied to a file, or in arrays."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePath
from threading import Event
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vidcaption.errors import InputError, UsageError
from vidcaption.options import CaptionOptions
from vidcaption.types import VideoInfo, Window
from vidcaption.video.batches import WindowReader
from vidcaption.video.decode import Shown
from vidcaption.video.protocol import Reader
from vidcaption.video.reader import VideoReader
from vidcaption.video.spool import spooled


class StreamReader:
    """Reads the windows of a video in a stream, like WindowReader. ``info.path`` is its name.

    ``reader_of``: creates the reader of the file that the stream is copied to.
    """

    info: VideoInfo

    def __init__(self, stream: BinaryIO, reader_of: Callable[[Path], Reader]) -> None:
        name = getattr(stream, "name", None)
        self._name = name if isinstance(name, str) and name else "stream"
        self._stream, self._stack, self._reader_of = stream, ExitStack(), reader_of
        self._path = Path(self._name)

    def __enter__(self) -> Self:
        """Raises InputError, UsageError, OutputError."""
        with ExitStack() as stack:
            file = f"stream{PurePath(self._name).suffix}"
            self._path = stack.enter_context(spooled(self._stream, file, self._name))
            self._reader = self._reader_of(self._path)
            with self._renamed():
                stack.enter_context(self._reader)
            self._stack = stack.pop_all()
        self.info = replace(self._reader.info, path=self._name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def corrupt(self) -> int:
        return self._reader.corrupt

    @property
    def end_s(self) -> float:
        return self._reader.end_s

    def read(self) -> list[Window]:
        """The next windows; none when the video is over. Raises InputError."""
        with self._renamed():
            return self._reader.read()

    @contextmanager
    def _renamed(self) -> Iterator[None]:
        """Messages name the stream, not the file that it was copied to."""
        try:
            yield
        except InputError as error:
            raise InputError(str(error).replace(str(self._path), self._name)) from error


class ArrayReader(WindowReader):
    """Reads the windows of a video that is in memory; see WindowReader and FrameArray."""

    def __init__(
        self,
        frames: Sequence[NDArray[np.uint8]],
        times_s: Sequence[float],
        size: tuple[int, int],
        options: CaptionOptions,
        batch_size: int,
    ) -> None:
        super().__init__(Path("frames"), size, options, batch_size)
        self._array = FrameArray(frames, times_s, size)

    def _open(self) -> VideoReader:
        return self._array


class FrameArray(VideoReader):
    """A VideoReader of (H, W, 3) uint8 RGB ``frames``, each shown from its time on.

    The last one is shown for as long as the one before it; a single one is a still image. Raises
    UsageError for anything other than such frames, and for times that do not ascend.
    """

    def __init__(
        self,
        frames: Sequence[NDArray[np.uint8]],
        times_s: Sequence[float],
        size: tuple[int, int] | None = None,
    ) -> None:
        self._frames, self._times_s = frames, [*map(float, times_s)]
        self._check()
        if len(frames) > 1:
            self._times_s.append(2 * self._times_s[-1] - self._times_s[-2])
        else:
            self._times_s.append(self._times_s[0] + 1)
        duration_s = self._times_s[-1] if len(frames) > 1 else None
        height, width = frames[0].shape[:2]
        info = VideoInfo(
            path="frames",
            codec="rawvideo",
            width=width,
            height=height,
            rotation=0,
            duration_s=duration_s,
            fps=len(frames) / (duration_s - self._times_s[0]) if duration_s else None,
            frames=len(frames),
        )
        super().__init__("frames", size, info=info)
        self.start_s = self._times_s[0]

    def _check(self) -> None:
        frames, times = len(self._frames), len(self._times_s)
        if not frames or frames != times:
            raise UsageError(
                f"the numbers of frames and times are {frames} and {times}; "
                "give at least one frame, and the time of each"
            )
        for frame in self._frames:
            array = isinstance(frame, np.ndarray)
            if not array or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                got = f"{frame.dtype} of shape {frame.shape}" if array else type(frame).__name__
                raise UsageError(f"a frame is {got}; it must be RGB: uint8 of shape (H, W, 3)")
        known = all(map(math.isfinite, self._times_s)) and self._times_s[0] >= 0
        if not known or any(before >= after for before, after in pairwise(self._times_s)):
            raise UsageError("the times of frames must be seconds from 0 on, in ascending order")

    def _shown(self, stop: Event, times_s: Iterable[float] | None) -> Iterator[Shown]:
        for frame, (start_s, until_s) in zip(self._frames, pairwise(self._times_s), strict=True):
            if stop.is_set():
                return
            self._end_s = until_s
            yield start_s, until_s, VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
