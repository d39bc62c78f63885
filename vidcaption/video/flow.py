"""Optical flow as a picture: how far everything moves from a frame to one shortly after it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from heapq import merge
from itertools import tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcaption.types import Flow, Frame

# Share of the frame's side that something moves to reach the end of the scale. Shares and not
# pixels, so that the flow of a resized frame is the resized flow.
REACH = 0.125
REST = 128  # the level of no motion
LEVELS = 127  # from there to the end of the scale
SLACK_S = 1e-3  # timestamps are rounded

# From two grey pictures, and room for the result, to (H, W, 2) in pixels.
Estimator = Callable[[Any, Any, Any], Any]


class FlowReader:
    """Adds to frames their optical flow to the frame that is shown ``flow.gap_s`` later.

    Where a video has fewer frames, as ``fps`` says, the next frame takes its place. The flow is
    scaled by the true time between both, so that it means the same speed everywhere; the last
    frames, which none follows, do not move.
    """

    def __init__(self, flow: Flow, fps: float | None) -> None:
        self._flow = flow
        self._apart_s = max(flow.gap_s, 1 / fps if fps else 0.0) + SLACK_S
        self._estimate = _ESTIMATORS[flow.method]()
        self._latest: tuple[Frame, Frame, Frame] | None = None  # a pair, and what came of it

    def pick(
        self, read: Callable[[Iterable[float]], Iterator[Frame]], times_s: Iterable[float]
    ) -> Iterator[Frame]:
        """A frame with its flow for each time, from one pass of ``read`` over all frames needed.

        ``times_s`` ascend, and may be endless.
        """
        firsts, seconds = tee(times_s)
        both = merge(((t, False) for t in firsts), ((t + self._apart_s, True) for t in seconds))
        asked, roles = tee(both)
        waiting: deque[Frame] = deque()
        frame: Frame | None = None
        for frame, (_, later) in zip(read(t for t, _ in asked), roles, strict=False):
            if later:
                yield self._join(waiting.popleft(), frame)
            else:
                waiting.append(frame)
        for before in waiting:
            yield self._join(before, frame or before)

    def every(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """All frames of a video with their flow."""
        waiting: deque[Frame] = deque()
        shown: Frame | None = None
        for frame in frames:
            while waiting and waiting[0].pts_s + self._apart_s < frame.pts_s:
                yield self._join(waiting[0], shown or waiting[0])
                waiting.popleft()
            waiting.append(frame)
            shown = frame
        for before in waiting:
            yield self._join(before, shown or before)

    def _join(self, before: Frame, after: Frame) -> Frame:
        if self._latest and self._latest[0] is before and self._latest[1] is after:
            return self._latest[2]
        passed_s = after.pts_s - before.pts_s
        height, width = before.image.shape[:2]
        moved = np.zeros((height, width, 2), np.float32)
        if passed_s > 0:
            moved = self._estimate(_grey(before.image), _grey(after.image), moved)
            moved *= self._flow.gap_s / passed_s
        image = np.concatenate([before.image, picture_of(moved)], -1)
        joined = Frame(before.pts_s, image)
        self._latest = before, after, joined
        return joined


def picture_of(moved: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) of x, y and magnitude as 8 bits, after S2VT (Venugopalan et al. 2015b, section
    3.3); ``moved``: (H, W, 2), in pixels.

    x and y are 128 at rest, and reach 1 and 255 where something moves by ``REACH`` of the frame's
    width or height; the magnitude is 0 at rest.
    """
    height, width = moved.shape[:2]
    share = moved / (REACH * np.array([width, height], np.float32))
    length = 2 * LEVELS * np.linalg.norm(share, axis=-1, keepdims=True).clip(0, 1)
    levels = np.concatenate([REST + LEVELS * share.clip(-1, 1), length], -1)
    return np.asarray(levels.round().astype(np.uint8))


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2  # slow to import, and only needed for flow

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _dis() -> Estimator:
    """Dense inverse search (Kroeger et al. 2016)."""
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return search.calc


def _farneback() -> Estimator:
    """Polynomial expansion (Farneback 2003), with the parameters of OpenCV's documentation."""
    import cv2

    return partial(
        cv2.calcOpticalFlowFarneback,
        **{"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3},
        **{"poly_n": 5, "poly_sigma": 1.2, "flags": 0},
    )


_ESTIMATORS: dict[str, Callable[[], Estimator]] = {"dis": _dis, "farneback": _farneback}
