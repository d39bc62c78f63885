"""Handlers for what the package logs: lines or JSON on standard error, and in a file."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from vidcaption.cli.voice import say
from vidcaption.errors import OutputError, UsageError, VidcaptionError
from vidcaption.options import LogOptions, VoiceOptions
from vidcaption.output.text import printable

VERBOSE = 15  # between what is worth knowing and what helps to find out why
logging.addLevelName(VERBOSE, "VERBOSE")
_PACKAGE = logging.getLogger("vidcaption")


def event(name: str, /, **facts: object) -> dict[str, Any]:
    """``extra`` of a record: what happened, and facts about it, both for JSON alone."""
    return {"event": name, "facts": facts}


@contextmanager
def logging_as(options: VoiceOptions) -> Iterator[None]:
    """Inside, what the package logs goes where the options ask, and nowhere else.

    Raises OutputError if the log file cannot be written, UsageError if it is no text.
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
    """An error that ends the command inside is logged as all else is, and sets its exit code."""
    try:
        yield
    except VidcaptionError as error:
        extra = event("error", error_class=type(error).__name__)
        _PACKAGE.error(" ".join(str(error).split()), extra=extra)
        raise typer.Exit(error.exit_code) from error


def _handlers(options: VoiceOptions) -> list[logging.Handler]:
    """That of standard error, then that of the log file, if there is one."""
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
    """Whatever standard error is when something is said: a live view takes its place."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


class _LogFile(logging.Handler):
    """Adds lines to a file, each by one write: several runs may share it."""

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
        if odd:  # a video, by a slip of `*`
            raise UsageError(
                f"--log-file is {path}, which exists and is no text; give the name of a new file"
            )

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line. The command goes on without the file if that fails."""
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(f"{self.format(record)}\n".encode())
        except OSError as error:
            _PACKAGE.removeHandler(self)
            say(f"--log-file {self._path} cannot be written any more: {error.strerror}")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"vidcaption: {printable(record.getMessage())}"


class _DatedLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname.lower()}: {printable(record.getMessage())}"


class _Json(logging.Formatter):
    """One line of ASCII; what could drive a terminal is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        row = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "note"),
            "text": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return printable(json.dumps(row, default=str))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
