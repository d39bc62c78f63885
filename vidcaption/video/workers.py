"""Processes that decode: what is wrong with a file, or with FFmpeg, costs that file and no more.

A worker reads one video after the other and sends their windows. It may use MEMORY_BYTES; where it
crashes or hangs, its video fails and another worker takes its place.
"""

import errno
import os
import signal
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Lock, Thread
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from vidcaption.cpus import cpu_count
from vidcaption.errors import InputError, SetupError, UsageError
from vidcaption.options import CaptionOptions, VideoDecoder
from vidcaption.types import VideoInfo, Window

if TYPE_CHECKING:
    from vidcaption.video.batches import WindowReader

if sys.platform != "win32":
    import resource

MEMORY_BYTES = 4 * 2**30
PART_FRAMES = 256  # in one message, at most, unless a window has more: 40 MB at 224 pixels
BEAT_S = 1.0  # between two signs of life from a worker that gets on
OTHER_FILES = 32  # that this process may have open, beside those for its workers
WORKER_FILES = 4  # the pipe to it, and what tells that it has ended
END_S = 5.0  # for a process to end; one that hangs in the kernel, as on a dead disk, does not

# The signals that end a run. SIGHUP, when its terminal is closed, is not known to Windows.
_ENDING = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
_starting = Lock()  # as this process is not as it should be for a moment


class Request(NamedTuple):
    """WindowReader's arguments."""

    path: Path
    size: tuple[int, int]
    options: CaptionOptions
    batch_size: int
    decoder: VideoDecoder = "cpu"
    done: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """The next windows of a batch, and how far the reader got; no windows are the end."""

    windows: list[Window]
    corrupt: int
    end_s: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why there is no more of a video. A worker that is ``lost`` ends with it."""

    message: str
    errno: int | None = None
    lost: bool = False


def suitable() -> int:
    """How many workers: one that reads ahead of what is captioned, more where there are cores."""
    return max(2, min(8, cpu_count() // 4))


class Workers:
    """Up to ``number`` workers; use it in a ``with`` block, or they end when it is garbage.

    ``number`` is lowered where this process may not open as many files as they take.
    ``timeout_s``: how long one may show no sign of life before its video is given up.
    ``memory_bytes``: what one may allocate.
    """

    def __init__(self, number: int, timeout_s: float, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.number = min(number, _affordable())
        self.timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self.end = weakref.finalize(self, _end, self._idle, self._busy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def warm_up(self) -> None:
        """Start a worker if there is none: it takes a while, in which other things can be done.

        Raises SetupError where no process can be started.
        """
        if not self._idle and not self._busy:
            try:
                self._idle.append(Worker(self._memory_bytes))
            except OSError as error:
                raise SetupError(
                    "no process can be started to read videos: "
                    f"{(error.strerror or str(error)).lower()}; raise that limit, as with ulimit"
                ) from error

    def take(self) -> "Worker":
        """A worker for one video. Raises OSError where no process can be started."""
        worker = self._living() or Worker(self._memory_bytes)
        self._busy.add(worker)
        return worker

    def put_back(self, worker: "Worker", *, fit: bool) -> None:
        """``fit``: it has nothing left to send, and can read the next video.

        Who gives up a video may do so while another thread is at its end: the first one counts.
        """
        try:
            self._busy.remove(worker)
        except KeyError:
            return
        if fit:
            self._idle.append(worker)
        else:
            worker.kill()

    def _living(self) -> "Worker | None":
        """An idle worker; one that has died since it became idle is nobody's fault."""
        with suppress(IndexError):  # threads take and put back at the same time
            while True:
                worker = self._idle.pop()
                if worker.lives():
                    return worker
                worker.kill()
        return None


def _end(idle: "list[Worker]", busy: "set[Worker]") -> None:
    for worker in (*idle, *busy):
        worker.kill()


class Worker:
    """A process that reads videos, and this end of the pipe to it.

    To a process that is forked from its parent it is dead. ``heard_of``: whether it has sent
    anything, and so started well. Raises OSError where no process can be started, and UsageError
    where this one may start none.
    """

    heard_of = False

    def __init__(self, memory_bytes: int) -> None:
        if current_process().daemon:
            raise UsageError(
                "this process is a daemonic one, as of multiprocessing.Pool, which may not start "
                "the one that reads videos; load the model with isolate=False to read in this one"
            )
        self._parent = os.getpid()
        # Not forked: PyTorch's threads would not survive it.
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, memory_bytes), daemon=True)
        with theirs, _starting, _no_signals(), _no_main(), _safe_path():
            self._process.start()

    def kill(self) -> None:
        """End the process, whatever it is at."""
        if self._parent == os.getpid():
            self._process.kill()
            self._process.join(END_S)
        self.pipe.close()

    def lives(self) -> bool:
        return self._parent == os.getpid() and self._process.is_alive()

    def fate(self) -> str:
        """How a process ended that has closed its pipe."""
        self._process.join(END_S)
        code = self._process.exitcode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class RemoteReader:
    """WindowReader's twin: the same windows, read by a worker. It can be entered once."""

    info: VideoInfo

    def __init__(self, workers: Workers, request: Request) -> None:
        self.corrupt = 0
        self.end_s = 0.0
        self._request, self._workers = request, workers
        self._worker: Worker | None = None
        self._failure: OSError | None = None
        self._left: list[Window] = []  # of the last part

    def begin(self) -> None:
        """Let the worker begin before the reader is entered."""
        at_once = max(1, PART_FRAMES // self._request.options.frames)
        batch_size = min(self._request.batch_size, at_once)
        try:
            self._worker = self._workers.take()
            with suppress(ConnectionError):  # it has ended, as we shall see when we receive
                self._worker.pipe.send(self._request._replace(batch_size=batch_size))
        except OSError as error:
            self._failure = error

    def __enter__(self) -> Self:
        """Raises InputError where the file is not a video that can be read."""
        if self._worker is None and self._failure is None:
            self.begin()
        try:
            if self._failure is not None:
                raise InputError(
                    f"{self._request.path} cannot be read: no process can be started for it: "
                    f"{(self._failure.strerror or str(self._failure)).lower()}"
                ) from self._failure
            self.info = self._receive()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what has not been read."""
        self._done(fit=False)

    def read(self) -> list[Window]:
        """The next windows; none when the video is over. Raises InputError."""
        windows, batch_size = self._left, self._request.batch_size
        while self._worker is not None and len(windows) < batch_size:
            part: _Part = self._receive()
            self.corrupt, self.end_s = part.corrupt, part.end_s
            windows += part.windows
            if not part.windows:
                self._done(fit=True)
        self._left = windows[batch_size:]
        return windows[:batch_size]

    def _done(self, *, fit: bool) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._workers.put_back(worker, fit=fit)

    def _receive(self) -> Any:
        """What the worker sends next. Raises InputError."""
        worker = self._worker
        assert worker is not None
        try:
            while True:
                if not worker.pipe.poll(self._workers.timeout_s):
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                message = worker.pipe.recv()
                worker.heard_of = True
                if message is not None:
                    break
        except TimeoutError as error:
            raise InputError(
                f"{self._request.path} is given up: nothing could be read of it for "
                f"{self._workers.timeout_s:g} s; copy it to a place that answers faster, or give "
                "a longer --file-timeout"
            ) from error
        except (EOFError, OSError) as error:
            if not worker.heard_of:
                raise InputError(
                    f"{self._request.path} cannot be read: the process that reads videos ended as "
                    f"it started ({worker.fate()}); make sure that there is memory for it, and "
                    f"that {sys.executable} works"
                ) from error
            raise InputError(
                f"{self._request.path} has ended the process that decoded it ({worker.fate()}): it "
                "is damaged, or takes more memory than there is; convert it to H.264 first"
            ) from error
        if isinstance(message, _Failure):
            self._done(fit=not message.lost)
            cause = message.errno and OSError(message.errno, os.strerror(message.errno))
            raise InputError(message.message) from (cause or None)
        return message


def _serve(pipe: Connection, memory_bytes: int) -> None:
    """The worker's own: reads what it is told to, until the pipe or its parent's life ends."""
    # The parent ends us, when it has to; a scheduler that stops the run may tell all processes.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    _limit_memory(memory_bytes)
    with suppress(ConnectionError):
        pipe.send(None)  # a first sign of life
    going_on = True
    while going_on:
        try:
            request: Request = pipe.recv()
        except (EOFError, ConnectionError):
            return
        going_on = _read(pipe, request)


def _read(pipe: Connection, request: Request) -> bool:
    """Send the windows of one video, or why there are none. Returns whether we can go on."""
    path = request.path
    try:
        from vidcaption.video.batches import WindowReader

        with WindowReader(*request) as reader:
            pipe.send(reader.info)
            with _heartbeat(pipe, reader) as sending:
                windows: list[Window] | None = None
                while windows != []:
                    windows = reader.read()
                    with sending:
                        pipe.send(_Part(windows, reader.corrupt, reader.end_s))
        return True
    except InputError as error:
        failure = _Failure(str(error), _errno(error))
    except MemoryError:
        failure = _Failure(
            f"{path} takes more memory than decoding may; scale it down first", lost=True
        )
    except ConnectionError:
        return False  # it was given up
    # Whatever else files bring about in the libraries that read them, it is theirs alone.
    except Exception as error:
        if os.environ.get("VIDCAPTION_DEBUG"):
            raise
        message = f"{path} cannot be read: unexpected {type(error).__name__}: {error}"
        failure = _Failure(message, lost=True)
    try:
        pipe.send(failure)
    except ConnectionError:
        return False
    return not failure.lost


@contextmanager
def _heartbeat(pipe: Connection, reader: "WindowReader") -> Iterator[Lock]:
    """Send a sign of life each BEAT_S while the reader gets on, and something else is not sent.

    A window may be hours long, so its reader may have nothing to send for long.
    """
    sending, stop = Lock(), Event()

    def beat() -> None:
        before = None
        while not stop.wait(BEAT_S):
            now = reader.end_s, reader.corrupt
            if now != before and sending.acquire(blocking=False):
                with suppress(OSError):  # then the main thread sees it, too
                    pipe.send(None)
                sending.release()
            before = now

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield sending
    finally:
        stop.set()
        thread.join()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the main thread may hang in a file


def _limit_memory(most: int) -> None:
    """Let allocations beyond so many bytes fail, where the system can count them."""
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _errno(error: BaseException) -> int | None:
    """Of what the system said, on which an error is based."""
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None


def _affordable() -> int:
    """For how many workers this process may open files, at least one."""
    if sys.platform != "win32":
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most != resource.RLIM_INFINITY:
            return max(1, (most - OTHER_FILES) // WORKER_FILES)
    return sys.maxsize


@contextmanager
def _no_signals() -> Iterator[None]:
    """Processes that are started inside get no signal to end: all may be sent one."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_main() -> Iterator[None]:
    """Processes that are started inside do not import the program's main module.

    Nothing of it is needed, it takes time, and a script that does its work without a guard, as most
    that call us do, would do it once more.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _safe_path() -> Iterator[None]:
    """Processes that are started inside do not import modules from the working folder.

    There may be videos in it, and a ``socket.py`` that has nothing to do with them.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
