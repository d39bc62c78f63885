"""Written outputs of a folder, and leases on them: one hidden file per output folder.

``.vidcaption.jsonl`` has a row for each written output: its name, the SHA-256 of its content, the
fingerprint of what it was made from, and the input, relative to the folder. Rows are only appended,
each by a single write, so rows of several processes are never mixed; readers skip a row torn by a
crash, and the next one starts on a new line. A row is on disk *before* its output: whenever a crash
happens, an output is ours if its content is that of a row. This comparison of bytes is stricter
than parsing the file. SQLite would need two more files beside it while it is open, and does not
work on network folders.

``O_APPEND`` alone keeps the rows of one machine apart. Of two machines on a network folder, each
finds the end of the file and writes there, so a byte of the file is locked until then.

The same file carries the leases: POSIX locks on single bytes beyond its end, one per name, which
the kernel releases when their process ends in any way. Nothing is written for them, and they cannot
become stale. They work between the processes of one machine, and between machines if the network
folder has locks (NFS 4; NFS 3 with lockd). Without locks (Windows, some network folders) two runs
may do the same work twice; their outputs are complete all the same.
"""

import errno
import hashlib
import json
import os
import sys
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from vidcaption.addresses import Address, Location, is_address
from vidcaption.errors import OutputError
from vidcaption.output.lance import identity, is_dataset

if sys.platform != "win32":
    import fcntl

NAME = ".vidcaption.jsonl"
_APPENDING = 1 << 62  # the byte that is locked while a row is added; those of leases are before it
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


def open_rows(path: Path) -> int:
    """A descriptor for reading and appending rows. Raises OSError."""
    return os.open(path, _FLAGS, 0o666)


def add_row(descriptor: int, row: Mapping[str, Any]) -> None:
    """Append a row in one write that cannot mix with others; on disk when this returns.

    It starts on a new line even if a crash left a partial row; without locks, a row that another
    process is writing may look like one, which results in a blank line. Raises OSError.
    """
    data = json.dumps(row).encode() + b"\n"
    with _alone(descriptor):
        end = os.lseek(descriptor, 0, os.SEEK_END)
        if end:
            os.lseek(descriptor, end - 1, os.SEEK_SET)
            data = b"\n" * (os.read(descriptor, 1) != b"\n") + data
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """No other process adds a row to the file inside the context, if locks are available."""
    if sys.platform == "win32":
        yield
        return
    with suppress(OSError):
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, _APPENDING)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _APPENDING)


def parsed(data: bytes) -> Iterator[dict[str, Any]]:
    """The complete rows, in order; rows torn by a crash are skipped."""
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


class Record(ABC):
    """What is known of the outputs in a folder, wherever that is. ``algorithm``: of digests."""

    algorithm = "sha256"

    def __init__(self) -> None:
        self._rows: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._inputs: dict[str, str] = {}  # of each output, the latest

    def names(self) -> set[str]:
        """All outputs ever written."""
        return set(self._rows)

    def knows(self, name: str) -> bool:
        """Whether an output of this name was ever written."""
        return name in self._rows

    def fingerprint(self, name: str, digest: str) -> str | None:
        """The fingerprint of the output of this name with the content ``digest``."""
        return self._rows[name].get(digest) if self.knows(name) else None

    def digest_in(self, content: Iterable[bytes]) -> str:
        """The digest of a content that is not in a file."""
        digest = hashlib.new(self.algorithm, usedforsecurity=False)
        for part in content:
            digest.update(part)
        return digest.hexdigest()

    @abstractmethod
    def refresh(self) -> None:
        """Read the rows added since the last time. Raises OutputError."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of the file of this name; None if there is none. Raises OutputError."""

    @abstractmethod
    def digest(self, name: str) -> str | None:
        """The digest of the content of that file, or the identity of that dataset; None if there is
        none. Raises OutputError."""

    @abstractmethod
    def input(self, name: str) -> Location | None:
        """The last input of the output of this name, if known."""

    @abstractmethod
    def add(self, name: str, digest: str, fingerprint: str, source: Location | None = None) -> None:
        """Record that an output is about to be written from ``source``; stored when this returns.

        Called with a lease on the output. Raises OutputError.
        """

    @abstractmethod
    def lease(self, key: str) -> AbstractContextManager[bool]:
        """Whether ``key`` is leased to this process inside the context; False if to another one.

        Raises OutputError if the folder cannot be written to.
        """

    def _take(self, row: Mapping[str, Any]) -> None:
        values = row.get("output"), row.get(self.algorithm), row.get("fingerprint")
        if all(isinstance(value, str) for value in values):
            self._rows[row["output"]][row[self.algorithm]] = row["fingerprint"]
            if isinstance(row.get("input"), str):
                self._inputs[row["output"]] = row["input"]


class Ledger(Record):
    """The ledger of one folder. A process must have one object per folder, see ``lease``."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder / NAME
        self._read_to = 0
        self._descriptor: int | None = None
        self._leases = 0
        self._held: set[int] = set()  # the offsets of granted leases

    def refresh(self) -> None:
        try:
            data = self._tail()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise self._failed("read", error) from error
        data = data[: data.rfind(b"\n") + 1]  # the rest is incomplete, or not yet complete
        self._read_to += len(data)
        for row in parsed(data):
            self._take(row)

    def size(self, name: str) -> int | None:
        path = self._path.with_name(name)
        return os.path.getsize(path) if os.path.isfile(path) else None

    def digest(self, name: str) -> str | None:
        path = self._path.with_name(name)
        if is_dataset(path) and os.path.isdir(path):
            return identity(path)
        return digest_of(path) if os.path.isfile(path) else None

    def input(self, name: str) -> Location | None:
        source = self._inputs.get(name)
        if source is None:
            return None
        return Address(source) if is_address(source) else self._path.parent / source

    def add(self, name: str, digest: str, fingerprint: str, source: Location | None = None) -> None:
        assert self._descriptor is not None, "a row is added under a lease"
        row = {"output": name, "sha256": digest, "fingerprint": fingerprint}
        if isinstance(source, Address):
            row["input"] = str(source)
        elif source is not None:
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
        """POSIX locks belong to a process, and closing any descriptor of the file releases them
        all: hence one object per folder, with one descriptor as long as a lease is held.
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
        """Open the file that now has the name, as nobody sees the old one or its locks.

        The old one was removed: by another run, as it was empty, or along with the outputs.
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
            # Remove an empty file. With all its bytes locked, no other process has a lease.
            elif os.path.getsize(self._path) == 0 and self._lock(0, 0) and self._current():
                self._path.unlink()
        self._close()

    def _lock(self, start: int, length: int) -> bool:
        """Whether the bytes are locked now, or locks are unavailable; ``length`` 0: all."""
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
        """End one lease; the last one also closes the descriptor with all its locks."""
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
        if size < self._read_to:  # the file was replaced
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
    """The outputs ever written into ``folder``. Raises OutputError."""
    ledger = Ledger(folder)
    ledger.refresh()
    return ledger.names()


def unchanged_in(folder: Path) -> set[Path]:
    """The unchanged outputs in ``folder``. Raises OutputError."""
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


def _offset(key: str) -> int:
    """The byte that stands for ``key``: two keys share one with probability 2 ** -62."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 2
