"""What is left out is not missed: the same frames, bit for bit, as by decoding all."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any, cast

import av
import numpy as np
import pytest
from av.container import InputContainer
from clips import IN_ORDER, Clips, blank, cut, every, number_of, write_clip
from film import own_priority
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidcaption.errors import UsageError
from vidcaption.options.captioning import CaptionOptions, Sampling
from vidcaption.types import Frame, Window
from vidcaption.video.container import open_video
from vidcaption.video.decode import Shown
from vidcaption.video.packets import UnsureError
from vidcaption.video.plan import MAX_OLDER_S
from vidcaption.video.reader import VideoReader
from vidcaption.video.scenes import scene_windows
from vidcaption.video.sparse import Selection
from vidcaption.video.windows import fixed_windows

FRAMES = 70
SIZE = (96, 64)
QUIET = {"x265-params": "log-level=none:keyint=24:min-keyint=24:scenecut=0"}
CLOSED = {"x265-params": QUIET["x265-params"] + ":open-gop=0"}
GOP = {"g": "24", "keyint_min": "24", "sc_threshold": "0"}
OPEN = {"x264-params": "open-gop=1:keyint=24:min-keyint=24:scenecut=0"}
JUMPY_S = [i * 0.1 + (0.037 if i % 3 else 0) + (2.0 if i > 40 else 0) for i in range(FRAMES)]

# suffix, encoder, its options, and the most packets that one frame in ten can cost to decode
KINDS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "h264 of one group": (".mp4", "libx264", {}, 55),
    "h264": (".mp4", "libx264", GOP, 55),
    "h264 in mkv": (".mkv", "libx264", GOP, 55),
    "h264 in ts": (".ts", "libx264", GOP, 55),
    "h264 open": (".mp4", "libx264", OPEN, 55),
    "h264 without B": (".mp4", "libx264", GOP | {"bf": "0"}, 68),
    "h264 slices": (".mp4", "libx264", GOP | {"slices": "3"}, 55),
    "h264 interlaced": (".mp4", "libx264", GOP | {"flags": "+ildct+ilme"}, 55),
    "h264 interlaced in ts": (".ts", "libx264", GOP | {"flags": "+ildct+ilme"}, 0),
    "h264 refreshed": (".ts", "libx264", {"intra-refresh": "1", "g": "24"}, 70),
    "hevc open": (".mp4", "libx265", QUIET, 60),
    "hevc": (".mkv", "libx265", CLOSED, 60),
    "hevc in ts": (".ts", "libx265", CLOSED, 70),
    "vp9": (".webm", "libvpx-vp9", {"g": "24"}, 69),
    "av1": (".mp4", "libsvtav1", {"g": "24", "preset": "10"}, 69),
    "mpeg4": (".mp4", "mpeg4", {"g": "24", "bf": "2"}, 0),
    "mjpeg": (".avi", "mjpeg", {}, 8),
}
FULL = {name for name, (*_, most) in KINDS.items() if most == 0}


def pictures() -> Iterator[NDArray[np.uint8]]:
    """Noise that slides, and changes a little: each frame is unlike the others."""
    chance = np.random.default_rng(0)
    still = chance.integers(0, 200, (8, 12, 3))
    for number in range(FRAMES):
        moved = np.roll(np.kron(still, np.ones((8, 8, 1), int)), 2 * number, axis=1)
        yield (moved + chance.integers(0, 30, moved.shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    av.logging.set_level(None)
    folder = tmp_path_factory.mktemp("films")
    paths = {}
    for name, (suffix, codec, options, _) in KINDS.items():
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        times_s = JUMPY_S if name == "h264 in mkv" else every(0.1, FRAMES)
        with own_priority():
            paths[name] = write_clip(
                folder / f"{name}{suffix}", times_s, pictures(), codec=codec, pix_fmt=pix_fmt,
                size=SIZE, options=options,
            )  # fmt: skip
    return paths


class Plain(VideoReader):
    """Decodes all."""

    def _shown(self, stop: Event, times_s: object) -> Iterator[Shown]:
        return self._every_shown(stop)


def state(reader: VideoReader) -> tuple[object, ...]:
    return reader.info, reader.corrupt, reader.end_s


def same(ours: list[Frame], theirs: list[Frame]) -> bool:
    return [f.pts_s for f in ours] == [f.pts_s for f in theirs] and all(
        (a.image == b.image).all() for a, b in zip(ours, theirs, strict=True)
    )


def select(path: Path, times_s: list[float] | None, sampling: Sampling) -> tuple[list[float], int]:
    """Times of the frames given, and how many packets were decoded."""
    selection = Selection(times_s, sampling)
    with open_video(str(path)) as (container, stream):
        shown = [start_s for start_s, *_ in selection.decode(container, stream, Event())]
    return shown, selection.decoded


@pytest.mark.parametrize("name", sorted(set(KINDS) - FULL))
def test_less_is_decoded(films: dict[str, Path], name: str) -> None:
    shown, decoded = select(films[name], every(1.0, 8, start_s=0.45), "exact")
    assert len(shown) >= 7
    assert decoded <= KINDS[name][3]


@pytest.mark.parametrize("name", sorted(FULL))
def test_other_codecs_are_decoded_in_full(films: dict[str, Path], name: str) -> None:
    with pytest.raises(UnsureError):
        select(films[name], [0.0], "exact")


def test_groups_without_an_asked_frame_are_dropped(films: dict[str, Path]) -> None:
    for name in ("h264", "h264 in ts", "hevc", "hevc open", "hevc in ts", "vp9", "av1"):
        assert select(films[name], [0.0, 4.85], "exact")[1] <= 6


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        CaptionOptions(frames=2),
        CaptionOptions(frames=1, window_s=0.7),
        CaptionOptions(stride_s=3.3, window_s=0.5, frames=3),
        CaptionOptions(frames=2, stride_s=0.4, window_s=1.5),
        CaptionOptions(frames=2, start_s=2.2, end_s=4.4, window_s=1.0),
        CaptionOptions(end_s=60.0, window_s=0.3, frames=5),
        CaptionOptions(frames=2, start_s=50.0),
    ],
)
def test_windows_are_those_of_a_full_decode(
    films: dict[str, Path], name: str, options: CaptionOptions
) -> None:
    results: list[tuple[list[Window], tuple[object, ...]]] = []
    for kind in (VideoReader, Plain):
        with kind(films[name], size=(24, 24)) as reader:
            results.append((list(fixed_windows(reader, options)), state(reader)))
    (ours, our_state), (theirs, their_state) = results
    assert our_state == their_state
    assert [(w.start_s, w.end_s) for w in ours] == [(w.start_s, w.end_s) for w in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert same(list(our.frames), list(their.frames))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(list(KINDS)), times_s=st.lists(st.floats(-1, 10), max_size=12))
def test_any_times_give_the_frames_of_a_full_decode(
    films: dict[str, Path], name: str, times_s: list[float]
) -> None:
    times_s = sorted(times_s)
    with VideoReader(films[name]) as reader, Plain(films[name]) as plain:
        assert same(list(reader.frames(times_s)), list(plain.frames(times_s)))
        assert state(reader) == state(plain)


@pytest.mark.parametrize("change", [lambda p: blank(p, range(5, FRAMES, 9)), lambda p: cut(p, 0.6)])
@pytest.mark.parametrize("options", [GOP, {"g": "1"}])
def test_damage_is_met_as_in_a_full_decode(
    tmp_path: Path, options: dict[str, str], change: Callable[[Path], object]
) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", every(0.1, FRAMES), pictures(), size=SIZE, options=options,
        mux={"movflags": "faststart"},
    )  # fmt: skip
    change(path)
    times_s = every(0.05, 2 * FRAMES)  # every frame: none is passed over
    with VideoReader(path) as reader, Plain(path) as plain:
        ours, theirs = list(reader.frames(times_s)), list(plain.frames(times_s))
        assert state(reader) == state(plain) and reader.corrupt
    assert same(ours, theirs)


def test_time_begins_with_the_first_frame(tmp_path: Path) -> None:
    """Of a recording that begins amid a group of pictures the first ones cannot be decoded."""
    whole, late = tmp_path / "whole.mkv", tmp_path / "late.mkv"
    write_clip(whole, every(0.1, FRAMES), pictures(), size=SIZE, options=IN_ORDER | {"g": "60"})
    with av.open(str(whole)) as ours, av.open(str(late), "w") as theirs:
        stream = theirs.add_stream_from_template(ours.streams.video[0])
        for packet in list(ours.demux(video=0))[5:-1]:
            packet.stream = stream
            theirs.mux(packet)
    with VideoReader(late) as reader, Plain(late) as plain:
        for time_s in (0.5, 5.7):
            assert same(list(reader.frames([time_s])), list(plain.frames([time_s])))
            assert state(reader) == state(plain)


def test_a_frame_that_does_not_come_is_noticed_at_once(
    films: dict[str, Path], tmp_path: Path
) -> None:
    """Of a film cut at a key frame, decoders leave out the pictures that lead it."""
    path = tmp_path / "late.mkv"
    with av.open(str(films["hevc open"])) as ours, av.open(str(path), "w") as theirs:
        stream = theirs.add_stream_from_template(ours.streams.video[0])
        stored = [packet for packet in ours.demux(video=0) if packet.size]
        second = [number for number, each in enumerate(stored) if each.is_keyframe][1]
        for packet in stored[second:]:
            packet.stream = stream
            theirs.mux(packet)
    times_s = [-0.1, *every(0.1, 50)]
    selection = Selection(times_s, "exact")
    with open_video(str(path)) as (container, stream), pytest.raises(UnsureError):
        list(selection.decode(container, stream, Event()))
    assert selection.decoded < 20
    with VideoReader(path) as reader, Plain(path) as plain:
        assert same(list(reader.frames(times_s)), list(plain.frames(times_s)))


class Odd:
    """A file and its stream, without packets (``empty``), or with a decoder that keeps the last
    frame to itself (``short``) or gives each frame twice (``twice``)."""

    def __init__(self, container: InputContainer, how: str) -> None:
        self.format, self.start_time = container.format, container.start_time
        self._demux, self._stream = container.demux, container.streams.video[0]
        self._how = how

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def demux(self, stream: object) -> Iterator[object]:
        return iter([] if self._how == "empty" else self._demux(self._stream))

    def decode(self, packet: "av.Packet[av.VideoStream] | None") -> list[av.VideoFrame]:
        frames = self._stream.decode(packet)
        if self._how == "twice":
            return [frame for frame in frames for _ in range(2)]
        return frames if packet else frames[:-1]


@pytest.mark.parametrize("how", ["empty", "short", "twice"])
def test_frames_that_are_not_as_planned_are_noticed(films: dict[str, Path], how: str) -> None:
    with open_video(str(films["h264"])) as (container, _):
        odd = cast(Any, Odd(container, how))
        with pytest.raises(UnsureError):
            list(Selection([0.05, 9.0], "exact").decode(odd, odd, Event()))


@pytest.mark.parametrize("sampling", ["fast", "keyframes"])
@pytest.mark.parametrize("name", ["mpeg4.avi", "h264.avi", "in_order.avi"])
def test_avi_has_its_own_times(clips: Clips, name: str, sampling: Sampling) -> None:
    with VideoReader(clips[name], (64, 48), sampling) as reader:
        for frame in reader.frames():
            assert frame.pts_s == pytest.approx(number_of(frame.image) / 10)


def test_sequences_that_end(films: dict[str, Path], tmp_path: Path) -> None:
    """Pictures that lead into the next one are not shown then, as if it had been cut there."""
    path, end_of_sequence = tmp_path / "clip.mp4", bytes([0, 0, 0, 2, 36 << 1, 1])
    with av.open(str(films["hevc open"])) as ours, av.open(str(path), "w") as theirs:
        stream = theirs.add_stream_from_template(ours.streams.video[0])
        stored = [packet for packet in ours.demux(video=0) if packet.size]
        for packet, after in zip(stored, [*stored[1:], None], strict=True):
            ended = bytes(packet) + (end_of_sequence if after and after.is_keyframe else b"")
            copy = av.Packet(ended)
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            theirs.mux(copy)
    with VideoReader(path) as reader, Plain(path) as plain:
        assert len(list(plain.frames())) < FRAMES
        for times_s in ([1.95], [2.25], [4.65], every(0.5, 14, start_s=0.05)):
            assert same(list(reader.frames(times_s)), list(plain.frames(times_s)))


@pytest.mark.parametrize("options", [GOP, GOP | {"slices": "3"}, {"g": "1"}])
def test_damage_within_a_packet_is_noticed(tmp_path: Path, options: dict[str, str]) -> None:
    """FFmpeg makes up what is lost, from whichever pictures it happens to have."""
    path = write_clip(
        tmp_path / "clip.mp4", every(0.1, FRAMES), pictures(), size=SIZE, options=options
    )
    times_s = every(0.6, 12)
    assert select(path, times_s, "exact")[1] < FRAMES
    with av.open(str(path)) as container:
        places = [(p.pos or 0) + p.size * 3 // 5 for p in container.demux(video=0) if p.is_keyframe]
    data = bytearray(path.read_bytes())
    for place in places:
        data[place : place + 6] = bytes(byte ^ 0x55 for byte in data[place : place + 6])
    path.write_bytes(data)
    with pytest.raises(UnsureError):
        select(path, times_s, "exact")


@pytest.mark.parametrize("name", ["raw.h264", "animated.gif", "longer_than_said.mp4", "vfr.mp4"])
def test_unusual_files_are_read_as_before(clips: Clips, name: str) -> None:
    times_s = every(0.07, 30)
    with VideoReader(clips[name]) as reader, Plain(clips[name]) as plain:
        assert same(list(reader.frames(times_s)), list(plain.frames(times_s)))
        assert state(reader) == state(plain)


@pytest.mark.parametrize("name", ["h264", "h264 open", "hevc", "hevc open", "hevc in ts"])
def test_times_in_the_order_stored_are_not_believed(
    films: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """As those of H.264 in AVI are, and where a program forgets that frames are reordered."""
    path = tmp_path / films[name].name
    with av.open(str(films[name])) as ours, av.open(str(path), "w") as theirs:
        stream = theirs.add_stream_from_template(ours.streams.video[0])
        for number, packet in enumerate(ours.demux(video=0)):
            if packet.size:
                packet.stream, packet.time_base = stream, Fraction(1, 10)
                packet.pts = packet.dts = number
                theirs.mux(packet)
    with VideoReader(path) as reader, Plain(path) as plain:
        for times_s in (every(0.5, 14), [0.15], [0.35], [2.65], [2.75], [4.75]):
            assert same(list(reader.frames(times_s)), list(plain.frames(times_s)))
    with pytest.raises(UnsureError):
        select(path, [2.7], "exact")


@pytest.mark.parametrize("sampling", ["fast", "keyframes"])
@pytest.mark.parametrize("name", KINDS)
def test_other_samplings_give_frames_nearby(
    films: dict[str, Path], name: str, sampling: Sampling
) -> None:
    times_s = every(0.3, 23, start_s=0.04)
    with VideoReader(films[name], sampling=sampling) as reader, Plain(films[name]) as plain:
        there = {frame.pts_s: frame.image for frame in plain.frames()}
        every_one = [frame.pts_s for frame in reader.frames()]
        assert reader.end_s == plain.end_s and not reader.corrupt
        given = list(reader.frames(times_s))
    assert set(every_one) <= set(there) and every_one == sorted(set(every_one))
    assert len(given) == len(times_s)
    with VideoReader(films[name], sampling="keyframes") as reader:
        keys_s = [frame.pts_s for frame in reader.frames()]
    for frame, time_s in zip(given, times_s, strict=True):
        if sampling == "fast":
            nearest_s = min(every_one, key=lambda pts_s: abs(pts_s - time_s))
            assert 0 <= round(nearest_s - frame.pts_s, 6) <= MAX_OLDER_S
            assert bisect_right(keys_s, nearest_s) == bisect_right(keys_s, frame.pts_s)
        elif name != "h264 interlaced in ts":  # which is read in full
            assert frame.pts_s == max(pts_s for pts_s in every_one if pts_s <= time_s)
        difference = np.abs(frame.image.astype(int) - there[frame.pts_s]).mean()
        assert difference < (8 if sampling == "fast" else 0.001)


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"h264 interlaced in ts"}))
def test_keyframes_decodes_key_frames_alone(films: dict[str, Path], name: str) -> None:
    with av.open(str(films[name])) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    shown, decoded = select(films[name], every(0.1, 80), "keyframes")
    assert len(shown) == decoded == (1 if name == "h264 refreshed" else keys)


def test_fast_decodes_references_alone(films: dict[str, Path]) -> None:
    for name in ("h264", "h264 in mkv", "h264 in ts", "hevc", "hevc open"):
        shown, decoded = select(films[name], None, "fast")
        assert len(shown) == decoded < 55


def test_fast_decodes_without_the_loop_filter(films: dict[str, Path]) -> None:
    with VideoReader(films["h264"], sampling="fast") as reader, Plain(films["h264"]) as plain:
        there = {frame.pts_s: frame.image for frame in plain.frames()}
        assert any((frame.image != there[frame.pts_s]).any() for frame in reader.frames())


def test_fast_leaves_out_the_end_of_a_group(films: dict[str, Path]) -> None:
    # groups of 2.4 s
    shown, decoded = select(films["h264"], [0.1, 1.0, 1.9, 2.5, 4.0, 4.5], "fast")
    assert shown == pytest.approx([0.1, 2.5], abs=0.15) and decoded < 10
    shown, decoded = select(films["h264 of one group"], [0.1, 1.0, 3.1, 4.8], "fast")
    assert shown == pytest.approx([0.1, 1.0, 3.1], abs=0.15) and decoded < 25


@pytest.mark.parametrize("sampling", ["fast", "keyframes"])
def test_windows_are_the_same_with_other_samplings(
    films: dict[str, Path], sampling: Sampling
) -> None:
    both: tuple[Sampling, ...] = ("exact", sampling)
    for name in ("h264", "h264 of one group"):
        cuts = []
        for each in both:
            with VideoReader(films[name], (8, 8), each) as reader:
                windows = list(fixed_windows(reader, CaptionOptions(frames=2, window_s=1.5)))
            cuts.append([(w.start_s, w.end_s, len(w.frames)) for w in windows])
        assert cuts[0] == cuts[1]


def test_scenes_of_references(films: dict[str, Path]) -> None:
    options = CaptionOptions(frames=2, segment="scenes", sampling="fast", window_s=2)
    with VideoReader(films["h264"], SIZE, options.sampling) as reader:
        windows = list(scene_windows(reader, options))
        assert (windows[0].start_s, windows[-1].end_s) == (0, pytest.approx(7.0))
    with pytest.raises(UsageError, match="too few frames for --segment scenes"):
        CaptionOptions(segment="scenes", sampling="keyframes")


def test_a_selection_that_is_told_to_stop(films: dict[str, Path]) -> None:
    stop = Event()
    with open_video(str(films["h264"])) as (container, stream):
        selection = Selection(every(0.1, 70), "exact")
        for _ in selection.decode(container, stream, stop):
            stop.set()
    assert selection.decoded < FRAMES
