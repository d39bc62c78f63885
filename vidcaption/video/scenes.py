"""Splits a video into windows at scene changes, in one pass and in constant memory."""

import math
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scenedetect.common import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from vidcaption.options.captioning import SHORTEST, CaptionOptions
from vidcaption.types import Frame, Window
from vidcaption.video.reader import VideoReader
from vidcaption.video.windows import centres, shown, still_window

LONGEST = 1 + SHORTEST  # windows in a scene: anything longer is split
CANDIDATES = 8  # frames kept of an open stretch for each frame of a window
ANY_FPS = 25.0  # the detector requires a rate with each frame's number, but does not use it


def scene_windows(reader: VideoReader, options: CaptionOptions) -> Iterator[Window]:
    """Windows of ``frames`` frames each, one or more for every scene.

    A scene longer than one and a quarter windows is split into equal parts; one of two windows or
    more yields whole windows before its end is known. A scene shorter than ``min_scene_s``, a
    quarter window unless given, joins the next one, and the last scene the one before if it is
    also shorter than a quarter window. A still image is one window.
    """
    if reader.info.duration_s is None:
        yield still_window(reader, options)
        return
    shortest_s = options.shortest_scene_s
    scene_s = options.start_s
    longest_s = options.window_s * LONGEST
    room = CANDIDATES * options.frames
    # Only the last one is open. The one before is kept, because a short last scene may join it.
    stretches = [_Stretch(options.start_s, room)]
    frames = _between(reader, options.start_s, options.end_s)
    for frame, is_cut in mark_cuts(frames, options.scene_threshold):
        if is_cut and frame.pts_s - scene_s >= shortest_s:
            scene_s = frame.pts_s
            stretches += stretches.pop().split(frame.pts_s, longest_s)
            stretches.append(_Stretch(frame.pts_s, room))
        while frame.pts_s - stretches[-1].start_s >= 2 * options.window_s:
            stretches.append(stretches[-1].rest(stretches[-1].start_s + options.window_s))
            if len(stretches) > 2:  # a picture may be shown for a day
                yield stretches.pop(0).window(stretches[0].start_s, options.frames)
        while len(stretches) > 2:
            yield stretches.pop(0).window(stretches[0].start_s, options.frames)
        stretches[-1].add(frame)
    last = stretches.pop()
    if not last.frames:
        return
    end_s = reader.end_s if options.end_s is None else min(reader.end_s, options.end_s)
    if stretches and end_s - last.start_s < min(shortest_s, options.window_s * SHORTEST):
        extra, last = last, stretches.pop()
        last.frames += extra.frames
    stretches += last.split(end_s, longest_s)
    ends_s = [stretch.start_s for stretch in stretches[1:]] + [end_s]
    for stretch, until_s in zip(stretches, ends_s, strict=True):
        yield stretch.window(until_s, options.frames)


class _Stretch:
    """A scene or a part of one, with at most ``room`` of its frames, evenly spread.

    While it is open, its end is not known.
    """

    def __init__(self, start_s: float, room: int) -> None:
        self.start_s = start_s
        self.frames: list[Frame] = []
        self._room = room
        self._spacing_s = 0.0

    def add(self, frame: Frame) -> None:
        """Keep a frame, unless it follows too closely; thin them out when there is no room."""
        if self.frames and frame.pts_s <= self.frames[-1].pts_s + self._spacing_s:
            return
        self.frames.append(frame)
        if len(self.frames) > self._room:
            crowd, self.frames = self.frames, []
            self._spacing_s = 2 * (crowd[-1].pts_s - crowd[0].pts_s) / self._room
            for each in crowd:
                self.add(each)

    def rest(self, start_s: float) -> "_Stretch":
        """The same from a later time on, with the frames that are shown from then on."""
        rest = _Stretch(start_s, self._room)
        gone = sum(after.pts_s <= start_s for _, after in pairwise(self.frames))
        rest.frames = self.frames[gone:]
        rest._spacing_s = self._spacing_s
        return rest

    def split(self, end_s: float, longest_s: float) -> "list[_Stretch]":
        """Equal parts that are not too long. The first is this one."""
        parts = max(1, math.ceil((end_s - self.start_s) / longest_s - 1e-6))
        step_s = (end_s - self.start_s) / parts
        return [self, *(self.rest(self.start_s + i * step_s) for i in range(1, parts))]

    def window(self, end_s: float, frames: int) -> Window:
        times_s = centres(self.start_s, end_s, frames)
        return Window(self.start_s, end_s, shown(self.frames, times_s))


def _between(reader: VideoReader, start_s: float, end_s: float | None) -> Iterator[Frame]:
    """Every frame that is shown between the two times."""
    before: Frame | None = None
    for frame in reader.frames():
        if end_s is not None and frame.pts_s >= end_s:
            break
        if frame.pts_s <= start_s:
            before = frame
            continue
        if before:
            yield before
            before = None
        yield frame
    if before and start_s < reader.end_s:
        yield before


def mark_cuts(frames: Iterator[Frame], threshold: float) -> Iterator[tuple[Frame, bool]]:
    """(frame, whether a scene starts with it), a few frames late as the detector looks ahead.

    AdaptiveDetector finds the same cuts as ContentDetector in shots of at least its five frames,
    and mistakes pans, shaking cameras and fades for cuts far less often.
    """
    # short scenes are joined above, by time
    detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=0)
    waiting: deque[tuple[int, Frame]] = deque()
    cuts: set[int] = set()
    for index, frame in enumerate(frames):
        waiting.append((index, frame))
        # BGR; every second pixel finds the same cuts in a quarter of the time
        image = np.ascontiguousarray(frame.image[::2, ::2, 2::-1])
        # The frame's number as its timecode maps back to our own timestamp exactly.
        found = detector.process_frame(FrameTimecode(index, ANY_FPS), image)
        cuts.update(timecode.frame_num for timecode in found)
        if len(waiting) > detector.event_buffer_length:
            number, ready = waiting.popleft()
            yield ready, number in cuts
            cuts.discard(number)
    for number, ready in waiting:
        yield ready, number in cuts
