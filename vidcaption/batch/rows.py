"""Files of JSON rows that several processes add to, and that survive a crash."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


def open_rows(path: Path) -> int:
    """A descriptor to read rows from and to add them to. Raises OSError."""
    return os.open(path, _FLAGS, 0o666)


def add_row(descriptor: int, row: Mapping[str, Any]) -> None:
    """Add a row, on disk when this returns, by one write that no other process's mixes with.

    It starts on a line of its own even if a crash left a part of a row; what another process is
    just writing may look like one, and a blank line comes of it. Raises OSError.
    """
    data = json.dumps(row).encode() + b"\n"
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end:
        os.lseek(descriptor, end - 1, os.SEEK_SET)
        data = b"\n" * (os.read(descriptor, 1) != b"\n") + data
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def parsed(data: bytes) -> Iterator[dict[str, Any]]:
    """The rows that are whole, in order; what a crash tore is passed over."""
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row
