"""What comes on standard input or in a file: paths of inputs, or one video."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vidcaption.errors import UsageError
from vidcaption.video import spool

STDIN = "-"


def read_list(name: str) -> list[Path]:
    """The paths in the file of that name, or on standard input if it is ``-``.

    They are separated by NUL if there is one, and else stand on a line each, where lines that start
    with ``#`` are comments; empty ones are passed over. Paths are taken as they are, relative to
    the working folder. Text in UTF-16 with a byte order mark is decoded. Raises UsageError if there
    is no path, or if none of them exists: then this is no list, or the folder is another one.
    """
    what = "the list on standard input" if name == STDIN else name
    if name == STDIN:
        data = _readable_stdin("list the inputs on it").read()
    else:
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise UsageError(f"--from-file {name} cannot be read: {error.strerror}") from error
    paths = [Path(os.fsdecode(entry)) for entry in _entries(_decoded(data, what), what)]
    if not paths:
        raise UsageError(f"{what} holds no path; write one per line, or separate them by NUL")
    if not any(os.path.lexists(path) for path in paths):
        first = ascii(str(paths[0])[:100])
        raise UsageError(
            f"no path in {what} exists, the first being {first}; "
            "they are relative to the working folder"
        )
    return paths


def _decoded(data: bytes, what: str) -> bytes:
    """A list as the system's programs write it: without a mark, and not in UTF-16 as on Windows."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        return os.fsencode(data.decode("utf-16"))
    except UnicodeError as error:
        raise UsageError(f"{what} is not whole as UTF-16; save it as UTF-8") from error


def _entries(data: bytes, what: str) -> list[bytes]:
    if b"\0" not in data:
        lines = (line.rstrip(b"\r") for line in data.split(b"\n"))
        return [line for line in lines if line and not line.startswith(b"#")]
    entries = [entry for entry in data.split(b"\0") if entry]
    if 2 * sum(len(entry) == 1 for entry in entries) > len(entries):
        raise UsageError(
            f"most paths in {what} are a single letter, as in UTF-16 without a byte order mark; "
            "save it as UTF-8"
        )
    return entries


@contextmanager
def spooled() -> Iterator[Path]:
    """The video on standard input as a file, which is removed at the end.

    Raises UsageError if standard input is a terminal, OutputError if the file cannot be written.
    """
    stream = _readable_stdin("pipe a video into it")
    with spool.spooled(stream, "stdin", "the video on standard input") as path:
        yield path


def _readable_stdin(hint: str) -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        state = "closed" if sys.stdin is None else "a terminal"
        raise UsageError(f"standard input is {state}; {hint}")
    return sys.stdin.buffer
