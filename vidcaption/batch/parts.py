"""What is finished before a file can be written, kept as soon as it is there.

``.NAME.parts``, a hidden file beside that file, holds rows. Of a file for several inputs there is
one for each that is captioned: what the part is called, the fingerprint of what it was made from,
and its text. Of an input that takes long there is one for the windows that were finished since the
row before: their segments, and the number of windows before them. Rows are added as those of the
ledger are, so several runs may add to one file, and a run that is killed loses what it was at and
no more. Of a part the last row counts. The rows stay on the disk until they are asked for.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidcaption.batch.ledger import add_row, open_rows, parsed
from vidcaption.errors import OutputError
from vidcaption.output.write import check_place
from vidcaption.types import Progress, Segment, Word


class Parts:
    """Those of the file ``target``. Raises OutputError where they cannot be read or written."""

    def __init__(self, target: Path) -> None:
        self._path = target.with_name(f".{target.name}.parts")
        self._rows: dict[str, tuple[str, int]] = {}  # fingerprint, and where the row starts
        self._unfinished: dict[tuple[str, str], list[int]] = {}  # by part and fingerprint
        self._read_to = 0

    def check(self) -> None:
        """Raise OutputError if there is no place to keep them in."""
        check_place(self._path)

    def fingerprint(self, name: str) -> str | None:
        """What the part of this name was made from, or None if there is none."""
        self._refresh()
        return self._rows[name][0] if name in self._rows else None

    def add(self, name: str, fingerprint: str, text: str) -> None:
        """Keep a part; on disk when this returns."""
        self._add({"part": name, "fingerprint": fingerprint, "text": text})

    def text(self, name: str) -> str:
        """Of a part whose fingerprint was asked for."""
        (row,) = self._read([self._rows[name][1]])
        if row.get("part") != name:
            raise OutputError(f"{self._path} was changed by something else; run this again")
        text: str = row["text"]
        return text

    def add_progress(self, name: str, fingerprint: str, first: int, progress: Progress) -> None:
        """Keep windows of an unfinished part that follow the ``first`` ones; on disk afterwards."""
        standing = progress.standing and b64encode(zlib.compress(progress.standing)).decode()
        self._add(
            {
                "part": name,
                "fingerprint": fingerprint,
                "first": first,
                "segments": [segment and asdict(segment) for segment in progress.segments],
                "start_s": progress.start_s,
                "end_s": progress.end_s,
                "standing": standing,
            }
        )

    def progress(self, name: str, fingerprint: str) -> Progress:
        """The windows that are kept of an unfinished part that is made from the same."""
        self._refresh()
        segments: list[Segment | None] = []
        progress = Progress()
        starts = self._unfinished.get((name, fingerprint))
        for row in self._read(starts) if starts else ():
            try:
                first, start_s, end_s = row["first"], float(row["start_s"]), float(row["end_s"])
                added = [each and _segment(each) for each in row["segments"]]
                standing = row["standing"] and zlib.decompress(b64decode(row["standing"]))
                if 0 <= first <= len(segments):
                    segments[first:] = added
                    progress = Progress(tuple(segments), start_s, end_s, standing)
            except (TypeError, LookupError, ValueError, zlib.error):  # edited by somebody
                continue
        return progress

    def remove(self) -> None:
        """Remove the file."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed("removed", error) from error

    def _add(self, row: dict[str, Any]) -> None:
        try:
            with open(open_rows(self._path), "rb") as file:
                add_row(file.fileno(), row)
        except OSError as error:
            raise self._failed("written", error) from error

    def _read(self, starts: Iterable[int]) -> list[dict[str, Any]]:
        """The rows that start there."""
        rows = []
        try:
            with self._path.open("rb") as file:
                for start in starts:
                    file.seek(start)
                    rows.append(next(parsed(file.readline()), {}))
        except OSError as error:
            raise self._failed("read", error) from error
        return rows

    def _refresh(self) -> None:
        """Read the rows that were added since the last time."""
        try:
            self._read_on()
        except FileNotFoundError:
            self._forget()
        except OSError as error:
            raise self._failed("read", error) from error

    def _forget(self) -> None:
        self._rows.clear()
        self._unfinished.clear()
        self._read_to = 0

    def _read_on(self) -> None:
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self._read_to:  # another file than before
                self._forget()
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):  # not whole, or not yet
                    break
                for row in parsed(line):
                    self._take(row)
                self._read_to += len(line)

    def _take(self, row: dict[str, Any]) -> None:
        name, fingerprint = row.get("part"), row.get("fingerprint")
        if not isinstance(name, str) or not isinstance(fingerprint, str):
            return
        if isinstance(row.get("text"), str):
            self._rows[name] = fingerprint, self._read_to
            self._unfinished.pop((name, fingerprint), None)
        elif "segments" in row:
            self._unfinished.setdefault((name, fingerprint), []).append(self._read_to)

    def _failed(self, what: str, error: OSError) -> OutputError:
        return OutputError(f"{self._path} cannot be {what}: {error.strerror}; choose another place")


def _segment(row: dict[str, Any]) -> Segment:
    """What ``asdict`` and JSON have made of a segment. Raises TypeError, LookupError."""
    words = {key: tuple(Word(**word) for word in row[key]) for key in ("words", "concepts")}
    return Segment(**row | words)
