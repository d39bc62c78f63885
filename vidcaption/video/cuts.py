"""Finds hard cuts while a video is sampled, without decoding all of it.

An encoder cannot predict a new scene from the last one: it starts a group of pictures or spends
many more bytes than on the pictures around it. Reading packets costs next to nothing, so their
sizes give the places where a cut may be (Yeo and Liu, "Rapid scene analysis on compressed video",
IEEE Trans. CSVT 5(6), 1995). A few frames there are sampled along with the windows' own, in the
same pass, and their content decides.
"""

import math
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, count, pairwise
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Frame, VideoInfo
from vidcaption.video.clock import Clock
from vidcaption.video.container import open_video
from vidcaption.video.decode import packets
from vidcaption.video.packets import UnsureError, role_reader
from vidcaption.video.plan import DEPTH
from vidcaption.video.reader import VideoReader

# A packet is a hint if it is this many times as large as the RANK-th largest of REACH packets
# before and after it (more than one, since cuts may follow each other closely), and not tiny.
OUTLIER, RANK, REACH, LEAST_SHARE = 1.6, 3, 12, 0.05
# A key frame is one, unless they come at regular, short intervals and it is as large as the last:
# the frames before it would be decoded only to check it.
REGULAR, LONG_GROUP_S, KEY_STEP = 0.02, 4.0, 0.1
# If all are key frames, a change of log size this many times as large as those around it.
STEP, LEAST_STEP = 2.0, 0.02
AHEAD = 16  # frames: AV1 stores pictures this long before they are shown, in packets of others
APART_S = 0.25  # flashes and glitches are over by then
GRID = 32  # cells per side that pictures are reduced to: noise and small motion average out
LEAST_CHANGE = 15.0  # of 255 levels
MOST_FRAMES = 1_000_000  # compared one by one: 11 hours at 25 per second


class Cut(NamedTuple):
    """``after`` is the first frame of a scene, ``before`` the last one of the scene before."""

    before: Frame
    after: Frame

    @property
    def time_s(self) -> float:
        return self.after.pts_s


class _Seen(NamedTuple):
    """``grid``: see _grid."""

    frame: Frame
    grid: NDArray[np.float32]


@dataclass(slots=True, eq=False)
class _Suspect:
    """Times of an earlier frame, of some in a row, and of a later one.

    A cut may be at ``places`` in the row, between two frames; the others are for comparison.
    """

    times_s: list[float]
    places: range
    seen: list[_Seen] = field(default_factory=list)


class CutFinder:
    """The cuts of one pass over a video.

    ``found`` holds the cuts so far, in order, from ``start_s`` on.

    Whether there is a cut depends on the packets around it, REACH of them and three groups of
    pictures, on the frames within APART_S, and on the options: ``sampling``, and
    ``scene_threshold``, the ratio by which the change must exceed those around it. It does not
    depend on where reading began or on the requested times. Two kinds of cuts are missed: at a key
    frame, if key frames come at regular, short intervals and this one is as large as the last; and
    those that cost the encoder no more than the grain or motion of the frames around them.
    """

    def __init__(self, options: CaptionOptions, start_s: float = 0.0) -> None:
        self._options, self._start_s = options, start_s
        self._begin()

    def _begin(self) -> None:
        self.found: list[Cut] = []
        self._asked: deque[tuple[float, _Suspect | None]] = deque()
        self._open: dict[_Suspect, None] = {}  # in the order of time
        self._answered_s = -math.inf
        self._latest: _Seen | None = None

    @property
    def known_s(self) -> float:
        """The time before which all cuts are found."""
        return min([self._answered_s, *(suspect.times_s[0] for suspect in self._open)])

    def frames(self, reader: VideoReader, times_s: Iterable[float]) -> Iterator[Frame]:
        """The reader's frames for the times; others between them are checked for cuts."""
        self._begin()
        for frame in reader.frames(self._ask(reader.info, times_s)):
            self._answered_s, suspect = self._asked.popleft()
            if suspect is None:
                yield frame
            else:
                self._look(frame, suspect)

    def forget(self, time_s: float) -> None:
        """Drop the cuts before a time, except the last one."""
        del self.found[: max(0, sum(cut.time_s <= time_s for cut in self.found) - 1)]

    def end(self) -> None:
        """The video is over: decide about open suspects by the frames seen so far."""
        for suspect in self._open:
            suspect.seen.append(suspect.seen[-1])  # as the later one
            self._judge(suspect)
        self._open.clear()
        self._answered_s = math.inf

    def _ask(self, info: VideoInfo, times_s: Iterable[float]) -> Iterator[float]:
        """The ascending times, and those to check for cuts. The reader's thread consumes them."""
        places = _places(info, self._options.sampling == "keyframes")
        known_s = -math.inf
        waiting: list[tuple[float, int, _Suspect]] = []
        number = count()
        for time_s in times_s:
            while known_s <= time_s:
                known_s, suspect = next(places, (math.inf, None))
                if suspect and suspect.times_s[-1] > self._start_s:
                    for each_s in suspect.times_s:
                        heappush(waiting, (each_s, next(number), suspect))
            while waiting and waiting[0][0] <= time_s:
                each_s, _, suspect = heappop(waiting)
                self._asked.append((each_s, suspect))
                yield each_s
            self._asked.append((time_s, None))
            yield time_s

    def _look(self, frame: Frame, suspect: _Suspect) -> None:
        if self._latest is None or self._latest.frame is not frame:
            self._latest = _Seen(frame, _grid(frame.image))
        self._open[suspect] = None
        suspect.seen.append(self._latest)
        if len(suspect.seen) == len(suspect.times_s):
            del self._open[suspect]
            self._judge(suspect)

    def _judge(self, suspect: _Suspect) -> None:
        """Add the cut to those found, if there is one."""
        earlier, *row, later = suspect.seen
        changes = [_change(a, b) for a, b in pairwise(row)]
        places = [place for place in suspect.places if place < len(changes)]
        if not places:
            return
        at = max(places, key=changes.__getitem__)
        around = [
            changes[place]
            for place in range(max(0, at - 2), min(at + 3, len(changes)))
            if place != at and row[place] is not row[place + 1]
        ]
        usual = sum(around) / max(1, len(around))
        if changes[at] < max(LEAST_CHANGE, self._options.scene_threshold * usual):
            return
        before, after = row[at], row[at + 1]
        # Frames on each side resemble each other more than the other side, unlike those of a flash:
        # on average, as one of the sides may move quickly.
        within = (_change(earlier, before) + _change(after, later)) / 2
        across = min(changes[at], _change(earlier, later))
        known = any(cut.after is after.frame for cut in self.found)
        if within < across and not known:
            insort(self.found, Cut(before.frame, after.frame), key=lambda cut: cut.time_s)


def _grid(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The means of about GRID x GRID cells of every second pixel of (H, W, 3) uint8, without
    optical flow."""
    half = image[::2, ::2, :3]
    rows, columns = (max(1, side // GRID) for side in half.shape[:2])
    height, width = half.shape[0] // rows, half.shape[1] // columns
    cells = half[: height * rows, : width * columns].reshape(height, rows, width, columns, 3)
    return np.asarray(cells.mean((1, 3)), np.float32)


def _change(one: _Seen, other: _Seen) -> float:
    """The mean difference of two pictures, in levels of 255."""
    return float(np.abs(one.grid - other.grid).mean())


class _Stored(NamedTuple):
    """What is kept of a packet until its turn in presentation order."""

    pts: int
    number: int
    dts: int | None
    duration: int | None
    size: int
    key: bool


class _Packet(NamedTuple):
    """``number``: in the order stored. ``start_s``: when its frame is shown."""

    number: int
    start_s: float
    size: int
    key: bool


def _places(info: VideoInfo, every_key: bool) -> Iterator[tuple[float, _Suspect | None]]:
    """(time before which there will be no more suspects, suspect) for each frame, in order."""
    with open_video(info.path) as (container, stream):
        ahead = AHEAD if stream.codec_context.codec.canonical_name == "av1" else 0
        reach = REACH + 2 * ahead
        every_key = every_key or role_reader(stream) is None  # then all is decoded anyway
        row: list[_Packet] = []  # in the order shown, those around the one at ``at``
        at = 0
        keys: deque[_Packet] = deque(maxlen=4)
        clock = Clock.of(container, stream, info.duration_s)
        judged_s = 0.0
        try:
            for packet in chain(_shown(container, stream, clock), (None,)):
                if packet:
                    row.append(packet)
                while at < len(row) and (packet is None or at + reach < len(row)):
                    judged_s = row[at].start_s
                    if row[at].key:
                        hint = bool(keys) and (every_key or _may_begin(row, at, keys))
                        keys.append(row[at])
                    else:
                        hint = _is_large(row, at, reach, keys)
                    gone = max(0, at - 2 * DEPTH)
                    yield row[gone].start_s, _suspect(row, at, ahead) if hint else None
                    del row[:gone]
                    at += 1 - gone
        except UnsureError:
            yield from _everywhere(judged_s, clock.duration_s(None))


def _shown(container: InputContainer, stream: VideoStream, clock: Clock) -> Iterator[_Packet]:
    """The packets in presentation order. Raises UnsureError if that is not known."""
    if clock.packets_only and stream.codec_context.has_b_frames:
        raise UnsureError
    waiting: list[_Stored] = []  # without the payload, which may be large
    latest_pts: int | None = None
    for number, packet in enumerate(packets(container, stream)):
        if packet and not packet.size:
            break
        if packet is None or packet.pts is None:
            raise UnsureError
        if latest_pts is not None and packet.pts <= latest_pts:
            raise UnsureError
        clock.expect(packet.dts)
        if not packet.is_discard:
            times = packet.pts, number, packet.dts, packet.duration
            heappush(waiting, _Stored(*times, packet.size, packet.is_keyframe))
        if len(waiting) > DEPTH:
            latest_pts = waiting[0].pts
            yield _next_shown(waiting, clock)
    while waiting:
        yield _next_shown(waiting, clock)


def _next_shown(waiting: list[_Stored], clock: Clock) -> _Packet:
    stored = heappop(waiting)
    start_s, _ = clock.read(stored)
    return _Packet(stored.number, start_s, stored.size, stored.key)


def _everywhere(start_s: float, step_s: float) -> Iterator[tuple[float, _Suspect]]:
    """Suspects every frame: if packets say nothing, all are decoded."""
    for number in range(MOST_FRAMES):
        time_s = start_s + number * step_s
        row = [max(0.0, time_s + i * step_s) for i in range(-2, 3)]
        yield time_s - APART_S, _around(row, range(1, 2), time_s, time_s)


def _is_large(row: list[_Packet], at: int, reach: int, keys: Sequence[_Packet]) -> bool:
    """Whether a packet that is no key frame is much larger than those around it."""
    near = row[max(0, at - reach) : at] + row[at + 1 : at + 1 + reach]
    sizes = sorted((packet.size for packet in near if not packet.key), reverse=True)
    usual = (sizes[RANK - 1 :] or [0])[0]
    least = LEAST_SHARE * keys[-1].size if keys else 0.0
    return row[at].size > max(OUTLIER * usual, least)


def _may_begin(row: Sequence[_Packet], at: int, keys: Sequence[_Packet]) -> bool:
    """Whether the encoder may have placed a key frame because a scene begins."""
    key, last = row[at], keys[-1]
    step = abs(math.log(key.size / last.size))
    if at and row[at - 1] is last:  # as where all are
        near = row[max(0, at - REACH) : at + 1 + REACH]
        steps = [abs(math.log(b.size / a.size)) for a, b in pairwise(near) if b is not key]
        return step > max(LEAST_STEP, STEP * (sorted(steps, reverse=True)[1:] or [0.0])[0])
    group_s = key.start_s - last.start_s
    before_s = [b.start_s - a.start_s for a, b in pairwise(keys)]
    if step >= KEY_STEP or group_s >= LONG_GROUP_S or not before_s:
        return True
    return abs(group_s - max(before_s)) > REGULAR * max(before_s)


def _suspect(row: Sequence[_Packet], at: int, ahead: int) -> _Suspect | None:
    """The frames among which a packet may begin a scene, and those to compare them with.

    Frames stored after it but shown before may belong to either scene.
    """
    first = at - 1
    while first > 0 and row[first].number > row[at].number:
        first -= 1
    if first < 0:
        return None
    last = min(at + ahead, len(row) - 1)
    times_s = [_inside_s(row, i) for i in range(first, min(last + 2, len(row)))]
    return _around(times_s, range(last - first), row[first].start_s, row[last].start_s)


def _around(times_s: Sequence[float], places: range, first_s: float, last_s: float) -> _Suspect:
    """The suspect for consecutive frames, with the times of those to compare them with."""
    later_s = last_s + APART_S
    between_s = [time_s for time_s in times_s if time_s < later_s]
    return _Suspect([max(0.0, first_s - APART_S), *between_s, later_s], places)


def _inside_s(row: Sequence[_Packet], at: int) -> float:
    """A time at which the frame is certainly shown despite rounding, nearest to its start."""
    start_s = row[at].start_s
    return start_s + (row[at + 1].start_s - start_s) / 4 if at + 1 < len(row) else start_s
