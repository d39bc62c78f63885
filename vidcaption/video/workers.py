"""Decoding in separate processes: a bad file, or a crash of FFmpeg, affects only that file.

A worker reads one video after the other and sends their windows. It may use MEMORY_BYTES; if it
crashes or hangs, its video fails and another worker replaces it.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from logging.handlers import QueueHandler
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from queue import SimpleQueue
from threading import Event, Lock, Thread
from types import ModuleType
from typing import Any, Self

from vidcaption.addresses import Address
from vidcaption.cpus import cpu_count
from vidcaption.errors import InputError, SetupError, UsageError
from vidcaption.remote import received
from vidcaption.types import VideoInfo, Window
from vidcaption.video.protocol import Failure, Part, Pool, PoolWorker, Request, messages

if sys.platform != "win32":
    import resource

MEMORY_BYTES = 4 * 2**30
PART_FRAMES = 256  # maximum in one message, unless a window has more: 40 MB at 224 pixels
BEAT_S = 1.0  # between two heartbeats of a worker that makes progress
OTHER_FILES = 32  # that this process may open, besides those for its workers
WORKER_FILES = 4  # the pipe to it, and the sentinel of its end
END_S = 5.0  # for a process to end; one stuck in the kernel, as on a dead disk, does not

# The signals that end a run. Windows has no SIGHUP, which is sent when the terminal closes.
_ENDING = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
_starting = Lock()  # as starting one changes the state of this process for a moment


def suitable() -> int:
    """How many workers: one that reads ahead, more if there are cores for them."""
    return max(2, min(8, cpu_count() // 4))


class Workers:
    """Up to ``number`` workers; use it in a ``with`` block, or they end when it is collected.

    ``number`` is reduced if this process may not open enough files for them. ``timeout_s``: how
    long one may make no progress before its video fails. ``memory_bytes``: what one may allocate.
    """

    def __init__(self, number: int, timeout_s: float, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.number = min(number, _affordable())
        self.timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        # Where this is a process of multiprocessing itself, that would wait for ours before
        # weakref.finalize ends them.
        self.end = Finalize(self, _end, (self._idle, self._busy), exitpriority=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def warm_up(self) -> None:
        """Start a worker if there is none: it takes a while, and runs in parallel.

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
        """``fit``: it has nothing left to send and can read the next video.

        A video may be cancelled while another thread finishes it: the first call counts.
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
        """An idle worker; those that have died while idle are ignored."""
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

    In a process forked from its parent it counts as dead. ``heard_of``: whether it has sent
    anything, and so started successfully. Raises OSError if no process can be started, and
    UsageError if this one may not start any.
    """

    heard_of = False

    def __init__(self, memory_bytes: int) -> None:
        if current_process().daemon:
            raise UsageError(
                "this process is a daemonic one, as of multiprocessing.Pool, which may not start "
                "the one that reads videos; load the model with isolate=False to read in this one"
            )
        self._parent = os.getpid()
        # Not forked: PyTorch's threads would not survive a fork.
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, memory_bytes), daemon=True)
        with theirs, _starting, _no_signals(), _no_main(), _safe_path():
            self._process.start()

    def kill(self) -> None:
        """Kill the process."""
        self.stop()
        if self._parent == os.getpid():
            self._process.join(END_S)
        self.pipe.close()

    def stop(self) -> None:
        """The same from another thread than the one that reads from the pipe, which then ends."""
        if self._parent == os.getpid():
            self._process.kill()

    def lives(self) -> bool:
        return self._parent == os.getpid() and self._process.is_alive()

    def fate(self) -> str:
        """How a process that closed its pipe has ended."""
        self._process.join(END_S)
        code = self._process.exitcode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class RemoteReader:
    """Like WindowReader, but a worker reads the windows. It can be entered once."""

    info: VideoInfo

    def __init__(self, workers: Pool, request: Request) -> None:
        self.corrupt = 0
        self.end_s = 0.0
        self._request, self._workers = request, workers
        self._worker: PoolWorker | None = None
        self._failure: OSError | None = None
        self._left: list[Window] = []  # of the last part

    def begin(self) -> None:
        """Let the worker begin before the reader is entered."""
        at_once = max(1, PART_FRAMES // self._request.options.frames)
        batch_size = min(self._request.batch_size, at_once)
        try:
            self._worker = self._workers.take()
            with suppress(ConnectionError):  # it has ended, which receiving will report
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
                    f"{self._request.called} cannot be read: no process can be started for it: "
                    f"{(self._failure.strerror or str(self._failure)).lower()}"
                ) from self._failure
            self.info = self._receive()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what has not been read."""
        self._done(fit=False)

    def stop(self) -> None:
        """Give it up from another thread: whoever waits for more gets an InputError."""
        worker = self._worker
        if worker is not None:
            worker.stop()

    def read(self) -> list[Window]:
        """The next windows; none when the video is over. Raises InputError."""
        windows, batch_size = self._left, self._request.batch_size
        while self._worker is not None and len(windows) < batch_size:
            part: Part = self._receive()
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
        """The worker's next message. Raises InputError."""
        worker = self._worker
        assert worker is not None
        try:
            while True:
                if not worker.pipe.poll(self._workers.timeout_s):
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                message = worker.pipe.recv()
                worker.heard_of = True
                if isinstance(message, logging.LogRecord):
                    log = logging.getLogger(message.name)
                    if log.isEnabledFor(message.levelno):
                        log.handle(message)
                elif message is not None:
                    break
        except TimeoutError as error:
            raise InputError(
                f"{self._request.called} timed out: nothing could be read from it for "
                f"{self._workers.timeout_s:g} s; copy it to a faster disk, or set a longer "
                "--file-timeout"
            ) from error
        except (EOFError, OSError) as error:
            if not worker.heard_of:
                raise InputError(
                    f"{self._request.called} cannot be read: the process that reads videos ended "
                    f"as it started ({worker.fate()}); make sure that there is memory for it, and "
                    f"that {sys.executable} works"
                ) from error
            raise InputError(
                f"{self._request.called} crashed the process that decoded it ({worker.fate()}): it "
                "is damaged, or needs more memory than there is; convert it to H.264 first"
            ) from error
        if isinstance(message, Failure):
            self._done(fit=not message.lost)
            cause = message.errno and OSError(message.errno, os.strerror(message.errno))
            raise InputError(message.message) from (cause or None)
        return message


def _serve(pipe: Connection, memory_bytes: int) -> None:
    """Runs in the worker: serves requests until the pipe closes or its parent ends."""
    # The parent ends this process; a scheduler that stops the run may signal all processes.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    _limit_memory(memory_bytes)
    sender = _Sender(pipe)
    logging.getLogger("vidcaption").addHandler(sender)
    logging.getLogger("vidcaption").setLevel(logging.INFO)
    with suppress(ConnectionError):
        pipe.send(None)  # a first heartbeat
    going_on = True
    while going_on:
        try:
            request: Request = pipe.recv()
        except (EOFError, ConnectionError):
            return
        going_on = _read(sender, request)


class _Sender(QueueHandler):
    """Sends to the parent from several threads; also the records of this process's log."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(SimpleQueue())  # which nothing is put in
        self.free = Lock()
        self._pipe = pipe

    def send(self, message: object) -> None:
        """Raises ConnectionError if the parent has cancelled the video."""
        with self.free:
            self._pipe.send(message)

    def beat(self) -> None:
        """Send a heartbeat, unless something else is being sent."""
        if self.free.acquire(blocking=False):
            with suppress(OSError):  # then the main thread sees it, too
                self._pipe.send(None)
            self.free.release()

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self.send(record)


def _read(sender: _Sender, request: Request) -> bool:
    """Send the windows of one video, or an error. Returns whether the worker can go on."""
    try:
        from vidcaption.video.batches import WindowReader

        with ExitStack() as stack:
            with _heartbeat(sender, received):  # a server may be slow
                reader = stack.enter_context(WindowReader(*request))
            with _heartbeat(sender, lambda: (reader.end_s, reader.corrupt, received())):
                for part in messages(reader):
                    sender.send(part)
        return True
    except InputError as error:
        failure = Failure.of(error)
    except MemoryError:
        failure = Failure(
            f"{request.called} needs more memory than decoding may use; scale it down first",
            lost=True,
        )
    except ConnectionError:
        return False  # it was cancelled
    # Whatever error a file causes in the libraries, only that file fails.
    except Exception as error:
        if os.environ.get("VIDCAPTION_DEBUG"):
            raise
        # an address with its secrets may be in the text of a library
        text = "" if isinstance(request.path, Address) else f": {error}"
        message = f"{request.called} cannot be read: unexpected {type(error).__name__}{text}"
        failure = Failure(message, lost=True)
    try:
        sender.send(failure)
    except ConnectionError:
        return False
    return not failure.lost


@contextmanager
def _heartbeat(sender: _Sender, progress: Callable[[], object]) -> Iterator[None]:
    """Send a heartbeat each BEAT_S while there is ``progress`` and nothing else is sent.

    A window may be hours long, so its reader may have nothing to send for long.
    """
    stop = Event()

    def beat() -> None:
        before = None
        while not stop.wait(BEAT_S):
            now = progress()
            if now != before:
                sender.beat()
            before = now

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the main thread may hang on a file


def _limit_memory(most: int) -> None:
    """Make allocations beyond this many bytes fail, where the system supports it."""
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _affordable() -> int:
    """The number of workers that this process may open files for, at least one."""
    if sys.platform != "win32":
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most != resource.RLIM_INFINITY:
            return max(1, (most - OTHER_FILES) // WORKER_FILES)
    return sys.maxsize


@contextmanager
def _no_signals() -> Iterator[None]:
    """Processes started inside ignore the ending signals, which may be sent to all."""
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
    """Processes started inside do not import the program's main module.

    They do not need it, it takes time, and a script without a main guard would run again.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _safe_path() -> Iterator[None]:
    """Processes started inside do not import modules from the working folder.

    It may hold videos, and an unrelated ``socket.py``.
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
