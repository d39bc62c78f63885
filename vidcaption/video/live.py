"""Reads a stream while it is filmed: frames in real time, and windows that do not fall behind."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Self

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from vidcaption.errors import InputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Flow, Frame, VideoInfo, Window
from vidcaption.video.decode import Packets, Shown, decode
from vidcaption.video.reader import VideoReader
from vidcaption.video.source import Source
from vidcaption.video.windows import fixed_windows

HORIZON_S = 60.0  # for which a frame that came early counts
WAITED_S = 0.005  # for a packet: it was not there yet
BEHIND_S = 1.0  # in decoding, from where packets are dropped
MOST_WAITING = 8  # windows, of a stream that comes in bursts
CLOSING_S = 1.0  # to wait for a thread that may wait for data itself


class WallClock:
    """From the times of a stream to the time of day, in seconds since 1970.

    Frames may be delayed on their way, and are never early. So the frame that came with the least
    delay sets the clock, among those of the last one or two HORIZON_S: clocks of cameras drift.
    """

    def __init__(self) -> None:
        self._offset_s = self._before_s = math.inf
        self._until_s = -math.inf

    def observe(self, pts_s: float, now_s: float) -> None:
        """Note when a frame came."""
        if now_s >= self._until_s:
            self._before_s, self._offset_s = self._offset_s, math.inf
            self._until_s = now_s + HORIZON_S
        self._offset_s = min(self._offset_s, now_s - pts_s)

    def at(self, pts_s: float) -> float:
        """The time of day of a time of the stream, after the first frame came."""
        return pts_s + min(self._before_s, self._offset_s)


class Backlog:
    """How far the decoder is behind a stream.

    While it has to wait for packets, it is not. Otherwise it is as far behind as the stream's time
    moves slower than the clock.
    """

    def __init__(self) -> None:
        self._since_s = 0.0, 0.0  # of the clock, and of the stream
        self._latest_s = math.inf

    def read(self, asked_s: float, came_s: float, stream_s: float | None) -> float:
        """Seconds. ``asked_s``, ``came_s``: when a packet was asked for and came."""
        if stream_s is None:
            return 0.0
        if came_s - asked_s > WAITED_S or stream_s < self._latest_s:
            self._since_s = came_s, stream_s
        self._latest_s = stream_s
        return (came_s - self._since_s[0]) - (stream_s - self._since_s[1])


class LiveReader(VideoReader):
    """A VideoReader of an open stream, whose time begins with its first frame.

    It decodes in the thread that iterates over its frames. If that is too slow, packets are dropped
    up to a key frame: ``dropped`` counts them. ``wall``: the time of day. ``error``: why the stream
    ended, if there is a reason.
    """

    def __init__(
        self,
        source: Source,
        container: InputContainer,
        stream: VideoStream,
        size: tuple[int, int],
        timeout_s: float,
        wall: WallClock,
        stop: Event,
        flow: Flow | None = None,
    ) -> None:
        codec, fps = stream.codec_context, stream.average_rate or stream.guessed_rate
        info = VideoInfo(
            path=source.name,
            codec=codec.codec.canonical_name,
            width=codec.width,
            height=codec.height,
            rotation=0,
            duration_s=math.inf,
            fps=float(fps) if fps else None,
            frames=None,
        )
        super().__init__(source.name, size, flow=flow, info=info)
        self.error: InputError | None = None
        self.dropped = 0
        self._source, self._timeout_s = source, timeout_s
        self._container, self._stream = container, stream
        self._wall, self._stop = wall, stop
        self._old = source.size()

    def frames(self, times_s: Iterable[float] | None = None) -> Iterator[Frame]:
        return self._answers(times_s, self._stop)

    def _shown(self, stop: Event, times_s: Iterable[float] | None) -> Iterator[Shown]:
        return self._every_shown(stop)

    def _decoded(self) -> Iterator[Shown | None]:
        begun_s: float | None = None
        for shown in decode(self._container, self._stream, None, careful=True, read=self._read):
            if shown is None:
                yield None
                continue
            start_s, end_s, frame = shown
            begun_s = start_s if begun_s is None else begun_s
            self._wall.observe(start_s - begun_s, time.time())
            yield start_s - begun_s, end_s - begun_s, frame
        if begun_s is None:
            raise self.error or InputError(f"{self._source.name} ended before it sent a picture")

    def _read(self, container: InputContainer, stream: VideoStream) -> Packets:
        """The packets to decode, without what a file held before."""
        packets, backlog = container.demux(stream), Backlog()
        begun = not self._old
        skipping = not begun
        while not self._stop.is_set():
            asked_s = time.monotonic()
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                self.error = InputError(self._source.why(error, self._timeout_s))
                return
            except IndexError:  # PyAV does not know streams that appear later
                self.error = InputError(f"{self._source.name} has a new stream")
                return
            if packet is None:
                return
            if packet.size:  # the last one is empty
                behind_s = backlog.read(asked_s, time.monotonic(), _time_of(packet))
                new = (packet.pos or 0) >= self._old
                resumes = packet.is_keyframe and behind_s <= 0 and new
                skipping = not resumes and (skipping or behind_s > BEHIND_S)
                if skipping:
                    self.dropped += begun
                    continue
            begun = True
            yield packet


class LiveWindows:
    """The windows of a source, one by one, read in a thread: a ``Reader``.

    A window is dropped if it waited for longer than half its length while newer ones came. Inside
    the context ``info`` describes the stream, and ``wall`` has the time of day.
    """

    info: VideoInfo

    def __init__(
        self,
        source: Source,
        size: tuple[int, int],
        options: CaptionOptions,
        timeout_s: float,
        flow: Flow | None = None,
    ) -> None:
        self.wall, self._dropped = WallClock(), 0
        self._source, self._size, self._flow = source, size, flow
        self._options, self._timeout_s = options, timeout_s
        self._reader: LiveReader | None = None
        self._waiting: Queue[tuple[float, Window] | BaseException | None] = Queue(MOST_WAITING)
        self._opened, self._stop = Queue[VideoInfo | BaseException](), Event()
        self._newest: Window | None = None

    def __enter__(self) -> Self:
        """Raises InputError if there is no such stream."""
        self._thread = Thread(target=self._work, name="live", daemon=True)
        self._thread.start()
        opened = self._opened.get()  # an interrupt would not end the call of FFmpeg
        if isinstance(opened, BaseException):
            raise opened
        self.info = opened
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(CLOSING_S)

    @property
    def corrupt(self) -> int:
        return self._reader.corrupt if self._reader else 0

    @property
    def end_s(self) -> float:
        return self._reader.end_s if self._reader else 0.0

    @property
    def dropped(self) -> Counter[str]:
        """How many windows were dropped, and packets because the decoder was behind."""
        packets = self._reader.dropped if self._reader else 0
        return +Counter(windows=self._dropped, packets=packets)

    def read(self) -> list[Window]:
        """The next window; none when the stream is over. Raises InputError if it broke off."""
        while True:
            item = self._waiting.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                if self._newest is None:
                    raise InputError(f"{self._source.name} ended before its first window")
                return []
            came_s, window = item
            late = time.monotonic() - came_s > self._options.window_s / 2
            if not late or window is self._newest:
                return [window]
            self._dropped += 1

    def _work(self) -> None:
        """The thread: opens the stream, and reads it to its end."""
        try:
            with self._source.connect(self._timeout_s) as (container, stream):
                self._reader = reader = LiveReader(
                    self._source, container, stream, self._size, self._timeout_s,
                    self.wall, self._stop, self._flow,
                )  # fmt: skip
                self._opened.put(reader.info)
                for window in fixed_windows(reader, self._options):
                    self._newest = window
                    self._put((time.monotonic(), window))
            self._put(reader.error)
        except BaseException as error:
            self._opened.put(error)
            self._put(error)

    def _put(self, item: tuple[float, Window] | BaseException | None) -> None:
        """Let an item wait, for which the oldest window is dropped if too many do."""
        while True:
            try:
                self._waiting.put_nowait(item)
                return
            except Full:
                with suppress(Empty):
                    self._waiting.get_nowait()
                    self._dropped += 1


def _time_of(packet: "Packet[VideoStream]") -> float | None:
    """Seconds of a packet in the order of decoding."""
    ticks = packet.pts if packet.dts is None else packet.dts
    return None if ticks is None or packet.time_base is None else float(ticks * packet.time_base)
