"""Decodes only what the requested frames of a video need, according to the plan.

Packets are read one after the other, without seeking: reading is cheap, decoding is not.
Anything unusual (no timestamps, timestamps that go back or are in storage order, damage, a frame
that the decoder does not return) raises UnsureError, and the caller decodes everything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from threading import Event

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidcaption.options.captioning import Sampling
from vidcaption.video.clock import Clock
from vidcaption.video.container import MAX_PIXELS
from vidcaption.video.decode import Shown, packets, threads
from vidcaption.video.packets import RoleOf, UnsureError, plain_role, role_reader
from vidcaption.video.plan import Picture, Plan, checked

WITHOUT_FILTER = {"skip_loop_filter": "all"}
# Otherwise FFmpeg silently conceals damage, from whichever pictures it happens to have.
STRICT = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}


@dataclass(slots=True, eq=False, kw_only=True)
class _Stored(Picture):
    packet: "Packet[VideoStream]"


class Selection:
    """The frames of a video that answer ``times_s``; see Plan for these and for ``sampling``.

    ``said_s``: the video's end according to the container. ``fast`` decodes without the loop
    filter. ``decoded`` counts the packets sent to the decoder.
    """

    def __init__(
        self, times_s: Iterable[float] | None, sampling: Sampling, said_s: float | None = None
    ) -> None:
        self.decoded = 0
        self._plan: Plan[_Stored] = Plan(times_s, sampling)
        self._sampling = sampling
        self._said_s = said_s
        self._whole = False  # both fields of a picture are in one packet for certain
        self._came_pts: int | None = None  # of the last frame that the decoder returned
        self._came: Shown | None = None  # that frame, if it was requested

    @property
    def end_s(self) -> float:
        """The time up to which it is known what is shown."""
        return self._plan.end_s

    def decode(
        self, container: InputContainer, stream: VideoStream, stop: Event
    ) -> Iterator[Shown]:
        """(shown from, until, frame) of each, until asked to stop.

        Raises UnsureError, perhaps after some frames.
        """
        role_of = role_reader(stream)
        if role_of is None and self._sampling == "exact":
            raise UnsureError
        codec = stream.codec_context
        self._whole = (codec.extradata or b"")[:1] == b"\1"  # as MP4 and Matroska want it
        filters = WITHOUT_FILTER if self._sampling == "fast" else {}
        codec.options = STRICT | filters
        stream.thread_type = "AUTO"
        stream.thread_count = threads()
        clock = Clock.of(container, stream, self._said_s)
        if clock.packets_only and codec.has_b_frames:
            raise UnsureError
        stored = checked(
            _read(container, stream, role_of or plain_role, clock), codec.has_b_frames, clock
        )
        pictures = takewhile(lambda _: not stop.is_set(), stored)
        try:
            for picture in self._plan.decide(pictures, clock):
                if picture.flush and self.decoded:
                    yield from self._match(stream.decode(None))
                    codec.flush_buffers()
                self.decoded += 1
                yield from self._match(stream.decode(picture.packet))
                if stop.is_set():
                    return
            yield from self._match(stream.decode(None))
        except FFmpegError as error:
            raise UnsureError from error
        if not stop.is_set() and (self._plan.due or not self._plan.shows):
            raise UnsureError
        if self._came:
            yield self._came

    def _match(self, frames: Iterable[VideoFrame]) -> Iterator[Shown]:
        """The requested frames, each once a later one has come after it.

        Raises UnsureError if one of them is missing, or their order is not that of their times.
        """
        due = self._plan.due
        for frame in frames:
            if frame.pts is None or (frame.interlaced_frame and not self._whole):
                raise UnsureError
            missed = due and due[0].pts < frame.pts
            if missed or (self._came_pts is not None and frame.pts <= self._came_pts):
                raise UnsureError
            if self._came:
                yield self._came
            self._came_pts, self._came = frame.pts, None
            if due and due[0].pts == frame.pts:
                picture = due.popleft()
                self._came = picture.start_s, picture.until_s, frame


def _read(
    container: InputContainer, stream: VideoStream, role_of: RoleOf, clock: Clock
) -> Iterator[_Stored]:
    """The packets and their roles. Raises UnsureError for damage and for missing timestamps."""
    for packet in packets(container, stream):
        if packet is None or packet.is_corrupt:
            raise UnsureError
        if not packet.size:
            return
        if packet.pts is None or packet.has_sidedata("new_extradata"):
            raise UnsureError
        clock.expect(packet.dts)
        yield _Stored(
            pts=packet.pts,
            dts=packet.dts,
            duration=packet.duration,
            size=packet.size,
            role=role_of(packet),
            discard=packet.is_discard,
            packet=packet,
        )
