"""Workers are real processes: they read, crash, hang, starve and outlive nobody."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import Clips, write_image
from limits import file_handles
from stores import Proxy

from vidcaption.addresses import Address
from vidcaption.errors import InputError, SetupError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Window
from vidcaption.video import workers as module
from vidcaption.video.batches import WindowReader
from vidcaption.video.protocol import Request
from vidcaption.video.reader import VideoReader
from vidcaption.video.workers import RemoteReader, Workers

CLIP = Path(__file__).parent.parent.parent / "examples/clip.mp4"
SIZE = (32, 32)
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and Linux's limits")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(1, timeout_s=60) as workers:
        yield workers


def read(reader: WindowReader | RemoteReader) -> list[list[Window]]:
    """All batches of a reader that has been entered."""
    batches = []
    while batch := reader.read():
        batches.append(batch)
    return batches


def pid(reader: RemoteReader) -> int:
    assert reader._worker is not None
    found = reader._worker._process.pid
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["h264.mp4", "vfr.mp4", "still.png", "damaged.avi"])
@pytest.mark.parametrize(
    "options",
    [
        CaptionOptions(window_s=0.4, frames=3),
        CaptionOptions(window_s=0.4, stride_s=0.1, frames=2),
        CaptionOptions(window_s=0.4, frames=2, segment="scenes"),
    ],
    ids=["fixed", "overlapping", "scenes"],
)
def test_a_worker_reads_what_this_process_would(
    workers: Workers, clips: Clips, name: str, options: CaptionOptions
) -> None:
    request = Request(clips[name], SIZE, options, 2)
    with WindowReader(*request) as here, RemoteReader(workers, request) as there:
        for ours, theirs in zip(read(here), read(there), strict=True):
            assert [(w.start_s, w.end_s) for w in ours] == [(w.start_s, w.end_s) for w in theirs]
            # A frame that stands in two windows is one object there as well, and encoded once.
            ids = [
                [[id(frame) for window in batch for frame in window.frames].index(id(frame))
                 for window in batch for frame in window.frames]
                for batch in (ours, theirs)
            ]  # fmt: skip
            assert ids[0] == ids[1]
            for our, their in zip(ours, theirs, strict=True):
                for a, b in zip(our.frames, their.frames, strict=True):
                    assert a.pts_s == b.pts_s and np.array_equal(a.image, b.image)
    assert (here.info, here.corrupt, here.end_s) == (there.info, there.corrupt, there.end_s)


def test_a_worker_is_put_back_once(workers: Workers) -> None:
    """However many threads end its video at the same time."""
    worker = workers.take()
    workers.put_back(worker, fit=True)
    workers.put_back(worker, fit=False)
    assert workers.take() is worker and worker.lives()
    workers.put_back(worker, fit=True)


def test_a_batch_comes_in_parts(
    workers: Workers, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is larger than it may be, and together they are what was asked for."""
    request = Request(clips["h264.mp4"], SIZE, CaptionOptions(window_s=0.4, frames=3), 4)
    with WindowReader(*request) as here:
        starts = [[window.start_s for window in batch] for batch in read(here)]
    parts: list[int] = []
    receive = RemoteReader._receive

    def counted(reader: RemoteReader) -> Any:
        message = receive(reader)
        parts.extend([len(message.windows)] if hasattr(message, "windows") else [])
        return message

    monkeypatch.setattr(RemoteReader, "_receive", counted)
    for most, largest in ((1, 1), (9, 3), (100, 4)):
        monkeypatch.setattr(module, "PART_FRAMES", most)
        parts.clear()
        with RemoteReader(workers, request) as there:
            assert [[window.start_s for window in batch] for batch in read(there)] == starts
        assert max(parts) == largest


def test_one_process_reads_many_videos(workers: Workers, clips: Clips, tmp_path: Path) -> None:
    pids = set()
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 5000)
    for path in (clips["h264.mp4"], tmp_path / "bad.mp4", clips["still.png"]):
        reader = RemoteReader(workers, Request(path, SIZE, CaptionOptions(frames=2), 8))
        reader.begin()
        pids.add(pid(reader))
        try:
            with reader:
                read(reader)
        except InputError as error:
            with (
                pytest.raises(InputError) as here,
                WindowReader(path, SIZE, CaptionOptions(frames=2), 8),
            ):
                pass
            assert str(error) == str(here.value)
    assert len(pids) == 1


def test_what_is_given_up_ends_its_worker(workers: Workers) -> None:
    with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1)) as reader:
        assert reader.read()
        old = pid(reader)
    assert reader.read() == []
    with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1)) as reader:
        assert pid(reader) != old


@posix
def test_a_crash_costs_one_video(workers: Workers) -> None:
    with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1)) as reader:
        assert reader.read()
        os.kill(pid(reader), signal.SIGSEGV)
        with pytest.raises(InputError, match=r"crashed the process that decoded it .*SIGSEGV"):
            read(reader)
    with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1)) as reader:
        assert len(read(reader)) == 5


@posix
def test_a_hang_is_given_up(clips: Clips) -> None:
    with Workers(1, timeout_s=60) as workers:
        with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1)) as reader:
            hung = pid(reader)
            os.kill(hung, signal.SIGSTOP)
            workers.timeout_s = 0.2
            with pytest.raises(InputError, match=r"nothing could be read .* for 0.2 s") as given:
                read(reader)
            assert isinstance(given.value.__cause__, TimeoutError)
        workers.timeout_s = 60
        with RemoteReader(
            workers, Request(clips["still.png"], SIZE, CaptionOptions(frames=2), 1)
        ) as reader:
            assert pid(reader) != hung and len(read(reader)) == 1


@posix
def test_a_worker_that_hangs_at_once_is_ended() -> None:
    with Workers(1, timeout_s=60) as workers:
        workers.warm_up()
        hung = workers._idle[0]
        assert hung._process.pid is not None
        os.kill(hung._process.pid, signal.SIGSTOP)
        workers.timeout_s = 0.2
        reader = RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1))
        reader.begin()
        with pytest.raises(InputError, match="timed out"):
            reader.__enter__()
        assert not hung._process.is_alive() and not workers._busy


@posix
def test_a_worker_that_dies_while_idle_costs_nothing(workers: Workers) -> None:
    with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2, end_s=4), 1)) as reader:
        old = pid(reader)
        assert len(read(reader)) == 1
    os.kill(old, signal.SIGKILL)
    os.waitid(os.P_PID, old, os.WEXITED | os.WNOWAIT)
    with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2, end_s=4), 1)) as reader:
        assert pid(reader) != old and len(read(reader)) == 1


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_stops_a_run_does_not_fail_its_inputs(workers: Workers, name: str) -> None:
    """The signal may be sent to all processes, and reach a worker first."""
    with RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1)) as reader:
        os.kill(pid(reader), getattr(signal, name))
        assert len(read(reader)) == 5


@linux
def test_memory_is_limited(tmp_path: Path) -> None:
    big = write_image(tmp_path / "big.png", size=(9000, 9000))
    with Workers(1, timeout_s=60, memory_bytes=2**28) as workers:
        with (
            pytest.raises(InputError, match="needs more memory than decoding may use"),
            RemoteReader(workers, Request(big, SIZE, CaptionOptions(frames=2), 1)) as reader,
        ):
            read(reader)
        with RemoteReader(
            workers, Request(CLIP, SIZE, CaptionOptions(frames=2, end_s=4), 1)
        ) as reader:
            assert len(read(reader)) == 1
    with Workers(1, timeout_s=60) as workers, RemoteReader(
        workers, Request(big, SIZE, CaptionOptions(frames=2), 1)
    ) as reader:  # fmt: skip
        assert len(read(reader)) == 1


def test_a_reader_that_gets_on_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows may be hours long: a sign of life comes while the reader reads, and only then."""
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    ours, theirs = Pipe()
    sender = module._Sender(theirs)
    with WindowReader(CLIP, SIZE, CaptionOptions(frames=2, window_s=3600), 8) as reader:
        with module._heartbeat(sender, lambda: reader.end_s):
            [_] = reader.read()
            assert ours.poll(10) and ours.recv() is None
            with sender.free:
                while ours.poll(0.1):
                    ours.recv()
                assert not ours.poll(0.2)
        while ours.poll():
            ours.recv()
        assert not ours.poll(0.2)


def test_what_a_worker_logs_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vidcaption")
    with Proxy(files={"/clip.mp4": ("video/mp4", CLIP.read_bytes())}, ranges=None) as web:
        address = Address(f"{web.address}/clip.mp4?sig=abc")
        request = Request(address, SIZE, CaptionOptions(frames=2, end_s=4), 1, name=str(address))
        with Workers(1, timeout_s=60) as workers, RemoteReader(workers, request) as reader:
            assert len(read(reader)) == 1 and reader.info.path == str(address)
    assert [record.getMessage() for record in caplog.records] == [
        f"{web.address}/clip.mp4?sig=*** is downloaded whole: its server does not send parts"
    ]


def test_whatever_happens_in_a_library_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(self: VideoReader, *args: object) -> None:
        raise ZeroDivisionError("no rate")

    monkeypatch.setattr(VideoReader, "__init__", broken)
    ours, theirs = Pipe()
    request = Request(CLIP, SIZE, CaptionOptions(frames=2), 1)
    assert not module._read(module._Sender(theirs), request)  # the process ends
    failure = ours.recv()
    assert failure.lost
    assert failure.message == f"{CLIP} cannot be read: unexpected ZeroDivisionError: no rate"
    monkeypatch.setenv("VIDCAPTION_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        module._read(theirs, request)


@posix
def test_a_file_that_is_called_like_a_module_is_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: Clips
) -> None:
    """The working folder holds videos, and whatever else somebody keeps there."""
    clip = clips["h264.mp4"]
    monkeypatch.chdir(tmp_path)
    for name in ("socket", "struct", "selectors", "typing", "vidcaption", "numpy"):
        Path(f"{name}.py").write_text(f"open('{name} was run', 'w')\nraise SystemExit(7)\n")
    request = Request(clip, SIZE, CaptionOptions(frames=2), 8)
    with Workers(1, timeout_s=60) as workers, RemoteReader(workers, request) as reader:
        assert read(reader)
    assert list(tmp_path.glob("* was run")) == []
    assert "PYTHONSAFEPATH" not in os.environ


@posix
def test_a_worker_that_cannot_start_is_not_the_fault_of_a_video(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with Workers(1, timeout_s=60) as workers:
        reader = RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1))
        with pytest.raises(InputError, match=r"ended as it started \(exit code 1\); make sure"):
            reader.__enter__()


@posix
def test_few_open_files_mean_fewer_workers() -> None:
    """And where there are too few for one, nothing can run, or a video fails."""
    for most, number in ((1024, 100), (64, 8), (20, 1)):
        with file_handles(most):
            assert Workers(100, timeout_s=60).number == number
    with Workers(1, timeout_s=60) as workers:
        with file_handles(3):
            with pytest.raises(SetupError, match="started to read videos: too many open files"):
                workers.warm_up()
            reader = RemoteReader(workers, Request(CLIP, SIZE, CaptionOptions(frames=2), 1))
            reader.begin()
        with pytest.raises(InputError, match="no process can be started for it: too many open"):
            reader.__enter__()


ORPHAN = """
import os, signal, sys
from pathlib import Path
from vidcaption.options import CaptionOptions
from vidcaption.video.protocol import Request
from vidcaption.video.workers import RemoteReader, Workers
workers = Workers(1, timeout_s=60)
options = CaptionOptions(frames=2)
with RemoteReader(workers, Request(Path(sys.argv[1]), (32, 32), options, 1)) as reader:
    assert reader.read()
    print(reader._worker._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """And runs none of its code: a script needs no guard."""
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    run = subprocess.run([sys.executable, script, CLIP], stdout=subprocess.PIPE, text=True)
    assert run.returncode == -signal.SIGKILL
    worker = int(run.stdout)
    for _ in range(200):
        if not _lives(worker):
            return
        time.sleep(0.05)
    pytest.fail("the worker lives on")


def _lives(process: int) -> bool:
    """Whether it does; one that only waits for somebody to ask how it ended does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
