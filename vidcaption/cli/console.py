"""Streams and signals, results, messages and logs of a command."""

import io
import json
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from vidcaption.errors import OutputError, UsageError, VidcaptionError
from vidcaption.events import VERBOSE, event
from vidcaption.options.output import LogOptions, VoiceOptions
from vidcaption.output.text import aligned, json_text, printable, timestamp

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar

PIPE_CLOSED = 128 + 13  # the exit code of processes ended by SIGPIPE
INTERRUPTED = 130
_SHOW_CURSOR = b"\x1b[?25h"  # hidden by a live view
_PACKAGE = logging.getLogger("vidcaption")


class Unfailing(io.RawIOBase):
    """Standard error that drops messages it cannot write, rather than ending the work.

    The disk may be full, or the terminal or the reading program gone.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return bool(self._raw.isatty())

    def write(self, data: Any) -> int:
        left = memoryview(data)
        with suppress(OSError):
            while left and (written := self._raw.write(left)):
                left = left[written:]
        return len(data)


def results_awaited() -> bool:
    """Whether standard output is redirected to a file or another program.

    Not if standard error goes to the same place, which is then a log of everything. A pipe counts
    only with a user at the terminal: programs capture the output of all they start.
    """
    try:
        out, err = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError):  # closed, or replaced by a test
        return False
    if stat.S_ISFIFO(out.st_mode):
        return sys.stderr.isatty()
    return stat.S_ISREG(out.st_mode) and not os.path.samestat(out, err)


def settle() -> None:
    """Prepare the standard streams; streams set by tests are kept.

    A closed stream is None: then messages are dropped, and results cannot be written.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The same bytes on every system, whatever its locale and line ends.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # Otherwise the next opened files would get their numbers, and what libraries print.
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
    if sys.stderr is sys.__stderr__:
        raw = io.FileIO(2, "wb", closefd=False) if sys.stderr is None else sys.stderr.buffer
        # Unbuffered: a buffer would write output twice that an interrupt cuts off after the write.
        sys.stderr = io.TextIOWrapper(
            Unfailing(getattr(raw, "raw", raw)),
            encoding=sys.stderr.encoding if sys.stderr is not None else "utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM or SIGHUP inside raises KeyboardInterrupt; a second one ends the process at
    once.

    This also holds after the context, as ending takes a while. SIGHUP stays ignored if it is, as
    under nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    caught = False
    report = sys.unraisablehook

    def raise_again(lost: "sys.UnraisableHookArgs") -> None:
        """For one that was raised in a finalizer or a callback of a weak reference."""
        nonlocal caught
        if lost.exc_type is not KeyboardInterrupt:
            report(lost)
            return
        caught = False
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal caught
        if caught:
            with suppress(OSError):
                if os.isatty(2):
                    os.write(2, _SHOW_CURSOR)
            os._exit(INTERRUPTED)
        caught = True
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, stop) for number in numbers]
    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            if not caught:
                signal.signal(number, handler)
                sys.unraisablehook = report


def say(message: str) -> None:
    """Print one line on standard error, prefixed with the name of the command."""
    print(f"vidcaption: {printable(message)}", file=sys.stderr)


def put(text: str) -> None:
    """Write results to standard output, unbuffered. Raises OutputError if that fails.

    If the reader is gone (``| head``), the command ends quietly with exit code 141.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed; leave it open, or give --output")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # The interpreter must not flush the rest of the buffer at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(PIPE_CLOSED) from error
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def put_json(value: Any) -> None:
    """Print results as JSON on standard output; paths become strings."""
    put(json_text(value, indent=2, default=str) + "\n")


def put_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns on standard output."""
    put("".join(f"{line}\n" for line in aligned((heads, *rows))))


def make_bar(options: VoiceOptions, *, lines_on_stdout: bool = False) -> "Bar | None":
    """A progress bar, if enabled and not replaced by lines that are printed as they come."""
    if isinstance(options, LogOptions) and options.log_json:
        return None
    forced = options.progress == "on"
    readable = lines_on_stdout and sys.stdout is not None and sys.stdout.isatty()
    wanted = options.progress == "auto" and not options.quiet and not readable
    if not forced and not (wanted and sys.stderr.isatty()):
        return None
    from vidcaption.cli.bar import Bar  # importing Rich takes long

    return Bar(force_terminal=forced or None)


def positioned(bar: "Bar | None", label: str, total: float | None) -> Callable[[float], None]:
    """Begin a part of the work on the bar, if there is one. Returns what is given how far it is."""
    position = 0.0

    def move(to: float) -> None:
        nonlocal position
        position = to

    if bar is not None:
        bar.begin(label, total, lambda: position)
    return move


@contextmanager
def logging_as(options: VoiceOptions) -> Iterator[None]:
    """Inside, the package logs according to the options only.

    Raises OutputError if the log file cannot be written, UsageError if it is not text.
    """
    handlers = _handlers(options)
    before = _PACKAGE.handlers, _PACKAGE.propagate, _PACKAGE.level
    _PACKAGE.handlers, _PACKAGE.propagate = handlers, False
    _PACKAGE.setLevel(min(handler.level for handler in handlers))
    try:
        yield
    finally:
        _PACKAGE.handlers, _PACKAGE.propagate = before[:2]
        _PACKAGE.setLevel(before[2])


@contextmanager
def closing_words() -> Iterator[None]:
    """Log an error that ends the command inside like all messages, and set the exit code."""
    try:
        yield
    except VidcaptionError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise typer.Exit(PIPE_CLOSED) from error
        extra = event("error", error_class=type(error).__name__)
        _PACKAGE.error(" ".join(str(error).split()), extra=extra)
        raise typer.Exit(error.exit_code) from error


def _handlers(options: VoiceOptions) -> list[logging.Handler]:
    """The handlers of standard error and of the log file, if there is one."""
    log = options if isinstance(options, LogOptions) else None
    level = logging.ERROR if options.quiet else VERBOSE if options.verbose else logging.INFO
    if log and log.debug:
        level = logging.DEBUG
    as_json = _Json() if log and log.log_json else None
    handlers: list[logging.Handler] = [_StandardError(level)]
    handlers[0].setFormatter(as_json or _Line())
    if log and log.log_file is not None:
        handlers.append(_LogFile(log.log_file, min(level, VERBOSE)))
        handlers[1].setFormatter(as_json or _DatedLine())
    return handlers


class _StandardError(logging.Handler):
    """Writes to the current ``sys.stderr``, which a live view replaces."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


class _LogFile(logging.Handler):
    """Appends lines to a file, each in one write: several runs may share it."""

    def __init__(self, path: Path, level: int) -> None:
        super().__init__(level)
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()
            odd = path.is_file() and b"\0" in _head(path)
        except OSError as error:
            raise OutputError(
                f"--log-file {path} cannot be written: {error.strerror}; choose another place"
            ) from error
        if odd:  # such as a video, by a mistyped `*`
            raise UsageError(
                f"--log-file is {path}, which exists and is not text; give the name of a new file"
            )

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line. If that fails, the command continues without the file."""
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(f"{self.format(record)}\n".encode())
        except OSError as error:
            _PACKAGE.removeHandler(self)
            say(f"--log-file {self._path} can no longer be written: {error.strerror}")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"vidcaption: {printable(record.getMessage())}"


class _DatedLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = printable(record.getMessage())
        return f"{timestamp(record.created)} {record.levelname.lower()}: {told}"


class _Json(logging.Formatter):
    """One line of ASCII, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        row = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "note"),
            "text": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return printable(json.dumps(row, default=str))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)
