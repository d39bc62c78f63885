"""Reading: the right frames at the right times from every kind of file, or one clear error."""

import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.container import InputContainer
from clips import IN_ORDER, Clips, every, number_of, picture, turn, write_clip, write_image

from vidcaption.errors import InputError
from vidcaption.video.clock import Clock
from vidcaption.video.decode import decode
from vidcaption.video.reader import VideoReader, probe


def read(path: Path, times_s: list[float] | None = None) -> tuple[list[int], list[float]]:
    """The numbers of the frames, and their times."""
    with VideoReader(path, size=(64, 48)) as reader:
        frames = list(reader.frames(times_s))
    return [number_of(f.image) for f in frames], [f.pts_s for f in frames]


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "decode"]


@pytest.fixture(autouse=True)
def nothing_left(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No test leaves a thread behind, and FFmpeg's decoders print nothing."""
    capfd.readouterr()
    yield
    assert not decoding_threads()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "number", "step_s"),
    [
        ("h264.mp4", 20, 0.1),
        ("clip ü 動画 #1.mp4", 20, 0.1),
        ("10:30.mp4", 20, 0.1),
        ("vp9.webm", 10, 0.1),
        ("mjpeg.avi", 10, 0.1),
        ("h264.avi", 20, 0.1),
        ("in_order.avi", 20, 0.1),
        ("mpeg4.avi", 20, 0.1),
        ("raw.h264", 10, 0.1),
        ("live.webm", 10, 0.1),
        ("delayed.mp4", 10, 0.1),
        ("delayed.mkv", 10, 0.1),
        ("negative.mkv", 10, 0.1),
        ("odd.mp4", 5, 0.1),
        ("ten_bit.mp4", 5, 0.1),
        ("alpha.mov", 5, 0.1),
        ("interlaced.mp4", 5, 0.1),
        ("animated.gif", 5, 0.1),
        ("one_frame.mp4", 1, 0.1),
    ],
)
def test_every_frame_in_order_with_its_time(
    clips: Clips, name: str, number: int, step_s: float
) -> None:
    with VideoReader(clips[name], size=(64, 48)) as reader:
        frames = list(reader.frames())
    assert [number_of(f.image) for f in frames] == list(range(number))
    assert [f.pts_s for f in frames] == pytest.approx(every(step_s, number))
    assert reader.end_s == pytest.approx(number * step_s)
    assert reader.corrupt == 0
    assert reader.info.duration_s == pytest.approx(number * step_s)
    assert reader.info.frames == number
    assert all(f.image.shape == (48, 64, 3) and f.image.dtype == np.uint8 for f in frames)


@pytest.mark.parametrize(
    ("name", "codec", "size", "fps"),
    [
        ("h264.mp4", "h264", (64, 48), 10),
        ("vp9.webm", "vp9", (64, 48), 10),
        ("odd.mp4", "h264", (63, 47), 10),
        ("turned_90.mp4", "h264", (48, 64), 10),
        ("turned_180.mp4", "h264", (64, 48), 10),
    ],
)
def test_probe(clips: Clips, name: str, codec: str, size: tuple[int, int], fps: float) -> None:
    info = probe(clips[name])
    assert info.path == str(clips[name])
    assert (info.codec, info.width, info.height) == (codec, *size)
    assert info.fps == pytest.approx(fps)


@pytest.mark.parametrize("name", ["still.jpg", "still.png", "still.gif", "still.webp", "100%d.jpg"])
def test_a_still_image_is_a_video_of_one_frame(clips: Clips, name: str) -> None:
    info = probe(clips[name])
    assert (info.duration_s, info.fps, info.frames) == (None, None, 1)
    assert read(clips[name]) == ([5], [0.0])
    assert read(clips[name], [0.0]) == ([5], [0.0])


def test_a_name_with_a_pattern_is_one_image(tmp_path: Path) -> None:
    for i in range(3):
        write_image(tmp_path / f"a{i}.png", number=i)
    (tmp_path / "a%d.png").write_bytes((tmp_path / "a2.png").read_bytes())
    assert read(tmp_path / "a%d.png")[0] == [2]


def test_picks_the_frame_that_is_shown(clips: Clips) -> None:
    times = [0.0, 0.05, 0.1, 0.149, 0.15, 0.3, 0.49, 0.5, 0.549, 0.56, 1.19, 1.2, 1.29]
    numbers, starts = read(clips["vfr.mp4"], times)
    assert numbers == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5]
    assert starts == pytest.approx(
        [0, 0, 0.1, 0.1, 0.15, 0.15, 0.15, 0.5, 0.5, 0.55, 0.55, 1.2, 1.2]
    )


def test_the_first_frame_answers_earlier_times(clips: Clips) -> None:
    assert read(clips["h264.mp4"], [-5.0, -0.1, 0.0])[0] == [0, 0, 0]


def test_times_after_the_end_have_no_frame(clips: Clips) -> None:
    assert read(clips["h264.mp4"], [1.85, 1.99, 2.0, 2.5])[0] == [18, 19]
    assert read(clips["h264.mp4"], [2.0]) == ([], [])
    assert read(clips["h264.mp4"], []) == ([], [])


def test_times_may_be_endless(clips: Clips) -> None:
    with VideoReader(clips["h264.mp4"], size=(64, 48)) as reader:
        frames = reader.frames(0.05 + 0.2 * i for i in count())
        assert [number_of(f.image) for f in frames] == list(range(0, 20, 2))


def test_a_frame_picked_twice_is_the_same_object(clips: Clips) -> None:
    with VideoReader(clips["vfr.mp4"]) as reader:
        a, b, c = reader.frames([0.2, 0.3, 0.5])
    assert a is b
    assert b is not c


def test_a_second_pass_starts_anew(clips: Clips) -> None:
    with VideoReader(clips["h264.mp4"]) as reader:
        first = reader.frames()
        assert number_of(next(first).image) == 0
        assert [number_of(f.image) for f in reader.frames([0.5])] == [5]
        assert list(first) == []


@pytest.mark.parametrize("suffix", ["mp4", "mov", "ts", "mkv", "webm", "flv"])
def test_time_counts_from_the_start_of_the_sound(clips: Clips, suffix: str) -> None:
    """Where that starts first; the sound of some formats starts with a silence of 21 ms."""
    path = clips[f"late.{suffix}"]
    numbers, times = read(path)
    assert numbers == list(range(20))
    assert times == pytest.approx(every(0.1, 20, start_s=1.0), abs=0.03)
    numbers, _ = read(path, [0.0, 0.5, 1.15, 2.15, 2.85, 3.1])
    assert numbers == [0, 0, 1, 11, 18]
    with VideoReader(path) as reader:
        list(reader.frames([9.0]))
        assert reader.start_s == pytest.approx(times[0])
        assert reader.end_s == pytest.approx(3.0, abs=0.03)
        if suffix != "flv":  # which says when the last of its streams ends
            assert reader.info.duration_s == pytest.approx(reader.end_s, abs=0.001)
            assert reader.info.frames == 20


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("options", [IN_ORDER, {"bf": "2"}])
def test_gaps_in_avi(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """AVI has the times of packets alone, which codecs may store in another order than shown."""
    times_s = [*every(0.1, 10), *every(0.1, 8, start_s=1.7), *every(0.1, 6, start_s=4.0)]
    path = write_clip(tmp_path / "gaps.avi", times_s, codec=codec, options=options)
    with VideoReader(path, (64, 48)) as reader:
        frames = list(reader.frames())
        assert reader.end_s == pytest.approx(4.6)
        assert reader.info.duration_s == pytest.approx(4.6)
        picked = list(reader.frames([0.05, 1.2, 1.85, 3.9, 4.55]))
    assert [number_of(frame.image) for frame in frames] == list(range(24))
    assert [frame.pts_s for frame in frames] == pytest.approx(times_s)
    assert [number_of(frame.image) for frame in picked] == [0, 9, 11, 17, 23]


@pytest.mark.parametrize("times_s", [None, [0.05, 300.0, 800.0, 1500.05, 1500.15]])
def test_a_live_recording_of_a_picture_that_stands(
    tmp_path: Path, times_s: list[float] | None
) -> None:
    path = write_clip(
        tmp_path / "live.webm", [0, 0.1, 700, 1500, 1500.1], codec="libvpx-vp9", mux={"live": "1"}
    )
    with VideoReader(path, (64, 48)) as reader:
        frames = list(reader.frames(times_s))
        assert reader.end_s == reader.info.duration_s == pytest.approx(1500.2)
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == [0, 1, 2, 3, 4]
    starts_s = [0, 0.1, 700, 1500, 1500.1]
    assert [frame.pts_s for frame in frames] == pytest.approx(starts_s)


@pytest.mark.parametrize("size", [None, (40, 30), (224, 224)])
@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_frames_stand_upright(
    tmp_path: Path, clockwise: int, mirrored: bool, size: tuple[int, int] | None
) -> None:
    path = turn(write_clip(tmp_path / "clip.mp4", every(0.1, 10)), clockwise, mirrored)
    with VideoReader(path, size) as reader:
        image = next(iter(reader.frames([0.65]))).image
    assert reader.info.rotation == clockwise
    width, height = size or (reader.info.width, reader.info.height)
    assert (reader.info.width, reader.info.height) == ((64, 48), (48, 64))[clockwise % 180 // 90]
    assert image.shape == (height, width, 3)
    assert image.flags.c_contiguous
    as_stored = np.rot90(image, clockwise // 90)  # counterclockwise
    assert number_of(as_stored[:, ::-1] if mirrored else as_stored) == 6


@pytest.mark.parametrize("name", ["h264.mp4", "ten_bit.mp4", "mjpeg.avi", "alpha.mov"])
def test_brightness_is_kept(clips: Clips, name: str) -> None:
    with VideoReader(clips[name]) as reader:
        image = next(iter(reader.frames())).image
    assert np.abs(image.astype(int) - picture(0)).mean() < 3


def test_damaged_packets_are_skipped_and_counted(clips: Clips) -> None:
    with VideoReader(clips["damaged.avi"]) as reader:
        frames = list(reader.frames())
    assert [number_of(f.image) for f in frames] == [0, 1, 2, 4, 5, 6, 8, 9]
    assert [f.pts_s for f in frames] == pytest.approx([0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9])
    assert reader.corrupt == 2


def test_the_frame_before_a_damaged_one_stays_shown(clips: Clips) -> None:
    assert read(clips["damaged.avi"], [0.25, 0.35, 0.45])[0] == [2, 2, 4]


def test_vp9_goes_on_after_a_damaged_packet(clips: Clips) -> None:
    with VideoReader(clips["damaged.webm"]) as reader:
        numbers = [number_of(f.image) for f in reader.frames()]
    assert reader.corrupt > 0
    assert numbers[:5] == [0, 1, 2, 3, 4]
    assert numbers[-5:] == [25, 26, 27, 28, 29]


def test_a_truncated_file_yields_what_is_there(clips: Clips) -> None:
    with VideoReader(clips["truncated.mp4"]) as reader:
        numbers = [number_of(f.image) for f in reader.frames()]
    assert reader.info.duration_s == pytest.approx(2.0)
    assert numbers == list(range(len(numbers)))
    assert 5 <= len(numbers) < 20
    assert reader.end_s == pytest.approx(0.1 * len(numbers))
    assert reader.corrupt == 1


def test_an_unreadable_rest_ends_the_video(clips: Clips) -> None:
    with av.open(str(clips["mjpeg.avi"])) as container:

        class Broken:
            format, start_time = container.format, container.start_time

            def demux(self, stream: av.VideoStream) -> Iterator[object]:
                yield from islice(container.demux(stream), 8)
                raise av.error.OSError(5, "Input/output error")

        stream = container.streams.video[0]
        shown = list(decode(cast(InputContainer, Broken()), stream, None, careful=True))
    assert [s and s[0] for s in shown] == pytest.approx([*every(0.1, 8), None])


def test_a_decoder_that_refuses_everything_is_flushed(clips: Clips) -> None:
    class Wedged:
        """The stream of a decoder that takes nothing more after its third packet."""

        def __init__(self, stream: av.VideoStream) -> None:
            self._stream = stream
            self._taken = 0
            self.codec_context = self

        def __getattr__(self, name: str) -> object:
            return getattr(self._stream, name)

        def flush_buffers(self) -> None:
            self._taken = -999

        def decode(self, packet: "av.Packet[av.VideoStream]") -> list[av.VideoFrame]:
            self._taken += 1
            if self._taken > 3:
                raise av.error.BlockingIOError(11, "Resource temporarily unavailable")
            return self._stream.decode(packet)

    class Source:
        def __init__(self, container: InputContainer) -> None:
            self.format, self.start_time = container.format, container.start_time
            self.demux = lambda stream: container.demux(container.streams.video[0])

    with av.open(str(clips["mjpeg.avi"])) as container:
        stream = cast(av.VideoStream, Wedged(container.streams.video[0]))
        shown = list(decode(cast(InputContainer, Source(container)), stream, None, careful=True))
    assert [s and s[0] for s in shown] == pytest.approx([0, 0.1, 0.2, None, *every(0.1, 6, 0.4)])


def test_a_pixel_format_that_cannot_be_converted(
    clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(frame: av.VideoFrame) -> None:
        raise av.error.NotImplementedError(38, "Function not implemented")

    with VideoReader(clips["h264.mp4"]) as reader:
        monkeypatch.setattr(reader, "_converter", refuse)
        with pytest.raises(InputError, match="has frames of format yuv420p, which cannot be"):
            list(reader.frames())


def test_concatenated_streams_follow_each_other(tmp_path: Path) -> None:
    late = write_clip(tmp_path / "late.ts", every(0.1, 5, start_s=5), options={"bf": "0"})
    early = write_clip(tmp_path / "early.ts", every(0.1, 5), options={"bf": "0"})
    both = tmp_path / "both.ts"
    both.write_bytes(late.read_bytes() + early.read_bytes())
    numbers, times = read(both)
    assert numbers == [0, 1, 2, 3, 4] * 2
    assert times == pytest.approx(every(0.1, 10))


def test_times_never_run_backwards() -> None:
    clock = Clock(Fraction(1, 10), 0.1, 0, 900.0)
    frame = av.VideoFrame(8, 8)
    for pts, start_s in [
        (None, 0.0),  # the first
        (-3, 0.0),
        (3, 0.3),
        (2, 0.3),  # badly sorted
        (4, 0.4),
        (None, 0.5),  # when the one before ends
        (8999, 899.9),  # a picture that stands still, to the end that the container says
        (9**12, 900.0),  # damage
        (9**12 + 1, 900.1),
        (50, 900.2),  # and back
        (51, 900.3),
    ]:
        # in tenths of a second
        frame.pts = pts
        frame.duration = 1
        assert clock.read(frame)[0] == pytest.approx(start_s)
    frame.duration = 9**12
    assert clock.read(frame)[1] < 9**4


def test_leaving_early_stops_the_thread_at_once(clips: Clips) -> None:
    with VideoReader(clips["h264.mp4"]) as reader:
        for _ in reader.frames():
            assert decoding_threads()
            break
    assert not decoding_threads()
    with pytest.raises(ZeroDivisionError), VideoReader(clips["h264.mp4"]) as reader:
        for _ in reader.frames():
            raise ZeroDivisionError
    assert not decoding_threads()


def test_what_goes_wrong_in_the_thread_reaches_the_consumer(clips: Clips) -> None:
    def times() -> Iterator[float]:
        yield 0.1
        raise LookupError("no more times")

    with VideoReader(clips["h264.mp4"]) as reader, pytest.raises(LookupError, match="no more"):
        list(reader.frames(times()))


def test_a_closed_reader_that_was_never_read(clips: Clips) -> None:
    with VideoReader(clips["h264.mp4"]) as reader:
        reader.frames()
    reader.close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sound.mp4", "holds sound but no video"),
        ("cover.mp4", "holds sound but no video"),
        ("text.mp4", "is not a video"),
        ("text.txt", "is a text file or a playlist, not a video"),
        ("live.m3u8", "is a text file or a playlist, not a video"),
        ("list.mp4", "is a text file or a playlist, not a video"),
        ("page.mp4", "is not a video"),
        ("noise.mp4", "is not a video"),
        ("empty.mp4", "is empty"),
        ("folder.mp4", "is a folder"),
        ("encrypted.mp4", "is encrypted (DRM)"),
        ("encrypted_parts.mp4", "is encrypted (DRM)"),
        ("encrypted.webm", "is encrypted (DRM)"),
        ("no_index.mp4", "is an MP4 cut off before its index"),
        ("undecodable.mp4", "has no frame that FFmpeg can decode"),
        ("unknown_codec.mp4", "has a codec that FFmpeg cannot decode"),
        ("too_wide.png", "has frames of 16400x2 pixels"),
    ],
)
def test_one_clear_error(clips: Clips, name: str, says: str) -> None:
    path = clips[name]
    with pytest.raises(InputError) as caught:
        VideoReader(path)
    message = str(caught.value)
    assert message.startswith(f"{path} {says}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "says"), [("gone.mp4", "no such file or directory"), ("x" * 999, "file name too long")]
)
def test_a_file_that_is_not_there(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InputError, match=f"{name} cannot be read: {says}"):
        probe(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read: permission denied"):
        probe(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="is a pipe, which can be read only once"):
        probe(tmp_path / "pipe.mp4")


def test_metadata_in_another_encoding(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", [0.0], codec="ffv1")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xff\xfe"))
    assert read(path)[0] == [0]


def test_a_reader_outlives_its_file(clips: Clips, tmp_path: Path) -> None:
    path = turn(write_clip(tmp_path / "clip.mp4", every(0.1, 3)), 180)
    with VideoReader(path) as reader:
        path.unlink()
        with pytest.raises(InputError, match="cannot be read"):
            list(reader.frames())


@pytest.mark.parametrize("name", ["h264.mp4", "vfr.mp4", "truncated.mp4", "still.png"])
def test_a_gpu_decodes_the_same_frames_or_leaves_it_to_the_cpu(clips: Clips, name: str) -> None:
    with VideoReader(clips[name]) as plain, VideoReader(clips[name], decoder="cuda") as reader:
        ours, theirs = list(reader.frames()), list(plain.frames())
        assert (reader.info, reader.end_s) == (plain.info, plain.end_s)
    assert [frame.pts_s for frame in ours] == [frame.pts_s for frame in theirs]
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our.image.astype(int), their.image, atol=3)
