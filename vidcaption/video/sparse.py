"""Decodes as little of a video as the frames that are asked for need.

Packets are read one after the other and never sought: reading costs little, decoding much. Their
timestamps tell which frame is shown when, before anything is decoded. Then those are dropped that
no asked frame needs: pictures that no other is predicted from, and the rest of a group of pictures
after the last asked frame in it. What is decoded is the same, bit for bit, as in a full decode.

Whatever is unusual (no timestamps, timestamps that go back or are in the order stored, damage, a
frame that the decoder does not give) raises UnsureError, and the caller decodes all.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import takewhile
from threading import Event

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidcaption.options import Sampling
from vidcaption.video.container import MAX_PIXELS, said_duration
from vidcaption.video.decode import Clock, Shown, packets
from vidcaption.video.packets import Role, RoleOf, UnsureError, plain_role, role_reader

DEPTH = 32  # packets: no codec stores a frame more than 16 before or after its turn to be shown
MOST_HELD = 2**25  # bytes of packets that wait to be dropped or decoded
# Emptying the decoder, while its threads have no work, must save the decoding of so many packets.
WORTH_FLUSHING = 8
# How much older than what a time asks for a picture of the same group may be, with fast sampling.
OLDER_S = 2.0
WITHOUT_FILTER = {"skip_loop_filter": "all"}
# Otherwise FFmpeg mends damage without a word, from whichever pictures it happens to have.
STRICT = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}


@dataclass(slots=True, eq=False)
class _Entry:
    """A packet. ``needed``: whether its frame is asked for, or None while that is not known."""

    packet: "Packet[VideoStream]"
    pts: int
    role: Role
    needed: bool | None = False
    start_s: float = 0.0
    until_s: float = 0.0
    flush: bool = False  # empty the decoder first


class Selection:
    """The frames of a video that answer ``times_s``, which ascend; None asks for all there may be.

    ``exact``: of each time the frame that is shown then. ``fast``: the nearest of those that others
    are predicted from, without the loop filter; and of the last times of a group of pictures an
    earlier one, at most OLDER_S before, so that the rest of the group need not be decoded.
    ``keyframes``: the last key frame until then, which is of the same shot, as encoders begin shots
    with key frames.

    ``end_s`` is the time until which it is known what is shown: where the video ends or, if no more
    is asked for, the frame after the last one asked for. ``decoded`` counts the packets that the
    decoder got.
    """

    def __init__(self, times_s: Iterable[float] | None, sampling: Sampling) -> None:
        self.end_s = 0.0
        self.decoded = 0
        self._sampling = sampling
        self._times = None if times_s is None else iter(times_s)
        self._time_s = None if self._times is None else next(self._times, None)
        self._done = False  # nothing more is asked for
        self._whole = False  # both fields of a picture are in one packet for certain
        self._stored: deque[_Entry] = deque()  # candidates in the order stored
        self._placed_pts: int | None = None
        self._last: _Entry | None = None  # candidate, in the order shown
        self._spare: deque[_Entry] = deque()  # the first may answer for all, if the group ends
        self._due: deque[_Entry] = deque()  # asked for and not decoded yet, in the order shown
        self._came_pts: int | None = None  # of the last frame that the decoder gave
        self._came: Shown | None = None  # that frame, if it was asked for

    def decode(
        self, container: InputContainer, stream: VideoStream, stop: Event
    ) -> Iterator[Shown]:
        """(shown from, until, frame) of each, until told to stop.

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
        clock = Clock(stream, said_duration(container, stream))
        entries = takewhile(
            lambda _: not stop.is_set(), _entries(container, stream, role_of or plain_role)
        )
        try:
            for entry in self._wanted(self._decided(entries, clock)):
                if entry.flush and self.decoded:
                    yield from self._match(stream.decode(None))
                    codec.flush_buffers()
                self.decoded += 1
                yield from self._match(stream.decode(entry.packet))
                if stop.is_set():
                    return
            yield from self._match(stream.decode(None))
        except FFmpegError as error:
            raise UnsureError from error
        if not stop.is_set() and (self._due or self._last is None):
            raise UnsureError
        if self._came:
            yield self._came

    def _decided(self, entries: Iterator[_Entry], clock: Clock) -> Iterator[_Entry]:
        """The candidates in the order stored, each when it is known whether it is needed."""
        shown: list[tuple[int, int, _Entry]] = []  # a heap
        for number, entry in enumerate(entries):
            if self._is_candidate(entry):
                self._stored.append(entry)
                entry.needed = False if entry.packet.is_discard else None
            if not entry.packet.is_discard:  # or it is decoded for others, and never shown
                heappush(shown, (entry.pts, number, entry))
            if len(shown) > DEPTH:
                self._place(heappop(shown)[2], clock)
            if self._done:
                break
            while self._stored and self._stored[0].needed is not None:
                yield self._stored.popleft()
        while shown and not self._done:
            self._place(heappop(shown)[2], clock)
        if self._last and not self._done:
            # The end of an exact pass is decoded in any case, to see that it is there.
            self._settle(self._last, self.end_s, self._sampling == "exact")
        self._end_group()
        while self._stored:
            yield self._stored.popleft()

    def _is_candidate(self, entry: _Entry) -> bool:
        if self._sampling == "keyframes":
            return entry.role.key
        return self._sampling == "exact" or not entry.role.droppable

    def _place(self, entry: _Entry, clock: Clock) -> None:
        """Take the frame that is shown next, by which the candidate before it is settled."""
        if self._placed_pts is not None and entry.pts <= self._placed_pts:
            raise UnsureError
        self._placed_pts = entry.pts
        entry.start_s, self.end_s = clock.read(entry.packet)
        if entry.needed is False:
            return
        if last := self._last:
            middle_s = (last.start_s + entry.start_s) / 2
            self._settle(last, middle_s if self._sampling == "fast" else entry.start_s)
        if entry.role.key:
            self._end_group()
        self._last = entry

    def _settle(self, entry: _Entry, until_s: float, anyway: bool = False) -> None:
        """Decide whether a frame is needed, now that it is known until when it answers."""
        entry.until_s = until_s
        if self._times is None:
            anyway = True
        else:
            while self._time_s is not None and self._time_s < until_s:
                anyway, self._time_s = True, next(self._times, None)
            self._done = self._time_s is None
        if not anyway:
            entry.needed = False
        elif self._sampling == "fast" and self._times is not None:
            self._spare.append(entry)
            while self._spare[0].start_s < entry.start_s - OLDER_S:
                self._need(self._spare.popleft())
        else:
            self._need(entry)

    def _end_group(self) -> None:
        """Nothing to come builds on those that may be spared: the first of them answers for all."""
        if self._spare:
            self._spare[0].until_s = self._spare[-1].until_s
            self._need(self._spare.popleft())
        while self._spare:
            self._spare.popleft().needed = False

    def _need(self, entry: _Entry) -> None:
        entry.needed = True
        self._due.append(entry)

    def _wanted(self, entries: Iterator[_Entry]) -> Iterator[_Entry]:
        """The entries that must be decoded."""
        held: list[_Entry] = []  # until it is known whether a needed one builds on them
        held_bytes = 0
        for entry in entries:
            if self._starts_anew(entry, held):
                held, held_bytes = [], 0
            if not entry.needed and (entry.role.droppable or self._sampling == "keyframes"):
                continue
            held.append(entry)
            held_bytes += entry.packet.size
            if entry.needed or held_bytes > MOST_HELD:
                yield from held
                held, held_bytes = [], 0

    def _starts_anew(self, entry: _Entry, held: list[_Entry]) -> bool:
        """Whether what is held can be dropped, because decoding may start at this entry."""
        role = entry.role
        if self._sampling == "keyframes":
            entry.flush = not role.resets
        if not (role.start and held) or not (role.resets or len(held) >= WORTH_FLUSHING):
            return False
        # Leading pictures are stored after it, shown before it, and predicted from what is held.
        leading = [each for each in self._stored if each.pts < entry.pts]
        settings = not role.settings and any(each.role.settings for each in held)
        if settings or any(each.needed for each in leading):
            return False
        self._stored = deque(each for each in self._stored if each.pts > entry.pts)
        entry.flush = not role.resets
        return True

    def _match(self, frames: Iterable[VideoFrame]) -> Iterator[Shown]:
        """Those frames that were asked for, each once a later one came after it.

        Raises UnsureError if one of them did not come, or their order is not that of their times.
        """
        for frame in frames:
            if frame.pts is None or (frame.interlaced_frame and not self._whole):
                raise UnsureError
            missed = self._due and self._due[0].pts < frame.pts
            if missed or (self._came_pts is not None and frame.pts <= self._came_pts):
                raise UnsureError
            if self._came:
                yield self._came
            self._came_pts, self._came = frame.pts, None
            if self._due and self._due[0].pts == frame.pts:
                entry = self._due.popleft()
                self._came = entry.start_s, entry.until_s, frame


def _entries(container: InputContainer, stream: VideoStream, role_of: RoleOf) -> Iterator[_Entry]:
    """The packets and their roles, as long as nothing is unusual.

    Timestamps that run on where the codec reorders, or back where it does not, are not in the order
    in which a decoder gives the frames: H.264 in AVI, for one, has those of the order stored.
    """
    reorders = stream.codec_context.has_b_frames
    dts = latest = None
    ended = False
    for packet in packets(container, stream):
        if packet is None or packet.is_corrupt:
            raise UnsureError
        if not packet.size:
            return
        if ended:
            raise UnsureError
        goes_back = packet.dts is not None and dts is not None and packet.dts <= dts
        if packet.pts is None or goes_back or packet.has_sidedata("new_extradata"):
            raise UnsureError
        dts = packet.dts if packet.dts is not None else dts
        role = role_of(packet)
        # If not told when the stream starts, time begins with the first frame that can be decoded.
        if latest is None and stream.start_time is None and not (role.start and role.resets):
            raise UnsureError
        early = latest is not None and packet.pts < latest
        if (role.between and not early) if reorders else early:
            raise UnsureError
        latest = packet.pts if latest is None else max(latest, packet.pts)
        ended = role.ends
        yield _Entry(packet, packet.pts, role)
