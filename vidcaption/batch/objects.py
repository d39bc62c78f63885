"""Rows, and the record of what was written, in a folder at an address.

Object stores can neither append to a file nor lock it. So rows that would be appended to a file are
files themselves, in a folder of the name that the file has on a disk: one for each process and
ROWS_BYTES of rows, which only that process replaces. Their names are in the order in which they
were begun. Nothing is locked: two runs may do the same work, and the outputs are complete all the
same.
"""

import errno
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidcaption import remote
from vidcaption.addresses import Address, Location, is_address
from vidcaption.batch.ledger import NAME, Ledger, Record, parsed
from vidcaption.errors import OutputError
from vidcaption.remote import explained

ROWS_BYTES = 2**16  # of a file, which is sent again with each of its rows
SAME_S = 1.0  # in which two questions about an output are one
FRESH_S = 10.0  # between two looks at what other runs have added

Position = tuple[str, int]  # a file, and the number of the row in it


class ObjectRows:
    """The rows in a folder. Raises OutputError if they cannot be read or written."""

    def __init__(self, folder: Address) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[list[int | str], int]] = {}  # state and rows of each file
        self._read_s = -FRESH_S
        self._own = b""
        self._name = ""
        self._added: list[tuple[Position, dict[str, Any]]] = []  # since the last time

    def new(self) -> Iterator[tuple[Position, dict[str, Any]] | None]:
        """The rows added since the last time, a few seconds late if by others; None if those
        before are gone."""
        added, self._added = self._added, []
        yield from added
        if time.monotonic() - self._read_s < FRESH_S:
            return
        with explained(self._folder, "read", OutputError):
            found = remote.listed(self._folder)
        self._read_s = time.monotonic()
        if self._seen and not found:
            self._forget()
            yield None
        for name in sorted(found):
            state = remote.state_in(found[name])
            before, count = self._seen.get(name, ([], 0))
            if state == before:
                continue
            rows = self._rows(name)
            self._seen[name] = state, len(rows)
            yield from (((name, n), row) for n, row in enumerate(rows) if n >= count)

    def at(self, positions: Iterable[Position]) -> list[dict[str, Any]]:
        """The rows at these positions; an empty one for each that is gone."""
        files: dict[str, list[dict[str, Any]]] = {}
        found = []
        for name, number in positions:
            if name not in files:
                files[name] = self._rows(name)
            found += files[name][number : number + 1] or [{}]
        return found

    def add(self, row: dict[str, Any]) -> None:
        """Store a row; it is there when this returns."""
        if not self._name or len(self._own) > ROWS_BYTES:
            self._name, self._own = f"{time.time_ns():020}-{os.urandom(4).hex()}.jsonl", b""
        data = self._own + json.dumps(row).encode() + b"\n"
        place = self._folder / self._name
        with explained(self._folder, "written", OutputError):
            remote.write(place, [data])
        self._own = data
        number = data.count(b"\n")
        self._added.append(((self._name, number - 1), row))
        self._seen[self._name] = [], number

    def remove(self) -> None:
        """Remove all of them."""
        with explained(self._folder, "removed", OutputError):
            remote.remove(self._folder / name for name in remote.listed(self._folder))
        self._read_s = -FRESH_S

    def _forget(self) -> None:
        self._seen.clear()
        self._added.clear()
        self._name = ""

    def _rows(self, name: str) -> list[dict[str, Any]]:
        with explained(self._folder, "read", OutputError):
            try:
                return list(parsed(remote.read(self._folder / name)))
            except remote.RemoteError as error:
                if error.errno == errno.ENOENT:  # removed by another run
                    return []
                raise


class ObjectLedger(Record):
    """The ledger of a folder at an address.

    The first time that an output is asked for, a list of the whole folder answers; later, as it may
    have been written since, the server is asked again.
    """

    algorithm = "md5"  # which S3 gives for the files that it has

    def __init__(self, folder: Address) -> None:
        super().__init__()
        self._folder = folder
        self._store = ObjectRows(folder / NAME)
        self._files: dict[str, dict[str, Any]] | None = None
        self._asked: set[str] = set()
        self._last: tuple[str, dict[str, Any] | None, float] = "", None, 0.0

    def refresh(self) -> None:
        for found in self._store.new():
            if found is not None:
                self._take(found[1])

    def size(self, name: str) -> int | None:
        found = self._entry(name)
        return None if found is None else int(found.get("size") or 0)

    def digest(self, name: str) -> str | None:
        found = self._entry(name)
        if found is None:
            return None
        tag = str(found.get("ETag") or found.get("etag") or "").strip('"')
        if self.fingerprint(name, tag):  # of most files in S3, which need not be read
            return tag
        place = self._folder / name
        with explained(place, "read", OutputError):
            return self.digest_in([remote.read(place)])

    def input(self, name: str) -> Location | None:
        source = self._inputs.get(name)
        return Address(source) if source and is_address(source) else None

    def add(self, name: str, digest: str, fingerprint: str, source: Location | None = None) -> None:
        row = {"output": name, self.algorithm: digest, "fingerprint": fingerprint}
        if source is not None:
            row["input"] = str(source)
        self._store.add(row)
        self._take(row)
        self._last = "", None, 0.0  # it is about to change

    @contextmanager
    def lease(self, key: str) -> Iterator[bool]:
        yield True

    def _entry(self, name: str) -> dict[str, Any] | None:
        """What is there by this name, if it is a file."""
        asked, found, at_s = self._last
        if asked == name and time.monotonic() - at_s < SAME_S:
            return found
        with explained(self._folder, "listed", OutputError):
            if self._files is None:
                self._files = remote.listed(self._folder)
            if name in self._asked:
                found = remote.entry_now(self._folder / name)
            else:
                found = self._files.pop(name, None)
        self._asked.add(name)
        found = found if found is not None and found["type"] == "file" else None
        self._last = name, found, time.monotonic()
        return found


def record_of(folder: Location) -> Record:
    """The record of what was written into a folder."""
    return Ledger(folder) if isinstance(folder, Path) else ObjectLedger(folder)


def folder_of(location: Location) -> Location:
    """Its folder, without symbolic links."""
    if isinstance(location, Address):
        return location.parent
    return Path(os.path.realpath(location.parent))


def of_others(inputs: Iterable[Location]) -> Callable[[Location], bool]:
    """A function: whether a file is the output of an existing input not in ``inputs``."""
    ours = set(map(_identity, inputs))
    records: dict[Location, Record] = {}

    def is_of_another(target: Location) -> bool:
        folder = folder_of(target)
        if folder not in records:
            records[folder] = record_of(folder)
            with suppress(OutputError):  # reported when writing there
                records[folder].refresh()
        source = records[folder].input(target.name)
        if source is None or _identity(source) in ours:
            return False
        with suppress(OutputError):
            return records[folder].size(target.name) is not None and _exists(source)
        return False

    return is_of_another


def _identity(location: Location) -> str:
    return os.path.realpath(location) if isinstance(location, Path) else str(location)


def _exists(location: Location) -> bool:
    if isinstance(location, Path):
        return location.is_file()
    return remote.state(location) is not None
