"""How commands speak: results on standard output, everything else on standard error."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from vidcaption.cli.streams import PIPE_CLOSED
from vidcaption.errors import OutputError
from vidcaption.options import LogOptions, VoiceOptions
from vidcaption.output.text import json_text, printable

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar


def say(message: str) -> None:
    """One line on standard error, in the command's name."""
    print(f"vidcaption: {printable(message)}", file=sys.stderr)


def put(text: str) -> None:
    """Results on standard output, at once. Raises OutputError if they cannot be written.

    If the reader has gone away (``| head``), the command ends quietly with exit code 141.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed; leave it open, or give --output")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer must not be tried again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(PIPE_CLOSED) from error
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def put_json(value: Any) -> None:
    """Results for a program, on standard output; a path is its name."""
    put(json_text(value, indent=2, default=str) + "\n")


def put_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they must be, on standard output."""
    put("".join(f"{line}\n" for line in aligned((heads, *rows))))


def aligned(rows: Sequence[Sequence[str]], flush: str = "<") -> list[str]:
    """Rows as lines, safe to print. With ``flush`` ``>`` all but the first column stand right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    forms = [f"{flush if i else '<'}{width}" for i, width in enumerate(widths)]
    return ["  ".join(map(format, row, forms)).rstrip() for row in cells]


def make_bar(options: VoiceOptions, *, lines_on_stdout: bool = False) -> "Bar | None":
    """A progress bar, if one is wanted: lines that a person reads as they come replace it."""
    if isinstance(options, LogOptions) and options.log_json:
        return None
    forced = options.progress == "on"
    readable = lines_on_stdout and sys.stdout is not None and sys.stdout.isatty()
    wanted = options.progress == "auto" and not options.quiet and not readable
    if not forced and not (wanted and sys.stderr.isatty()):
        return None
    from vidcaption.cli.bar import Bar  # Rich takes long to import

    return Bar(force_terminal=forced or None)
