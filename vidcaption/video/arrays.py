"""Videos in memory, as arrays of pixels."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from threading import Event

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vidcaption.errors import UsageError
from vidcaption.types import Flow, VideoInfo
from vidcaption.video.decode import Shown
from vidcaption.video.reader import VideoReader


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
        flow: Flow | None = None,
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
        super().__init__("frames", size, flow=flow, info=info)
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
