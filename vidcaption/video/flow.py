"""Optical flow as a picture: how far everything moves from a frame to one shortly after it, and on
from there."""

from bisect import bisect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from heapq import merge
from itertools import pairwise, tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcaption.types import LEVELS, REACH, REST, Flow, Frame

SLACK_S = 1e-3  # timestamps are rounded

# From two grey pictures, and room for the result, to (H, W, 2) in pixels.
Estimator = Callable[[Any, Any, Any], Any]


class FlowReader:
    """Adds to frames their optical flow to the frame that is shown ``flow.gap_s`` later, and from
    there on to the next, for ``flow.steps``.

    Where a video has fewer frames, as ``fps`` says, the next frame takes its place. The flow is
    scaled by the true time between both, so that it means the same speed everywhere; the last
    frames, which none follows, do not move.
    """

    def __init__(self, flow: Flow, fps: float | None) -> None:
        self._flow = flow
        self._apart_s = max(flow.gap_s, 1 / fps if fps else 0.0) + SLACK_S
        self._estimate = _ESTIMATORS[flow.method]()
        self._latest: tuple[Sequence[Frame], Frame] | None = None  # what was joined, and the result

    def pick(
        self, read: Callable[[Iterable[float]], Iterator[Frame]], times_s: Iterable[float]
    ) -> Iterator[Frame]:
        """A frame with its flow for each time, from one pass of ``read`` over all frames needed.

        ``times_s`` ascend, and may be endless.
        """
        steps = self._flow.steps
        each = enumerate(tee(times_s, steps + 1))
        asked, places = tee(merge(*(self._later(times, step) for step, times in each)))
        waiting: deque[list[Frame]] = deque()
        frames: list[Frame]
        for frame, (_, place) in zip(read(t for t, _ in asked), places, strict=False):
            if place == 0:
                waiting.append([])
            frames = next(each for each in waiting if len(each) == place)
            frames.append(frame)
            if place == steps:
                yield self._join(waiting.popleft())
        for frames in waiting:
            yield self._join([*frames, *[frame] * (steps + 1 - len(frames))])

    def _later(self, times_s: Iterable[float], step: int) -> Iterator[tuple[float, int]]:
        return ((time_s + step * self._apart_s, step) for time_s in times_s)

    def every(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """All frames of a video with their flow."""
        waiting: deque[Frame] = deque()
        lasts_s = self._flow.steps * self._apart_s
        for frame in frames:
            while waiting and waiting[0].pts_s + lasts_s < frame.pts_s:
                yield self._follow(waiting)
                waiting.popleft()
            waiting.append(frame)
        while waiting:
            yield self._follow(waiting)
            waiting.popleft()

    def _follow(self, frames: Sequence[Frame]) -> Frame:
        """The first of ``frames`` with its flow."""
        begins_s = frames[0].pts_s
        shown = [
            bisect(frames, begins_s + step * self._apart_s, key=lambda frame: frame.pts_s) - 1
            for step in range(self._flow.steps + 1)
        ]
        return self._join([frames[each] for each in shown])

    def _join(self, frames: Sequence[Frame]) -> Frame:
        """The first frame with the flow from each to the next."""
        if self._latest and all(a is b for a, b in zip(self._latest[0], frames, strict=True)):
            return self._latest[1]
        flows = [picture_of(self._between(*pair)) for pair in pairwise(frames)]
        joined = Frame(frames[0].pts_s, np.concatenate([frames[0].image, *flows], -1))
        self._latest = frames, joined
        return joined

    def _between(self, before: Frame, after: Frame) -> NDArray[np.float32]:
        """(H, W, 2), in pixels for ``flow.gap_s``."""
        passed_s = after.pts_s - before.pts_s
        height, width = before.image.shape[:2]
        moved = np.zeros((height, width, 2), np.float32)
        if passed_s > 0:
            moved = self._estimate(_grey(before.image), _grey(after.image), moved)
            moved *= self._flow.gap_s / passed_s
        return moved


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
