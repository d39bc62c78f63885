"""How commands speak: results on standard output, everything else on standard error."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from vidcaption.errors import OutputError
from vidcaption.options import VoiceOptions
from vidcaption.output.text import json_text, printable


def say(message: str) -> None:
    """One line on standard error, in the command's name."""
    print(f"vidcaption: {printable(message)}", file=sys.stderr)


def put(text: str) -> None:
    """Results on standard output, at once. Raises OutputError if they cannot be written.

    If the reader has gone away (``| head``), the command ends quietly with exit code 1.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer must not be tried again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(1) from error
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


class Voice:
    """Speaks as loudly as the options ask. Failures are said whatever the options: see ``say``."""

    def __init__(self, options: VoiceOptions) -> None:
        self._options = options

    def tell(self, message: str) -> None:
        """Something worth knowing."""
        if not self._options.quiet:
            say(message)

    def detail(self, message: str) -> None:
        """Something worth knowing when one looks closer."""
        if self._options.verbose:
            say(message)

    def make_bar(self, *, lines_on_stdout: bool = False) -> "Bar | None":
        """A progress bar, if one is wanted: lines that a person reads as they come replace it."""
        if self._options.progress == "on":
            return Bar(force_terminal=True)
        readable = lines_on_stdout and sys.stdout.isatty()
        wanted = self._options.progress == "auto" and not self._options.quiet and not readable
        return Bar() if wanted and sys.stderr.isatty() else None


def make_progress(options: VoiceOptions) -> Progress:
    """Bars and lines on standard error: bars if wanted, lines unless quiet."""
    console = Console(stderr=True, quiet=options.quiet)
    wanted = options.progress == "on" or (options.progress == "auto" and console.is_terminal)
    return Progress(console=console, disable=not wanted)


class Bar(Progress):
    """A progress bar on standard error that asks for its position whenever it is drawn.

    ``headline`` gives the line above the bar, if there is to be one.
    """

    headline: Callable[[], str] = str

    def __init__(self, *, force_terminal: bool | None = None) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, force_terminal=force_terminal),
            transient=True,
            # On a terminal results go above the bar; in a file or pipe they stay as they are.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._position: Callable[[], float] = float

    def begin(self, label: str, total: float | None, position: Callable[[], float]) -> None:
        """Show this instead of what was shown before; ``total`` is None where it is not known."""
        for task in self.task_ids:
            self.remove_task(task)
        self._position = position
        self.add_task(printable(label), total=total)

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.task_ids:
            self.update(task, completed=self._position())
        if headline := self.headline():
            yield Text(printable(headline))
        yield from super().get_renderables()
