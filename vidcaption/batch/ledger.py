"""What was written into a folder, and who is at work on what: one hidden file per output folder.

``.vidcaption.jsonl`` holds a row for each output that was written: its name, the SHA-256 of its
content, the fingerprint of what it was made from, and the input, seen from the folder. Rows are
only ever added, each by a single ``O_APPEND`` write, so that two processes cannot mix theirs up; a
row torn by a crash is passed over by readers, and the next one starts on a new line. A row is on
disk *before* its output is: whatever the moment of a crash, an output with the content of some row
is ours, and one without is not. That comparison of bytes is stricter than parsing the file would
be. An SQLite file would do the same with two more files beside it while it is open, and not on
network folders.

The same file carries the leases: POSIX locks on single bytes beyond its end, one per name, which
the kernel drops when their process ends, however it ends. Nothing is written for them and none can
go stale. They hold between the processes of one machine, and between machines where the network
folder has locks (NFS 4; NFS 3 with lockd). Where there are no locks (Windows, some network folders)
two runs may do the same work twice; their outputs are whole all the same.
"""

import errno
import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidcaption.errors import OutputError

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


if sys.platform != "win32":
    import fcntl

NAME = ".vidcaption.jsonl"


class Ledger:
    """The ledger of one folder. A process must have one object per folder, see ``lease``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._rows: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._inputs: dict[str, str] = {}  # of each output, the latest
        self._read_to = 0
        self._descriptor: int | None = None
        self._leases = 0
        self._held: set[int] = set()  # the offsets of those that were granted

    def refresh(self) -> None:
        """Read the rows that were added since the last time. Raises OutputError."""
        try:
            data = self._tail()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise self._failed("read", error) from error
        data = data[: data.rfind(b"\n") + 1]  # what follows is not whole, or not yet
        self._read_to += len(data)
        for row in parsed(data):
            values = row.get("output"), row.get("sha256"), row.get("fingerprint")
            if all(isinstance(value, str) for value in values):
                self._rows[row["output"]][row["sha256"]] = row["fingerprint"]
                if isinstance(row.get("input"), str):
                    self._inputs[row["output"]] = row["input"]

    def names(self) -> set[str]:
        """All outputs that were ever written."""
        return set(self._rows)

    def knows(self, name: str) -> bool:
        """Whether an output of this name was ever written."""
        return name in self._rows

    def fingerprint(self, name: str, digest: str) -> str | None:
        """What the output of this name was made from when its content was ``digest``."""
        return self._rows[name].get(digest) if self.knows(name) else None

    def input(self, name: str) -> Path | None:
        """What the output of this name was last made from, if that is known."""
        return self._path.parent / self._inputs[name] if name in self._inputs else None

    def add(self, name: str, digest: str, fingerprint: str, source: Path | None = None) -> None:
        """Say that an output is about to be written from ``source``; on disk when this returns.

        Called with a lease on the output. Raises OutputError.
        """
        assert self._descriptor is not None, "a row is added under a lease"
        row = {"output": name, "sha256": digest, "fingerprint": fingerprint}
        if source is not None:
            with suppress(ValueError):  # on another drive
                row["input"] = os.path.relpath(os.path.realpath(source), self._path.parent)
        try:
            if not self._current():
                self._renew()
            add_row(self._descriptor, row)
        except OSError as error:
            raise self._failed("written", error) from error
        self._rows[name][digest] = fingerprint

    @contextmanager
    def lease(self, key: str) -> Iterator[bool]:
        """Whether ``key`` is ours alone inside the context; False if another process has it.

        POSIX locks belong to a process, and closing any descriptor of the file drops them all:
        hence one object per folder, and one descriptor in it as long as a lease is held. Raises
        OutputError if the folder cannot be written to.
        """
        try:
            held = self._acquire(_offset(key))
        except OSError as error:
            raise self._failed("written", error) from error
        try:
            yield held
        finally:
            if held:
                self._release(_offset(key))

    def _acquire(self, offset: int) -> bool:
        self._open()
        try:
            while self._lock(offset, 1):
                if self._current():
                    self._held.add(offset)
                    return True
                self._renew()
        except BaseException:
            self._close()
            raise
        self._close()
        return False

    def _renew(self) -> None:
        """Open the file that has the name now. Nobody sees what is in the old one, or its locks.

        It was removed: by another run, as it was empty, or by somebody who removed the outputs.
        """
        assert self._descriptor is not None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_rows(self._path)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._forget()
        for offset in self._held:
            self._lock(offset, 1)

    def _release(self, offset: int) -> None:
        self._held.discard(offset)
        with suppress(OSError):
            if self._leases > 1:
                self._unlock(offset)
            # What holds nothing is litter. With all its bytes locked nobody else has a lease.
            elif os.path.getsize(self._path) == 0 and self._lock(0, 0) and self._current():
                self._path.unlink()
        self._close()

    def _lock(self, start: int, length: int) -> bool:
        """Whether the bytes are ours now, or locks are not to be had; ``length`` 0 is all."""
        if sys.platform == "win32" or self._descriptor is None:
            return length > 0
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN) and length > 0
        return True

    def _unlock(self, offset: int) -> None:
        if sys.platform != "win32" and self._descriptor is not None:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, offset)

    def _current(self) -> bool:
        """Whether the open file is the one that has the name."""
        assert self._descriptor is not None
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = open_rows(self._path)
        self._leases += 1

    def _close(self) -> None:
        """End one lease, and with the last one the descriptor and all its locks."""
        self._leases -= 1
        if self._leases == 0 and self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _tail(self) -> bytes:
        if self._descriptor is None:
            with self._path.open("rb") as file:
                return self._from(file.fileno())
        return self._from(self._descriptor)

    def _from(self, descriptor: int) -> bytes:
        size = os.fstat(descriptor).st_size
        if size < self._read_to:  # another file than before
            self._forget()
        os.lseek(descriptor, self._read_to, os.SEEK_SET)
        parts = []
        while part := os.read(descriptor, 1 << 20):
            parts.append(part)
        return b"".join(parts)

    def _forget(self) -> None:
        self._rows.clear()
        self._inputs.clear()
        self._read_to = 0

    def _failed(self, what: str, error: OSError) -> OutputError:
        return OutputError(
            f"{self._path}, the record of what was written, cannot be {what}: {error.strerror}; "
            "choose another place with --out-dir"
        )


def names_in(folder: Path) -> set[str]:
    """The outputs that were ever written into ``folder``. Raises OutputError."""
    ledger = Ledger(folder)
    ledger.refresh()
    return ledger.names()


def unchanged_in(folder: Path) -> set[Path]:
    """The outputs in ``folder`` that are as they were written. Raises OutputError."""
    ledger = Ledger(folder)
    ledger.refresh()
    files = (folder / name for name in ledger.names())
    return {
        file for file in files if file.is_file() and ledger.fingerprint(file.name, digest_of(file))
    }


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content. Raises OutputError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}") from error


def of_others(inputs: Iterable[Path]) -> Callable[[Path], bool]:
    """What tells if a file is the output of an input that is there and is none of ``inputs``."""
    ours = {os.path.realpath(path) for path in inputs}
    ledgers: dict[str, Ledger] = {}

    def is_of_another(target: Path) -> bool:
        folder = os.path.realpath(target.parent)
        if folder not in ledgers:
            ledgers[folder] = Ledger(Path(folder))
            with suppress(OutputError):  # whoever is to write there is told
                ledgers[folder].refresh()
        source = ledgers[folder].input(target.name)
        if source is None or not target.is_file() or not source.is_file():
            return False
        return os.path.realpath(source) not in ours

    return is_of_another


def _offset(key: str) -> int:
    """The byte that stands for ``key``: two keys share one with probability 2 ** -62."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 2
