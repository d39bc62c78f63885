"""The Python API, mostly with a tiny random model; the embedded one must know what it sees."""

import gc
import io
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from clips import IN_ORDER, Clips, every, picture, write_clip, write_image
from processors import needs_bf16
from tiny import PEOPLE, WORDS, write_tiny

from vidcaption import Captioner, InputError, Segment
from vidcaption.batcher import Runner
from vidcaption.captioning import Captioning
from vidcaption.errors import DeviceError, UsageError
from vidcaption.model.attention import Memory
from vidcaption.model.decoder import Decoder
from vidcaption.model.people import KINDS, who
from vidcaption.model.search import Caption, search
from vidcaption.options.captioning import CaptionOptions, Sampling
from vidcaption.types import ModelInfo, Progress
from vidcaption.video.workers import Workers

CLIP = Path(__file__).parent.parent / "examples/clip.mp4"


def looked_at(captioning: Captioning) -> tuple[int, int]:
    """The frames that were sampled, and the distinct pictures that the CNN saw."""
    statistics = captioning.statistics
    return statistics.frames, statistics.encoded


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def captioner(tiny: Path) -> Captioner:
    return Captioner.from_pretrained(tiny, device="cpu", precision="fp32")


SHORT = CaptionOptions(window_s=0.4, frames=2, max_words=5, merge=False)


def test_segments_cover_the_video(captioner: Captioner, tiny: Path, clips: Clips) -> None:
    captions = captioner.caption(clips["h264.mp4"], SHORT)
    duration_s = captions.video.duration_s
    assert duration_s is not None
    assert captions.model == ModelInfo(str(tiny), captioner.model.sha256)
    assert captions.options == SHORT
    assert captions.segments[0].start_s == 0
    assert captions.segments[-1].end_s == pytest.approx(duration_s)
    for before, after in zip(captions.segments, captions.segments[1:], strict=False):
        assert before.end_s == after.start_s
    for segment in captions.segments:
        assert [word.text for word in segment.words] == segment.text.lower().split()
        logs = [math.log(word.probability) for word in segment.words]
        assert segment.score == pytest.approx(sum(logs) / len(logs))
        assert segment.text[0].isupper()


def test_a_model_sees_as_many_frames_as_it_learned_from(tmp_path: Path, clips: Clips) -> None:
    captioner = Captioner.from_pretrained(write_tiny(tmp_path, frames=3), device="cpu")
    frames = np.zeros((8, 48, 64, 3), np.uint8)
    for options, seen in ((None, 3), (CaptionOptions(frames=1), 1)):
        with captioner.open(clips["h264.mp4"], options, window="whole") as captioning:
            captions = captioning.finish()
        assert (captions.options.frames, captioning.statistics.frames) == (seen, seen)
        in_memory = captioner.caption_frames(frames, [i / 8 for i in range(8)], options)
        assert in_memory.options.frames == seen
    windows = list(captioner.windows(clips["h264.mp4"], CaptionOptions(), captioner.frame_size))
    assert [len(window.frames) for window in windows] == [3]
    assert len(captioner.caption_windows(windows)) == 1
    with pytest.raises(UsageError, match="4096 windows of 3 frames overlap"):
        captioner.caption(clips["h264.mp4"], window=409.6, stride=0.1)


FORK = """
import os, signal, sys
from vidcaption import Captioner
from vidcaption.options import CaptionOptions
options = CaptionOptions(window_s=0.4, frames=2, max_words=5)
captioner = Captioner.from_pretrained(sys.argv[1], device="cpu", precision="fp32", threads=2)
before = captioner.caption(sys.argv[2], options)
if os.fork() == 0:
    signal.alarm(60)
    after = captioner.caption(sys.argv[2], options)
    os._exit([s.text for s in after.segments] != [s.text for s in before.segments])
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_captions(tiny: Path, clips: Clips) -> None:
    """As those of gunicorn --preload do, whose parent has loaded the model."""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FORK, str(tiny), str(clips["h264.mp4"])]
    assert subprocess.run(command, env=environment).returncode == 0


def test_a_gpu_does_not_survive_a_fork(captioner: Captioner) -> None:
    machine = replace(captioner.machine, device=torch.device("cuda"), process=os.getppid())
    with pytest.raises(DeviceError, match="on cuda before this process was forked"):
        machine.check_process()


def test_batches_change_nothing_but_speed(tiny: Path, clips: Clips) -> None:
    one, many = (
        Captioner.from_pretrained(tiny, precision="fp32", batch_size=n).caption(
            clips["h264.mp4"], SHORT
        )
        for n in (1, 5)
    )
    assert [s.text for s in one.segments] == [s.text for s in many.segments]


def test_a_batch_has_so_many_frames_at_most(tiny: Path) -> None:
    captioner = Captioner.from_pretrained(tiny, batch_size=1024)
    sizes = []
    for n in (1, 8, 9, 64):
        with closing(captioner.batcher(CaptionOptions(frames=n))) as batcher:
            sizes.append(batcher.size)
        assert captioner._request(CLIP, CaptionOptions(frames=n)).batch_size == 8
    assert sizes == [1024, 1024, 910, 128]


def test_equal_neighbours_are_merged_unless_told_not_to(captioner: Captioner, clips: Clips) -> None:
    still = clips["still.png"]
    assert len(captioner.caption(still, SHORT).segments) == 1
    apart = captioner.caption(CLIP, CaptionOptions(frames=1, window_s=1, end_s=4, merge=False))
    joined = captioner.caption(CLIP, CaptionOptions(frames=1, window_s=1, end_s=4))
    texts = [s.text for s in apart.segments]
    assert [s.text for s in joined.segments] == [
        text for i, text in enumerate(texts) if i == 0 or texts[i - 1] != text
    ]


def test_neighbours_name_the_same_people(tmp_path: Path) -> None:
    model = write_tiny(tmp_path, words=PEOPLE, heads="caption+joint")
    options = CaptionOptions(window_s=0.5, frames=1, max_words=6, merge=False, segment="fixed")
    texts = []
    for batch_size in (1, 7):
        captioner = Captioner.from_pretrained(model, precision="fp32", batch_size=batch_size)
        segments = captioner.caption(CLIP, options).segments
        texts.append([each.text for each in segments])
    assert texts[0] == texts[1]
    alone = captioner.caption_windows(
        captioner.windows(CLIP, options, captioner.frame_size), options
    )
    assert None not in alone
    changed = 0
    for segment, best in zip(segments, filter(None, alone), strict=True):
        assert (segment.start_s, segment.end_s) == (best.start_s, best.end_s)
        assert segment.vector == best.vector != b""
        if segment.text != best.text:
            changed += 1
            assert people(segment) != people(best)
            assert [word.text for word in segment.words] == segment.text.lower().split()
    assert changed > 1
    assert changes(segments) < changes(filter(None, alone))


def test_batches_are_full_though_a_choice_looks_ahead(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = Captioner.from_pretrained(tiny, precision="fp32", batch_size=8)
    sizes, caption = [], Runner.caption

    def counted(runner: Runner, looks: Any, *rest: Any) -> Any:
        sizes.append(len(looks))
        return caption(runner, looks, *rest)

    monkeypatch.setattr(Runner, "caption", counted)
    options = CaptionOptions(window_s=0.5, frames=1, max_words=3, segment="fixed")
    with closing(captioner.batcher(options)) as batcher:
        part = replace(options, end_s=3.4)  # seven windows, so that batches end between windows
        captioner.open(CLIP, part, batcher=batcher).prefetch()
        assert not sizes
        rest = replace(options, start_s=3.5)
        with captioner.open(CLIP, rest, batcher=batcher) as captioning:
            captioning.finish()
    assert sizes[:-1] == [8] * 4 and sum(sizes) == 40


def people(segment: Segment) -> frozenset[str]:
    return who((word.text for word in segment.words), KINDS)


def changes(segments: Iterable[Segment]) -> int:
    """How often neighbours name other people."""
    pairs = pairwise(map(people, segments))
    return sum(bool(one and other and one != other) for one, other in pairs)


def test_overlapping_windows_share_frames(captioner: Captioner, clips: Clips) -> None:
    options = CaptionOptions(window_s=0.4, stride_s=0.2, frames=2, max_words=5, merge=False)
    segments = captioner.caption(clips["h264.mp4"], options).segments
    starts = [round(s.start_s, 6) for s in segments]
    assert starts == [round(0.2 * i, 6) for i in range(len(starts))]
    alone = captioner.caption(clips["h264.mp4"], CaptionOptions(
        window_s=0.4, frames=2, max_words=5, merge=False, start_s=0.2, end_s=0.6
    ))  # fmt: skip
    assert alone.segments[0].text == segments[1].text


def test_a_gpu_that_is_to_decode_must_be_there(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="--video-decoder cuda needs an NVIDIA GPU"):
        Captioner.from_pretrained(tiny, video_decoder="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_cuda_captions_as_the_cpu_does(
    captioner: Captioner, tiny: Path, clips: Clips, device: str
) -> None:
    if torch.cuda.device_count() <= torch.device(device).index:
        pytest.skip(f"no {device}")
    other = Captioner.from_pretrained(tiny, device=device, precision="fp32", batch_size=2)
    for path in (clips["h264.mp4"], clips["still.png"]):
        expected = captioner.caption(path, SHORT).segments
        with other.open(path, SHORT) as captioning:
            got = captioning.finish().segments
        assert [s.text for s in got] == [s.text for s in expected]
        assert all(seconds > 0 for seconds in captioning.statistics.seconds.values())


def test_stream_gives_segments_before_the_video_has_been_read(tiny: Path) -> None:
    captioner = Captioner.from_pretrained(tiny, batch_size=1)
    with captioner.open(CLIP, CaptionOptions(window_s=1, frames=1, merge=False)) as captioning:
        first = next(iter(captioning))
        assert isinstance(first, Segment)
        assert captioning.progress_s == 1
        assert captioning.captions().segments == (first,)
        rest = captioning.finish()
    assert len(rest.segments) == 20
    assert captioning.statistics.seconds["encode"] > 0


def test_abandoning_a_stream_ends_its_thread(captioner: Captioner) -> None:
    import threading

    before = threading.active_count()
    stream = captioner.stream(CLIP, CaptionOptions(window_s=1, frames=1, merge=False))
    next(stream)
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("isolate", [True, False])
def test_stopping_keeps_what_is_finished(tiny: Path, clips: Clips, isolate: bool) -> None:
    captioner = Captioner.from_pretrained(tiny, precision="fp32", isolate=isolate)
    kept: list[Segment | None] = []

    def keep(first: int, progress: Progress) -> bool:
        kept[first:] = progress.segments
        return True

    with (
        pytest.raises(KeyboardInterrupt),
        captioner.open(clips["h264.mp4"], SHORT, keep=keep) as captioning,
    ):
        first = next(iter(captioning))
        captioning.stop()
        for _ in captioning:
            pass
    assert kept == [first]


def test_windows_in_any_size(captioner: Captioner, clips: Clips) -> None:
    windows = list(captioner.windows(clips["h264.mp4"], SHORT, (40, 30)))
    spans = [(window.start_s, window.end_s) for window in windows]
    captions = captioner.caption(clips["h264.mp4"], SHORT)
    assert spans == [(segment.start_s, segment.end_s) for segment in captions]
    assert {frame.image.shape for window in windows for frame in window.frames} == {(30, 40, 3)}


def test_options_by_the_names_of_their_flags(captioner: Captioner, clips: Clips) -> None:
    short = captioner.caption(clips["h264.mp4"], SHORT)
    flags = {"window": 0.4, "frames": 2, "max_words": 5, "merge": False}
    assert captioner.caption(clips["h264.mp4"], **flags) == short
    assert captioner.caption(clips["h264.mp4"], SHORT, beam=1).options == replace(SHORT, beam=1)
    whole = captioner.caption(str(clips["h264.mp4"]), window="whole", start="0:00.5")
    assert [(s.start_s, s.end_s) for s in whole] == [(0.5, pytest.approx(2))]
    assert list(captioner.stream(clips["h264.mp4"], **flags)) == list(short)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"widow": 2}, "there is no option 'widow'; did you mean window"),
        ({"window_s": 2}, "there is no option 'window_s'; did you mean window"),
        ({"window": "long"}, "--window is 'long'; it must be seconds"),
        ({"beam": "3"}, "--beam is '3'; it must be a whole number"),
    ],
)
def test_wrong_options(captioner: Captioner, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        captioner.caption(CLIP, **flags)


class Pipe(io.RawIOBase):
    """A stream that cannot be rewound, as that of a web response."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._rest.readinto(memoryview(buffer)[:1000])


def test_videos_in_streams(captioner: Captioner, clips: Clips, tmp_path: Path) -> None:
    path = clips["h264.mp4"]
    expected = captioner.caption(path, SHORT)
    data = path.read_bytes()
    with path.open("rb") as file:
        assert captioner.caption(file, SHORT) == expected
    for stream in (io.BytesIO(data), Pipe(data)):
        captions = captioner.caption(stream, SHORT)  # type: ignore[arg-type]
        assert captions.segments == expected.segments
        assert captions.video == replace(expected.video, path="stream")


def test_streams_leave_no_file(
    captioner: Captioner, clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    captioner.caption(io.BytesIO(clips["h264.mp4"].read_bytes()), SHORT)
    for data in (b"", b"no video"):
        with pytest.raises(InputError, match=r"^stream is "):
            captioner.caption(io.BytesIO(data))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "source",
    [None, 5, b"clip.mp4", io.StringIO("text"), np.zeros((2, 8, 8, 3), np.uint8), ["clip.mp4"]],
    ids=lambda source: type(source).__name__,
)
def test_what_is_no_video(captioner: Captioner, source: Any) -> None:
    with pytest.raises(UsageError, match="in binary mode"):
        captioner.caption(source)


def test_streams_that_cannot_be_read(captioner: Captioner, tmp_path: Path) -> None:
    closed = io.BytesIO()
    closed.close()
    with (tmp_path / "x").open("wb") as written:
        for stream in (closed, written):
            with pytest.raises(UsageError, match="open for reading in binary mode"):
                captioner.caption(stream)


def test_frames_in_memory(captioner: Captioner, tmp_path: Path) -> None:
    """As the same frames in a file, whose codec loses nothing."""
    times_s = [0.0, 0.2, 0.4, 0.9, 1.0, 1.6, 1.8]
    frames = np.stack([picture(2 * i) for i in range(7)])
    captions = captioner.caption_frames(frames, times_s, SHORT)
    path = write_clip(tmp_path / "x.mkv", times_s, list(frames), codec="ffv1", pix_fmt="bgr0")
    expected = captioner.caption(path, SHORT, segment="fixed")
    assert captions.options == expected.options
    assert [s.text for s in captions] == [s.text for s in expected]
    assert captions[-1].end_s == 2.0 == captions.video.duration_s
    assert captioner.caption_frames(list(frames), times_s, SHORT) == captions
    [one] = captioner.caption_frames(frames[:1], [0.0], window=3)
    assert (one.start_s, one.end_s) == (0, 3)


FRAME = np.zeros((1, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "times_s", "message"),
    [
        (FRAME, [], "frames and times are 1 and 0; give at least"),
        ([], [], "frames and times are 0 and 0"),
        (FRAME.astype(float), [0.0], r"a frame is float64 of shape \(8, 8, 3\)"),
        (FRAME[..., 0], [0.0], r"uint8 of shape \(8, 8\)"),
        (["a.png"], [0.0], "a frame is str"),
        (np.repeat(FRAME, 2, 0), [0.0, 0.0], "in ascending order"),
        (np.repeat(FRAME, 2, 0), [1.0, 0.5], "in ascending order"),
        (FRAME, [-1.0], "seconds from 0 on"),
        (FRAME, [math.nan], "seconds from 0 on"),
    ],
)
def test_what_are_no_frames(
    captioner: Captioner, frames: Any, times_s: list[float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        captioner.caption_frames(frames, times_s)


def test_scenes_cut_where_the_picture_changes(captioner: Captioner) -> None:
    options = CaptionOptions(segment="scenes", frames=1, window_s=4, merge=False)
    starts = [s.start_s for s in captioner.caption(CLIP, options).segments]
    assert starts == pytest.approx([0, 4, 8, 12, 16], abs=0.1)


@pytest.mark.parametrize("sampling", ["fast", "keyframes"])
def test_sampling_keeps_the_windows(captioner: Captioner, sampling: Sampling) -> None:
    exact = CaptionOptions(frames=2, merge=False)
    expected = [(s.start_s, s.end_s) for s in captioner.caption(CLIP, exact).segments]
    captions = captioner.caption(CLIP, replace(exact, sampling=sampling))
    assert [(s.start_s, s.end_s) for s in captions.segments] == expected
    assert json.loads(captions.render("json"))["options"]["sampling"] == sampling


def test_all_bad_files_are_input_errors(captioner: Captioner, clips: Clips, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for path in (tmp_path / "none.mp4", tmp_path, tmp_path / "text.mp4"):
        with pytest.raises(InputError, match=str(path.name)):
            captioner.caption(path)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_the_built_in_model_names_what_is_seen(precision: Literal["fp32", "bf16"]) -> None:
    """None of these pictures was in its training data."""
    captioner = Captioner.from_pretrained(precision=precision)
    person, bicycle = ("woman", "man", "girl", "boy", "person"), ("bike", "bicycle")
    for beam in (1, 3):
        captions = captioner.caption(CLIP, beam=beam)
        street = captioner.caption(CLIP.with_name("street.mp4"), beam=beam)
        for shown, at_s, *seen in (
            (captions, 2, ("motorcycle",)),
            (captions, 6, person),
            (captions, 10, ("coffee", "cup")),
            (captions, 14, ("cat",)),
            (street, 2, ("car",)),
            (street, 5, person, bicycle),
            (street, 9, person, bicycle),
        ):
            [segment] = [s for s in shown if s.start_s <= at_s < s.end_s]
            for names in seen:
                assert set(names) & set(segment.text.lower().split()), shown.render("txt")
            assert 0 < segment.confidence < 1
        assert "rocket" in [concept.text for concept in captions[-1].concepts]


def test_a_picture_that_stands_is_captioned_once(
    captioner: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many windows it fills, or how often it was decoded; the next is another matter."""
    once = write_clip(tmp_path / "once.mkv", [0.0, 10.0, 20.0], options=IN_ORDER)
    numbers = [number for number in (0, 1, 2) for _ in range(50)][:101]
    often = write_clip(tmp_path / "often.mkv", every(0.2, 101), map(picture, numbers), codec="ffv1")
    windows: list[int] = []

    def counted(decoder: Decoder, memory: Memory, *rest: Any, **others: Any) -> list[Caption]:
        windows.append(len(memory.pooled))
        return search(decoder, memory, *rest, **others)

    monkeypatch.setattr("vidcaption.model.network.search", counted)
    for path in (once, often):
        with captioner.open(path, SHORT) as captioning:
            segments = captioning.finish().segments
        assert len(segments) == 51
        assert (*looked_at(captioning), sum(windows)) == (102, 3, 3)
        for start in (0, 25):
            part = segments[start : start + 25]
            assert {segment.text for segment in part} == {segments[start].text}
        windows.clear()


def test_windows_far_apart_share_frames_and_captions_by_content(
    captioner: Captioner, tmp_path: Path
) -> None:
    """Two pictures that take turns, over several batches."""
    turns = [picture(i % 2) for i in range(80)]
    path = write_clip(tmp_path / "turns.mkv", every(0.2, 80), turns, codec="ffv1")
    with captioner.open(path, SHORT) as captioning:
        texts = {segment.text for segment in captioning.finish().segments}
    assert (*looked_at(captioning), len(texts)) == (80, 2, 1)


def test_noise_is_another_picture_unless_told_not_to(
    captioner: Captioner, tiny: Path, tmp_path: Path
) -> None:
    """A camera that stands, with noise, and what it sees changes once; in whatever batches."""
    chance = np.random.default_rng(0)
    seen = [picture(3), picture(12)]
    noisy = [
        np.clip(seen[i >= 8] + chance.normal(0, 4, seen[0].shape), 0, 255).astype(np.uint8)
        for i in range(20)
    ]
    path = write_clip(tmp_path / "camera.mkv", every(0.2, 20), noisy, codec="ffv1")
    by_one = Captioner.from_pretrained(tiny, device="cpu", precision="fp32", batch_size=1)
    said = []
    for each, within, encoded in ((captioner, 0, 20), (captioner, 8, 2), (by_one, 8, 2)):
        with each.open(path, replace(SHORT, same_within=within)) as captioning:
            said.append([segment.text for segment in captioning.finish().segments])
        assert looked_at(captioning) == (20, encoded)
    first, last = said[1][0], said[1][-1]
    assert said[1] == said[2] == [first] * 4 + [last] * 6
    assert first != last


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_what_is_wrong_with_a_file_harms_nobody_else(tiny: Path, clips: Clips) -> None:
    """Videos are read in a process of its own, as in the command line; it can be ended."""
    captioner = Captioner.from_pretrained(tiny, device="cpu")
    with captioner.open(CLIP, SHORT) as captioning:
        next(iter(captioning))
        assert captioner.workers is not None
        [worker] = captioner.workers._busy
        assert worker._process.pid is not None
        os.kill(worker._process.pid, signal.SIGSEGV)
        with pytest.raises(InputError, match=r"crashed the process that decoded it .*SIGSEGV"):
            captioning.finish()
    assert captioner.caption(clips["h264.mp4"], SHORT).segments
    [worker] = captioner.workers._idle
    del captioner, captioning
    gc.collect()
    assert not worker.lives()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")
def test_limits_are_those_that_one_gives(tiny: Path, tmp_path: Path) -> None:
    big = write_image(tmp_path / "big.png", size=(9000, 9000))
    workers = Workers(1, timeout_s=60, memory_bytes=2**28)
    with workers, pytest.raises(InputError, match="needs more memory than decoding may use"):
        Captioner.from_pretrained(tiny, workers=workers).caption(big)


def test_this_process_can_read_as_well(tiny: Path, captioner: Captioner, clips: Clips) -> None:
    alone = Captioner.from_pretrained(tiny, device="cpu", precision="fp32", isolate=False)
    assert alone.workers is None
    for name in ("h264.mp4", "still.png"):
        assert alone.caption(clips[name], SHORT) == captioner.caption(clips[name], SHORT)


def test_a_process_that_may_start_none_says_so(
    captioner: Captioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert captioner.workers is not None
    monkeypatch.setattr(captioner, "workers", Workers(1, timeout_s=60))
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="load the model with isolate=False"):
        captioner.caption(CLIP)


ALONE = """
import sys, ctypes
import torch
calls = []
class Libc:
    def mallopt(self, *args): calls.append(args)
ctypes.CDLL = lambda name: Libc()
threads = torch.get_num_threads()
from vidcaption import Captioner
captioner = Captioner.from_pretrained(sys.argv[1], device="cpu")
assert not calls and torch.get_num_threads() == threads
captioner.machine.keep_freed_memory()
print(len(calls))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_loading_a_model_changes_nothing_of_the_process(tiny: Path) -> None:
    run = subprocess.run([sys.executable, "-c", ALONE, tiny], capture_output=True, text=True)
    assert run.stderr == "" and int(run.stdout) > 0


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the words of ``tiny``, another network and another size of pictures."""
    folder = tmp_path_factory.mktemp("other")
    return write_tiny(folder, seed=1, image_size=96, grid=3, cell="gru", attention="additive")


def test_models_write_together(tiny: Path, other: Path) -> None:
    def said(model: Any, beam: int = 1) -> list[Segment]:
        captioner = Captioner.from_pretrained(model, isolate=False, precision="fp32")
        return list(captioner.caption(CLIP, SHORT, beam=beam))

    for beam in (1, 3):
        alone = said(tiny, beam)
        assert said([tiny, (other, 0.0)], beam) == alone
        mixed = [segment.text for segment in said([tiny, (other, 0.5)], beam)]
        assert mixed != [segment.text for segment in alone]
        # a model mixed with itself is that model
        twice = said([tiny, (tiny, 0.5)], beam)
        assert [segment.text for segment in twice] == [segment.text for segment in alone]
    assert [s.text for s in said([tiny, (other, 1.0)])] != [s.text for s in said(tiny)]


def test_a_mixture_is_named_and_told_apart(tiny: Path, other: Path) -> None:
    captioner = Captioner.from_pretrained([tiny, (other, 0.3)], isolate=False)
    assert captioner.model.name == f"{tiny} + {other}=0.3"
    assert len(captioner.model.sha256) == 64
    assert captioner.model.sha256 != captioner.loaded.sha256


def test_only_models_of_the_same_words_are_mixed(tiny: Path, tmp_path: Path) -> None:
    fewer = write_tiny(tmp_path / "fewer", words=WORDS[1:])
    with pytest.raises(UsageError, match=r"do not have the same words \(44 and 43\), so they"):
        Captioner.from_pretrained([tiny, (fewer, 0.5)], isolate=False)
    score = write_tiny(tmp_path / "score", heads="score")
    with pytest.raises(UsageError, match=r"has the head caption, and .*score has score; only"):
        Captioner.from_pretrained([tiny, (score, 0.5)], isolate=False)
