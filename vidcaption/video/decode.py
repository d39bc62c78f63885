"""Decodes a video from its first frame to its last, with times that can be relied on."""

from collections.abc import Callable, Iterator

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidcaption.cpus import cpu_count
from vidcaption.options.captioning import VideoDecoder
from vidcaption.video.clock import Clock
from vidcaption.video.container import MAX_PIXELS, encrypted, open_video

MOST_THREADS = 16  # as FFmpeg has by itself

Shown = tuple[float, float, VideoFrame]  # shown from, until (seconds), and the decoded frame
Packets = Iterator["Packet[VideoStream] | None"]


def decode_all(
    path: str, said_s: float | None, decoder: VideoDecoder = "cpu"
) -> Iterator[Shown | None]:
    """Every frame of a file in the order shown, and None for each packet that was skipped.

    ``said_s``: the video's end according to the container, in seconds.

    Frame threads are fast, but after a damaged packet PyAV cannot fetch the frames they hold, and
    the decoder refuses everything that follows. So at the first sign of damage the file is decoded
    again without them, skipping the frames that were already returned.
    """
    given = 0
    with open_video(path, decoder) as (container, stream):
        for shown in decode(container, stream, said_s, careful=False):
            if shown is None:
                break
            given += 1
            yield shown
        else:
            return
    with open_video(path) as (container, stream):  # the CPU's decoders report more damage
        for shown in decode(container, stream, said_s, careful=True):
            if shown and given:
                given -= 1
            else:
                yield shown


def decode(
    container: InputContainer,
    stream: VideoStream,
    said_s: float | None,
    *,
    careful: bool,
    read: Callable[[InputContainer, VideoStream], Packets] | None = None,
) -> Iterator[Shown | None]:
    """Every frame in the order shown, and None for each damaged packet.

    Not ``careful``: fast, but frames after a damaged packet are unreliable. ``read``: what takes
    the place of ``packets``.
    """
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "SLICE" if careful else "AUTO"
    # At least two: with one, FFmpeg's VP9 decoder loses more than the damaged packet.
    stream.thread_count = 2 if careful else threads()
    clock = Clock.of(container, stream, said_s)
    for packet in (read or packets)(container, stream):
        if packet is None or (packet.is_corrupt and not careful):
            yield None
        if packet is not None:
            clock.expect(packet.dts)
        try:
            frames = stream.decode(packet)
        except MemoryError:  # also one of FFmpeg's; not damage
            raise
        except FFmpegError as error:
            yield None
            if isinstance(error, BlockingIOError):  # stuck: continue at the next key frame
                stream.codec_context.flush_buffers()
        else:
            for frame in frames:
                yield *clock.read(frame), frame


def threads() -> int:
    """As many as FFmpeg chooses by itself, but within a container's CPU limit: one more than CPUs,
    as one thread often waits for a picture of another."""
    cpus = cpu_count()
    return min(cpus + 1, MOST_THREADS) if cpus > 1 else 1


def measure(container: InputContainer, stream: VideoStream) -> tuple[float, int]:
    """(seconds until the end, frames) of a video from its packets, without decoding them."""
    clock = Clock.of(container, stream, None)
    first_s = end_s = None
    count = 0
    for packet in packets(container, stream):
        if packet is None or not packet.size:
            continue
        count += 1
        if packet.pts is not None:
            start_s = float((packet.pts - (clock.origin or 0)) * clock.tick)
            first_s = start_s if first_s is None else min(first_s, start_s)
            end_s = max(end_s or 0.0, start_s + clock.duration_s(packet.duration))
    if first_s is None or end_s is None:
        return count * clock.duration_s(None), count
    return end_s - (first_s if clock.origin is None else 0), count


def packets(container: InputContainer, stream: VideoStream) -> Packets:
    """The stream's packets, then an empty one, which flushes the decoder.

    If the file cannot be read any further, that one is None. Raises InputError for encrypted
    packets.
    """
    try:
        for packet in container.demux(stream):
            if packet.has_sidedata("encryption_info"):
                raise encrypted(container)
            yield packet
    except IndexError:
        pass  # PyAV fails on streams that appear late, but after the last packet of this one
    except FFmpegError:
        yield None
