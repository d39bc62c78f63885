"""What is said, as loud as wanted, as lines or as JSON, on standard error and in a file."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vidcaption.cli.voice import Voice, say
from vidcaption.errors import OutputError, UsageError, VidcaptionError
from vidcaption.options import LogOptions
from vidcaption.output.text import printable

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar


class Level(IntEnum):
    """How loud the options must be for it to be said."""

    ERROR = 0
    INFO = 1
    VERBOSE = 2
    DEBUG = 3


class Log(Voice):
    """A voice whose messages are events too: with a name, and with facts that JSON shows.

    Raises OutputError if the log file cannot be written, UsageError if it is no text.
    """

    def __init__(self, options: LogOptions) -> None:
        super().__init__(options)
        self._json = options.log_json
        self._file = options.log_file
        asked = ((options.debug, Level.DEBUG), (options.verbose, Level.VERBOSE))
        quiet = Level.ERROR if options.quiet else Level.INFO
        self._loudness = next((level for wanted, level in asked if wanted), quiet)
        if self._file is not None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.open("ab").close()
                odd = self._file.is_file() and b"\0" in _head(self._file)
            except OSError as error:
                raise OutputError(
                    f"--log-file {self._file} cannot be written: {error.strerror}; "
                    "choose another place"
                ) from error
            if odd:  # a video, by a slip of `*`
                raise UsageError(
                    f"--log-file is {self._file}, which exists and is no text; give the name of a "
                    "new file"
                )

    def fail(self, message: str, event: str = "error", **facts: object) -> None:
        """A failure: said whatever the options."""
        self._speak(Level.ERROR, message, event, facts)

    def tell(self, message: str, event: str = "note", **facts: object) -> None:
        self._speak(Level.INFO, message, event, facts)

    def detail(self, message: str, event: str = "note", **facts: object) -> None:
        self._speak(Level.VERBOSE, message, event, facts)

    def trace(self, message: str, event: str = "note", **facts: object) -> None:
        """Something that helps to find out why."""
        self._speak(Level.DEBUG, message, event, facts)

    def make_bar(self, *, lines_on_stdout: bool = False) -> "Bar | None":
        return None if self._json else super().make_bar(lines_on_stdout=lines_on_stdout)

    @contextmanager
    def closing_words(self) -> Iterator[None]:
        """An error that ends the command inside is said as all else is, and sets its exit code."""
        try:
            yield
        except VidcaptionError as error:
            self.fail(" ".join(str(error).split()), error_class=type(error).__name__)
            raise typer.Exit(error.exit_code) from error

    def _speak(self, level: Level, message: str, event: str, facts: dict[str, object]) -> None:
        if level <= self._loudness:
            if self._json:
                print(_as_json(level, message, event, facts), file=sys.stderr)
            else:
                say(message)
        if self._file is not None and level <= max(self._loudness, Level.VERBOSE):
            plain = f"{_now()} {level.name.lower()}: {printable(message)}"
            self._keep(_as_json(level, message, event, facts) if self._json else plain)

    def _keep(self, line: str) -> None:
        """Add a line to the log file. The batch goes on without the file if that fails."""
        assert self._file is not None
        try:
            with self._file.open("ab", buffering=0) as file:  # one write: several runs may share it
                file.write(f"{line}\n".encode())
        except OSError as error:
            say(f"--log-file {self._file} cannot be written any more: {error.strerror}")
            self._file = None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _as_json(level: Level, message: str, event: str, facts: dict[str, object]) -> str:
    """One line of ASCII; what could drive a terminal is escaped."""
    row = {"time": _now(), "level": level.name.lower(), "event": event, "text": message, **facts}
    return printable(json.dumps(row, default=str))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
