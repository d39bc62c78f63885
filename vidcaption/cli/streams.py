"""Standard output and standard error, made fit for what they are used for."""

import io
import os
import stat
import sys
from contextlib import suppress
from typing import Any

PIPE_CLOSED = 128 + 13  # the exit code of those that SIGPIPE ends


class Unfailing(io.RawIOBase):
    """Standard error, where words are lost that cannot be written: the work is worth more.

    Its disk may be full, and the terminal or the program that read it gone.
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
    """Whether somebody has sent standard output to a file or another program.

    Not where standard error goes to the same place: that is a log of all that is printed. A pipe
    counts only if a person is at the terminal: programs capture the output of all they start.
    """
    try:
        out, err = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError):  # closed, or replaced by a test
        return False
    if stat.S_ISFIFO(out.st_mode):
        return sys.stderr.isatty()
    return stat.S_ISREG(out.st_mode) and not os.path.samestat(out, err)


def settle() -> None:
    """Make what a process was given into what commands expect; what a test put there stays.

    A stream that is closed is None: then nothing is said, and results cannot be written.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The same bytes on every system, whatever its locale and line ends.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # Else the next files would get their numbers, and what libraries print there.
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
    if sys.stderr is sys.__stderr__:
        raw = io.FileIO(2, "wb", closefd=False) if sys.stderr is None else sys.stderr.buffer
        # Without a buffer between: it would write twice what an interrupt cuts off after the write.
        sys.stderr = io.TextIOWrapper(
            Unfailing(getattr(raw, "raw", raw)),
            encoding=sys.stderr.encoding if sys.stderr is not None else "utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
