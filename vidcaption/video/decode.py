"""Decodes a video from its first frame to its last, with times that can be relied on."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidcaption.cpus import cpu_count
from vidcaption.options import VideoDecoder
from vidcaption.video.container import MAX_PIXELS, open_video, said_duration

FALLBACK_FPS = Fraction(25)  # for streams without any timing, as FFmpeg assumes
# Steps of the timestamps that mean a new clock (joined recordings, damage) rather than badly sorted
# frames or a picture that stands still: back by so much, ahead by so much and past the end, or
# ahead by more than any picture stands.
STEP_BACK_S = 1.0
STEP_AHEAD_S = 600.0
LONGEST_STEP_S = 86_400.0
MOST_THREADS = 16  # as many as FFmpeg takes by itself

Shown = tuple[float, float, VideoFrame]  # shown from, until (seconds), and the decoded frame


def decode_all(path: str, decoder: VideoDecoder = "cpu") -> Iterator[Shown | None]:
    """Every frame of a file in the order shown, and None for each packet that was skipped.

    Frame threads are fast, but after a damaged packet PyAV cannot fetch what they still hold, and
    the decoder refuses all that follows. So at the first sign of damage the file is decoded once
    more without them, passing over the frames that have been given.
    """
    given = 0
    with open_video(path, decoder) as (container, stream):
        for shown in decode(container, stream, careful=False):
            if shown is None:
                break
            given += 1
            yield shown
        else:
            return
    with open_video(path) as (container, stream):  # of damage the CPU's decoders say more
        for shown in decode(container, stream, careful=True):
            if shown and given:
                given -= 1
            else:
                yield shown


def decode(container: InputContainer, stream: VideoStream, careful: bool) -> Iterator[Shown | None]:
    """Every frame in the order shown, and None for each damaged packet.

    Not ``careful``: fast, but what follows a damaged packet must not be relied on.
    """
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "SLICE" if careful else "AUTO"
    # Two at least: with one, FFmpeg's VP9 decoder gives up on more than a damaged packet.
    stream.thread_count = 2 if careful else min(cpu_count(), MOST_THREADS)
    clock = Clock(stream, said_duration(container, stream))
    for packet in packets(container, stream):
        if packet is None or (packet.is_corrupt and not careful):
            yield None
        try:
            frames = stream.decode(packet)
        except MemoryError:  # also one of FFmpeg's, and no damage
            raise
        except FFmpegError as error:
            yield None
            if isinstance(error, BlockingIOError):  # wedged: go on from the next key frame
                stream.codec_context.flush_buffers()
        else:
            for frame in frames:
                yield *clock.read(frame), frame


def measure(container: InputContainer, stream: VideoStream) -> tuple[float, int]:
    """(seconds, frames) of a video from its packets, without decoding them."""
    clock = Clock(stream, None)
    first_s = end_s = None
    count = 0
    for packet in packets(container, stream):
        if packet is None or not packet.size:
            continue
        count += 1
        if packet.pts is not None:
            start_s = float(packet.pts * clock.tick)
            first_s = start_s if first_s is None else min(first_s, start_s)
            end_s = max(end_s or 0.0, start_s + clock.duration_s(packet.duration))
    if first_s is None or end_s is None:
        return count * clock.duration_s(None), count
    return end_s - first_s, count


def packets(
    container: InputContainer, stream: VideoStream
) -> "Iterator[Packet[VideoStream] | None]":
    """The stream's packets, then an empty one, which makes a decoder give what it still holds.

    Where the file cannot be read any further that one is None.
    """
    try:
        yield from container.demux(stream)
    except IndexError:
        pass  # PyAV stumbles over streams that turn up late, but after this one's last packet
    except FFmpegError:
        yield None


class Clock:
    """Reads frames' timestamps as seconds from the start of the stream that never run backwards.

    ``tick``: seconds of one unit of the stream's timestamps. ``said_s``: where the stream ends as
    the container says.
    """

    def __init__(self, stream: VideoStream, said_s: float | None) -> None:
        self.tick = stream.time_base or Fraction(1, av.time_base)
        self._frame_s = float(1 / (stream.guessed_rate or stream.average_rate or FALLBACK_FPS))
        self._origin = stream.start_time
        self._said_s = said_s or 0.0
        self._start_s = self._end_s = 0.0

    def duration_s(self, ticks: int | None) -> float:
        """Seconds of a frame's duration, or of any frame's where it is unknown."""
        return float(ticks * self.tick) if ticks and ticks > 0 else self._frame_s

    def read(self, frame: "VideoFrame | Packet[VideoStream]") -> tuple[float, float]:
        """(start, end) in seconds of the frame, or its packet, shown after the one read before."""
        start_s = self._end_s  # of a frame without a timestamp
        if frame.pts is not None:
            if self._origin is None:
                self._origin = frame.pts
            start_s = float((frame.pts - self._origin) * self.tick)
            if not self._start_s - STEP_BACK_S <= start_s <= self._latest_s():
                start_s = self._end_s
                self._origin = frame.pts - round(start_s / self.tick)
        self._start_s = max(start_s, self._start_s)
        self._end_s = min(self._start_s + self.duration_s(frame.duration), self._latest_s())
        return self._start_s, self._end_s

    def _latest_s(self) -> float:
        return min(max(self._start_s + STEP_AHEAD_S, self._said_s), self._start_s + LONGEST_STEP_S)
