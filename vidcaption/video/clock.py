"""Time from the container: seconds from its start, never ``index / fps``."""

from fractions import Fraction
from typing import Protocol

import av
from av.container import InputContainer
from av.video.stream import VideoStream

FALLBACK_FPS = Fraction(25)  # for streams without timing, as FFmpeg assumes
# Jumps of the timestamps that mean a new clock (joined recordings, damage) rather than badly sorted
# frames or a long still picture: back by this much, ahead by this much and past the end, or ahead
# by more than a picture may last.
STEP_BACK_S = 1.0
STEP_AHEAD_S = 600.0
LONGEST_STEP_S = 86_400.0


class Timed(Protocol):
    """A frame or a packet; all in ticks of its stream."""

    @property
    def pts(self) -> int | None: ...
    @property
    def dts(self) -> int | None: ...
    @property
    def duration(self) -> int | None: ...


def origin_of(container: InputContainer, stream: VideoStream) -> int | None:
    """The container's start as a timestamp of the stream; None if not known yet."""
    if container.start_time is None or stream.time_base is None:
        return stream.start_time
    return round(Fraction(container.start_time, av.time_base) / stream.time_base)


class Clock:
    """Reads frames' timestamps as seconds from the container's start that never run backwards.

    ``tick``: seconds of one unit of the timestamps. ``frame_s``: seconds of a frame whose duration
    is unknown. ``origin``: the timestamp of the container's start; the first frame's if None.
    ``said_s``: the video's end according to the container. ``packets_only``: only packets have
    times, one tick each, as in AVI; FFmpeg's guesses of the frames' times are slightly late.
    """

    def __init__(
        self,
        tick: Fraction,
        frame_s: float,
        origin: int | None,
        said_s: float | None = None,
        packets_only: bool = False,
    ) -> None:
        self.tick = tick
        self.origin = origin
        self.packets_only = packets_only
        self._frame_s = frame_s
        self._said_s = said_s or 0.0
        self._start_s = self._end_s = 0.0
        self._packets: list[int] | None = [] if packets_only else None  # until the first frame
        self._delay = 0  # packets that the decoder needs before it returns a frame

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream, said_s: float | None) -> "Clock":
        """The clock of a stream, before its first packet."""
        tick = stream.time_base or Fraction(1, av.time_base)
        rate = stream.guessed_rate or stream.average_rate or FALLBACK_FPS
        origin = origin_of(container, stream)
        return cls(tick, float(1 / rate), origin, said_s, container.format.name == "avi")

    def duration_s(self, ticks: int | None) -> float:
        """Seconds of a frame's duration, or of any frame's where it is unknown."""
        return float(ticks * self.tick) if ticks and ticks > 0 else self._frame_s

    def expect(self, dts: int | None) -> None:
        """Note the time of a packet, before the frame that it makes the decoder return is read."""
        if self._packets is not None and dts is not None:
            self._packets.append(dts)

    def read(self, frame: Timed) -> tuple[float, float]:
        """(start, end) in seconds of the frame, or its packet, shown after the one read before."""
        start_s = self._end_s  # of a frame without a timestamp
        pts = self._from_packets(frame.dts) if self.packets_only else frame.pts
        if pts is not None:
            if self.origin is None:
                self.origin = pts
            start_s = float((pts - self.origin) * self.tick)
            if not self._start_s - STEP_BACK_S <= start_s <= self._latest_s():
                start_s = self._end_s
                self.origin = pts - round(start_s / self.tick)
        self._start_s = max(start_s, self._start_s)
        self._end_s = min(self._start_s + self.duration_s(frame.duration), self._latest_s())
        return self._start_s, self._end_s

    def _from_packets(self, dts: int | None) -> int | None:
        """The time of a frame, from the packet with which the decoder returned it."""
        if dts is None:
            return None
        if self._packets is not None:
            self._delay = self._packets.index(dts) if dts in self._packets else 0
            self._packets = None
        return dts - self._delay

    def _latest_s(self) -> float:
        return min(max(self._start_s + STEP_AHEAD_S, self._said_s), self._start_s + LONGEST_STEP_S)
