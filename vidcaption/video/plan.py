"""Plans which packets of a video must be decoded for the requested frames.

The timestamps of the packets tell which frame is shown when, before anything is decoded. Packets
that no requested frame needs are skipped: pictures that no other is predicted from, and the rest of
a group of pictures after its last requested frame. Decoded frames are bit for bit those of a full
decode.

Nothing here reads a file or decodes: pictures and times go in, decisions come out.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, TypeVar

from vidcaption.options.captioning import Sampling
from vidcaption.video.clock import Clock
from vidcaption.video.packets import Role, UnsureError

DEPTH = 32  # packets: no codec stores a frame more than 16 before or after its turn
MAX_HELD_BYTES = 2**25  # of packets waiting to be dropped or decoded
# Flushing the decoder leaves its threads without work; it must save decoding this many packets.
MIN_SAVED = 8
# How much older than the requested time a picture of the same group may be, with fast sampling.
MAX_OLDER_S = 2.0


@dataclass(slots=True, eq=False, kw_only=True)
class Picture:
    """What the plan needs to know about a packet, and its decision.

    ``discard``: it is never shown, at most decoded for others. ``size``: bytes.

    ``needed``: whether its frame is requested, or None while that is not known. The frame is shown
    from ``start_s``, and answers the times before ``until_s``. ``flush``: flush the decoder first.
    """

    pts: int
    dts: int | None
    duration: int | None
    size: int
    role: Role
    discard: bool = False
    needed: bool | None = False
    start_s: float = 0.0
    until_s: float = 0.0
    flush: bool = False


P = TypeVar("P", bound=Picture)


def checked(pictures: Iterable[P], reorders: bool, clock: Clock) -> Iterator[P]:
    """The same pictures, in storage order. Raises UnsureError for unusual timestamps.

    ``reorders``: whether frames may be shown in another order than stored. Timestamps that always
    ascend although the codec reorders, or descend although it does not, do not match the order in
    which a decoder returns the frames.
    """
    dts = latest = None
    ended = False
    for picture in pictures:
        if ended or (picture.dts is not None and dts is not None and picture.dts <= dts):
            raise UnsureError
        dts = picture.dts if picture.dts is not None else dts
        role = picture.role
        # If the start of the video is unknown, it is that of the first frame that can be decoded.
        if latest is None and clock.origin is None and not (role.start and role.resets):
            raise UnsureError
        early = latest is not None and picture.pts < latest
        if (role.between and not early) if reorders else early:
            raise UnsureError
        latest = picture.pts if latest is None else max(latest, picture.pts)
        ended = role.ends
        yield picture


class Plan(Generic[P]):
    """Decides about the pictures of a video; ``times_s`` ascend, and None requests all frames.

    ``exact``: the frame that is shown at each time. ``fast``: the nearest frame that others are
    predicted from; for the last times of a group of pictures an earlier one, at most MAX_OLDER_S
    before, so that the rest of the group need not be decoded. ``keyframes``: the last key frame up
    to each time, which is usually of the same shot, as encoders begin shots with key frames.

    ``due``: the pictures whose frames are requested, in presentation order, of those decided so
    far; the decoder removes them. ``end_s`` is the time up to which it is known what is shown: the
    end of the video or, if no more is requested, the frame after the last requested one. ``shows``:
    whether any picture could answer a time.
    """

    def __init__(self, times_s: Iterable[float] | None, sampling: Sampling) -> None:
        self.due: deque[P] = deque()
        self.end_s = 0.0
        self._sampling = sampling
        self._times = None if times_s is None else iter(times_s)
        self._time_s = None if self._times is None else next(self._times, None)
        self._done = False  # nothing more is requested
        self._stored: deque[P] = deque()  # candidates in storage order
        self._from_pts = -math.inf  # of the picture at which decoding started over
        self._placed_pts: int | None = None
        self._last: P | None = None  # candidate, in presentation order
        self._spare: deque[P] = deque()  # the first may answer for all, if the group ends

    @property
    def shows(self) -> bool:
        return self._last is not None

    def decide(self, pictures: Iterable[P], clock: Clock) -> Iterator[P]:
        """The pictures that must be decoded, in storage order.

        Raises UnsureError if two have the same time, or one is stored too far from its turn.
        """
        held: list[P] = []  # until it is known whether a needed one builds on them
        held_bytes = 0
        for picture in self._decided(pictures, clock):
            if self._starts_over(picture, held):
                held, held_bytes = [], 0
            if picture.pts < self._from_pts:
                continue  # a leading picture whose references were dropped
            unused = picture.role.droppable or self._sampling == "keyframes"
            if unused and not picture.needed:
                continue
            held.append(picture)
            held_bytes += picture.size
            if picture.needed or held_bytes > MAX_HELD_BYTES:
                yield from held
                held, held_bytes = [], 0

    def _decided(self, pictures: Iterable[P], clock: Clock) -> Iterator[P]:
        """The candidates in storage order, each once it is known whether it is needed."""
        shown: list[tuple[int, int, P]] = []  # a heap
        for number, picture in enumerate(pictures):
            if self._is_candidate(picture):
                self._stored.append(picture)
                picture.needed = False if picture.discard else None
            if not picture.discard:
                heappush(shown, (picture.pts, number, picture))
            if len(shown) > DEPTH:
                self._place(heappop(shown)[2], clock)
            if self._done:
                break
            while self._stored and self._stored[0].needed is not None:
                yield self._stored.popleft()
        while shown and not self._done:
            self._place(heappop(shown)[2], clock)
        if self._last and not self._done:
            # The end of an exact pass is always decoded, to verify that it exists.
            self._settle(self._last, self.end_s, self._sampling == "exact")
        self._end_group()
        while self._stored:
            yield self._stored.popleft()

    def _is_candidate(self, picture: P) -> bool:
        if self._sampling == "keyframes":
            return picture.role.key
        return self._sampling == "exact" or not picture.role.droppable

    def _place(self, picture: P, clock: Clock) -> None:
        """Take the frame that is shown next, which decides about the candidate before it."""
        if self._placed_pts is not None and picture.pts <= self._placed_pts:
            raise UnsureError
        self._placed_pts = picture.pts
        picture.start_s, self.end_s = clock.read(picture)
        if picture.needed is False:
            return
        if last := self._last:
            middle_s = (last.start_s + picture.start_s) / 2
            self._settle(last, middle_s if self._sampling == "fast" else picture.start_s)
        if picture.role.key:
            self._end_group()
        self._last = picture

    def _settle(self, picture: P, until_s: float, anyway: bool = False) -> None:
        """Decide whether a frame is needed, now that the end of its time is known."""
        picture.until_s = until_s
        if self._times is None:
            anyway = True
        else:
            while self._time_s is not None and self._time_s < until_s:
                anyway, self._time_s = True, next(self._times, None)
            self._done = self._time_s is None
        if not anyway:
            picture.needed = False
        elif self._sampling == "fast" and self._times is not None:
            self._spare.append(picture)
            while self._spare[0].start_s < picture.start_s - MAX_OLDER_S:
                self._need(self._spare.popleft())
        else:
            self._need(picture)

    def _end_group(self) -> None:
        """No later frame depends on the spare ones: the first of them answers for all."""
        if self._spare:
            self._spare[0].until_s = self._spare[-1].until_s
            self._need(self._spare.popleft())
        while self._spare:
            self._spare.popleft().needed = False

    def _need(self, picture: P) -> None:
        picture.needed = True
        self.due.append(picture)

    def _starts_over(self, picture: P, held: list[P]) -> bool:
        """Whether the held packets can be dropped, because decoding may start at this picture."""
        role = picture.role
        if self._sampling == "keyframes":
            picture.flush = not role.resets
        if not (role.start and held) or not (role.resets or len(held) >= MIN_SAVED):
            return False
        # Leading pictures are stored after it, shown before it, and predicted from what is held.
        leading = [each for each in self._stored if each.pts < picture.pts]
        settings = not role.settings and any(each.role.settings for each in held)
        if settings or any(each.needed for each in leading):
            return False
        self._from_pts = picture.pts
        picture.flush = not role.resets
        return True
