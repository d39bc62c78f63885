"""What is ready before a file can be written.

It is kept in ``.NAME.parts``, a hidden file of rows beside
it. For a file of several inputs there is a row for each one that is captioned: the name of the
part, the fingerprint of what it was made from, and its text. For an input that takes long there is
one for the windows that were finished since the row before: their segments, and the number of
windows before them. Rows are added as those of the ledger are, so several runs may add to one file,
and a run that is killed loses only what it was working on. The last row of a part counts. The rows
stay on disk until they are needed.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidcaption.addresses import Location
from vidcaption.batch.ledger import add_row, open_rows, parsed
from vidcaption.batch.objects import ObjectRows
from vidcaption.errors import OutputError
from vidcaption.output.write import check_place
from vidcaption.types import Progress, Region, Relation, SceneGraph, Segment, Word


class Parts:
    """The parts of the file ``target``. Raises OutputError if they cannot be read or written."""

    def __init__(self, target: Location) -> None:
        self._path = target.with_name(f".{target.name}.parts")
        self._store: FileRows | ObjectRows = (
            FileRows(self._path) if isinstance(self._path, Path) else ObjectRows(self._path)
        )
        self._rows: dict[str, tuple[str, Any]] = {}  # fingerprint, and where the row is
        self._unfinished: dict[tuple[str, str], list[Any]] = {}  # by part and fingerprint

    def check(self) -> None:
        """Raise OutputError if they cannot be stored."""
        check_place(self._path)

    def fingerprint(self, name: str) -> str | None:
        """The fingerprint of the part of this name, or None."""
        self._refresh()
        return self._rows[name][0] if name in self._rows else None

    def add(self, name: str, fingerprint: str, text: str) -> None:
        """Store a part; on disk when this returns."""
        self._store.add({"part": name, "fingerprint": fingerprint, "text": text})

    def text(self, name: str) -> str:
        """The text of a part whose fingerprint was requested."""
        (row,) = self._store.at([self._rows[name][1]])
        if row.get("part") != name:
            raise OutputError(f"{self._path} was changed by something else; run this again")
        text: str = row["text"]
        return text

    def add_progress(self, name: str, fingerprint: str, first: int, progress: Progress) -> None:
        """Store windows of an unfinished part after the ``first`` ones; on disk afterwards."""
        standing = progress.standing and b64encode(zlib.compress(progress.standing)).decode()
        self._store.add(
            {
                "part": name,
                "fingerprint": fingerprint,
                "first": first,
                "segments": [segment and _row(segment) for segment in progress.segments],
                "start_s": progress.start_s,
                "end_s": progress.end_s,
                "standing": standing,
            }
        )

    def progress(self, name: str, fingerprint: str) -> Progress:
        """The stored windows of an unfinished part with the same fingerprint."""
        self._refresh()
        segments: list[Segment | None] = []
        progress = Progress()
        starts = self._unfinished.get((name, fingerprint))
        for row in self._store.at(starts) if starts else ():
            try:
                first, start_s, end_s = row["first"], float(row["start_s"]), float(row["end_s"])
                added = [each and _segment(each) for each in row["segments"]]
                standing = row["standing"] and zlib.decompress(b64decode(row["standing"]))
                if 0 <= first <= len(segments):
                    segments[first:] = added
                    progress = Progress(tuple(segments), start_s, end_s, standing)
            except (TypeError, LookupError, ValueError, zlib.error):  # edited
                continue
        return progress

    def remove(self) -> None:
        """Remove the file."""
        self._store.remove()

    def _refresh(self) -> None:
        """Read the rows added since the last time."""
        for found in self._store.new():
            if found is None:
                self._rows.clear()
                self._unfinished.clear()
            else:
                self._take(*found)

    def _take(self, position: Any, row: dict[str, Any]) -> None:
        name, fingerprint = row.get("part"), row.get("fingerprint")
        if not isinstance(name, str) or not isinstance(fingerprint, str):
            return
        if isinstance(row.get("text"), str):
            self._rows[name] = fingerprint, position
            self._unfinished.pop((name, fingerprint), None)
        elif "segments" in row:
            self._unfinished.setdefault((name, fingerprint), []).append(position)


class FileRows:
    """Rows in a file. Raises OutputError if they cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0

    def new(self) -> Iterator[tuple[int, dict[str, Any]] | None]:
        """The rows added since the last time, and where they start; None if the others are gone."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._read_to:  # the file was replaced
                    self._read_to = 0
                    yield None
                file.seek(self._read_to)
                for line in file:
                    if not line.endswith(b"\n"):  # incomplete, or not yet complete
                        break
                    for row in parsed(line):
                        yield self._read_to, row
                    self._read_to += len(line)
        except FileNotFoundError:
            self._read_to = 0
            yield None
        except OSError as error:
            raise self._failed("read", error) from error

    def at(self, positions: Iterable[int]) -> list[dict[str, Any]]:
        """The rows at these positions."""
        rows = []
        try:
            with self._path.open("rb") as file:
                for start in positions:
                    file.seek(start)
                    rows.append(next(parsed(file.readline()), {}))
        except OSError as error:
            raise self._failed("read", error) from error
        return rows

    def add(self, row: dict[str, Any]) -> None:
        """Store a row; on disk when this returns."""
        try:
            with open(open_rows(self._path), "rb") as file:
                add_row(file.fileno(), row)
        except OSError as error:
            raise self._failed("written", error) from error

    def remove(self) -> None:
        """Remove the file."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed("removed", error) from error

    def _failed(self, what: str, error: OSError) -> OutputError:
        return OutputError(f"{self._path} cannot be {what}: {error.strerror}; choose another place")


def _row(segment: Segment) -> dict[str, Any]:
    """A segment for JSON."""
    return asdict(segment) | {"vector": segment.vector.hex()}


def _segment(row: dict[str, Any]) -> Segment:
    """A segment from its ``_row``. Raises TypeError, LookupError, ValueError."""
    words = {key: tuple(Word(**word) for word in row[key]) for key in ("words", "concepts")}
    graph = row["graph"] and SceneGraph(
        tuple(Region(**each | {"box": tuple(each["box"])}) for each in row["graph"]["regions"]),
        tuple(Relation(**each) for each in row["graph"]["relations"]),
    )
    vector = bytes.fromhex(row["vector"])
    return Segment(**row | words | {"vector": vector, "graph": graph})
