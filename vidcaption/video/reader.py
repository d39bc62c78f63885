"""Reads a video from its first frame to its last and returns the requested frames.

Time comes from the container's timestamps, never from ``index / fps``. A file is decoded once,
in order, in its own thread: PyAV releases the GIL, so decoding runs in parallel to the network.
"""

import math
import os
from collections.abc import Generator, Iterable, Iterator
from itertools import tee
from queue import Queue
from threading import Event, Thread
from typing import Self

from av.error import FFmpegError
from av.video.frame import VideoFrame

from vidcaption.errors import InputError
from vidcaption.options.captioning import Sampling, VideoDecoder
from vidcaption.types import Flow, Frame, VideoInfo
from vidcaption.video.clock import FALLBACK_FPS
from vidcaption.video.container import is_still, open_video, said_end, undecodable
from vidcaption.video.decode import Shown, decode, decode_all, measure
from vidcaption.video.flow import FlowReader
from vidcaption.video.heif import read_heif
from vidcaption.video.packets import UnsureError
from vidcaption.video.pixels import RGB, Converter, Orientation
from vidcaption.video.sparse import Selection

# Converted frames waiting for the consumer; at least 2, see _run. Resized frames are small, and a
# batch of them lets decoding continue while the network runs.
QUEUE_FRAMES, QUEUE_SCALED_FRAMES = 4, 64


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Describe the video stream of a file. Decodes one frame, the best source of size and rotation.

    Raises InputError if the file is not a video or none of its frames can be decoded.
    """
    return _look(os.fsdecode(path))[0]


def _look(path: str) -> tuple[VideoInfo, Shown]:
    """The description of a video, and its first frame."""
    if heif := read_heif(path):
        codec, picture = heif
        return _describe(path, codec, picture), (0.0, float(1 / FALLBACK_FPS), picture)
    with open_video(path) as (container, stream):
        end_s, count = said_end(container, stream), stream.frames
        frames = (shown for shown in decode(container, stream, end_s, careful=True) if shown)
        first = next(frames, None)
        if first is None:
            raise undecodable(path)
        codec = stream.codec_context.codec.canonical_name
        if is_still(container, stream):
            return _describe(path, codec, first[2]), first
        fps = stream.average_rate or stream.guessed_rate
    if not end_s:
        with open_video(path) as (container, stream):
            end_s, count = measure(container, stream)
    return _describe(
        path,
        codec,
        first[2],
        duration_s=end_s,
        fps=float(fps) if fps else None,
        frames=count or (round((end_s - first[0]) * fps) if fps else None),
    ), first


def _describe(
    path: str,
    codec: str,
    first: VideoFrame,
    *,
    duration_s: float | None = None,
    fps: float | None = None,
    frames: int | None = 1,
) -> VideoInfo:
    try:
        orientation = Orientation.of(first)
    except FFmpegError as error:
        raise _inconvertible(path, first) from error
    width, height = orientation.turn((first.width, first.height))
    return VideoInfo(
        path=path,
        codec=codec,
        width=width,
        height=height,
        rotation=orientation.rotation,
        duration_s=duration_s,
        fps=fps,
        frames=frames,
    )


class VideoReader:
    """Frames of a video as uint8 RGB, with their times. Use it in a ``with`` block.

    ``size`` is the (width, height) in pixels that frames are resized to, after rotation; without it
    frames keep their own size. Neither the frame's nor the sample aspect ratio is kept, because
    the network was trained on frames resized to a square.

    ``sampling``: ``exact`` returns the frame that is shown at each time; ``fast`` the nearest frame
    that others are predicted from, or one up to 2 seconds before, without the decoder's loop
    filter, so slightly less clean; ``keyframes`` the last key frame up to that time. If a file is
    damaged or has unusual timestamps, all are exact. ``decoder``: ``cuda`` decodes on an NVIDIA GPU
    if it can; the frames are copied to the CPU. ``flow``: add the optical flow to each picture.

    ``info`` is the stream's description; ``start_s`` is the time at which its first frame starts,
    which is not 0 if the sound starts earlier. ``corrupt`` counts the packets that were skipped
    because they could not be read or decoded, not those that no requested frame needs; ``end_s``
    is the time at which the last frame ends; both belong to the latest call of ``frames``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int] | None = None,
        sampling: Sampling = "exact",
        decoder: VideoDecoder = "cpu",
        flow: Flow | None = None,
        *,
        info: VideoInfo | None = None,
    ) -> None:
        first: Shown | None = None
        if info is None:
            info, first = _look(os.fsdecode(path))
        self.info = info
        self.start_s = first[0] if first else 0.0
        self.corrupt = 0
        self._end_s = 0.0
        self._still = first if info.duration_s is None else None  # decoded already
        self._selection: Selection | None = None  # of the pass, if it decodes only what is needed
        self._size = size
        self._sampling: Sampling = sampling
        self._decoder: VideoDecoder = decoder
        self._converter = Converter(size)
        self._flow = FlowReader(flow, info.fps) if flow else None
        self._pass: Generator[Frame, None, None] | None = None

    @property
    def end_s(self) -> float:
        """Seconds at which the last frame read so far ends; it moves while the thread reads."""
        return self._selection.end_s if self._selection else self._end_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop decoding and wait for the thread to end; the iterator in use yields no more."""
        if self._pass:
            self._pass.close()

    def frames(self, times_s: Iterable[float] | None = None) -> Iterator[Frame]:
        """One frame for each of ``times_s``: the one shown at that time, or what ``sampling`` says.

        Times are seconds, ascending, and may be endless: the iterator ends with the video. The
        first frame answers the times before it. A frame that answers several times is the same
        object each time. Without ``times_s``, every frame that may be sampled. Each call starts
        from the beginning.
        """
        self.close()
        self._pass = self._run(times_s)
        return self._pass

    def _run(self, times_s: Iterable[float] | None) -> Generator[Frame, None, None]:
        """The consumer's side of the decoding thread."""
        waiting = QUEUE_SCALED_FRAMES if self._size else QUEUE_FRAMES
        results: Queue[Frame | BaseException | None] = Queue(waiting)
        stop = Event()
        thread = Thread(
            target=self._work, args=(times_s, results, stop), name="decode", daemon=True
        )
        self.corrupt, self._end_s, self._selection = 0, 0.0, None
        thread.start()
        try:
            while (result := results.get()) is not None:
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            stop.set()
            # After a stop request the thread puts at most a frame and the end: both fit.
            while not results.empty():
                results.get_nowait()
            thread.join()

    def _work(
        self,
        times_s: Iterable[float] | None,
        results: "Queue[Frame | BaseException | None]",
        stop: Event,
    ) -> None:
        """The thread: puts frames, then None; or an error, which the consumer raises."""
        try:
            for frame in self._answers(times_s, stop):
                results.put(frame)
                if stop.is_set():
                    break
            results.put(None)
        except BaseException as error:
            results.put(error)

    def _answers(self, times_s: Iterable[float] | None, stop: Event) -> Iterator[Frame]:
        if times_s is None:
            every = self._every(stop)
            return self._flow.every(every) if self._flow else every
        if self._flow:
            return self._flow.pick(lambda times_s: self._pick(times_s, stop), times_s)
        return self._pick(times_s, stop)

    def _every(self, stop: Event) -> Iterator[Frame]:
        for start_s, _, frame in self._shown(stop, None):
            yield Frame(start_s, self._convert(frame))

    def _pick(self, times_s: Iterable[float], stop: Event) -> Iterator[Frame]:
        asked, times = tee(times_s)
        time_s = next(times, None)
        for start_s, until_s, frame in self._shown(stop, asked):
            picked: Frame | None = None  # most frames are never picked, so never converted
            while time_s is not None and time_s < until_s:
                picked = picked or Frame(start_s, self._convert(frame))
                yield picked
                time_s = next(times, None)
            if time_s is None:
                return

    def _shown(self, stop: Event, times_s: Iterable[float] | None) -> Iterator[Shown]:
        """The frames that answer the times, or more frames, with the times they are shown."""
        if self._still:
            self._end_s = self._still[1]
            yield self._still
            return
        given_s = -math.inf
        if times_s is not None or self._sampling != "exact":
            selection = Selection(times_s, self._sampling, self.info.duration_s)
            self._selection = selection
            try:
                with open_video(self.info.path, self._decoder) as (container, stream):
                    for shown in selection.decode(container, stream, stop):
                        given_s = shown[0]
                        yield shown
                return
            except UnsureError:
                self._selection = None
        for shown in self._every_shown(stop):
            # The last one may be shown for longer than expected, and then answer more times.
            if shown[0] > given_s or (shown[0] == given_s and times_s is not None):
                yield shown

    def _every_shown(self, stop: Event) -> Iterator[Shown]:
        """Each frame, shown until the next one starts, so one frame behind the decoder."""
        held: tuple[float, VideoFrame] | None = None
        for shown in self._decoded():
            if stop.is_set():
                return
            if shown is None:
                self.corrupt += 1
                continue
            start_s, self._end_s, frame = shown
            if held:
                yield held[0], start_s, held[1]
            held = start_s, frame
        if held is None:
            raise undecodable(self.info.path)
        yield held[0], self._end_s, held[1]

    def _decoded(self) -> Iterator[Shown | None]:
        return decode_all(self.info.path, self.info.duration_s, self._decoder)

    def _convert(self, frame: VideoFrame) -> RGB:
        try:
            return self._converter(frame)
        except FFmpegError as error:
            raise _inconvertible(self.info.path, frame) from error


def _inconvertible(path: str, frame: VideoFrame) -> InputError:
    return InputError(
        f"{path} has frames of format {frame.format.name}, which cannot be converted to RGB; "
        "convert it to a common video format first"
    )
