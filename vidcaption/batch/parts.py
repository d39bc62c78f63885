"""The captions of each input that go into one file for all, kept as soon as they are there.

``.NAME.parts``, a hidden file beside that file, holds a row for each: what it is called, the
fingerprint of what it was made from, and its text. Rows are added as those of the ledger are, so
that a run that is killed loses what it was at and no more, and several runs may add to one file.
Of a part the last row counts. The texts stay on the disk until they are asked for.
"""

from pathlib import Path
from typing import Any

from vidcaption.batch.rows import add_row, open_rows, parsed
from vidcaption.errors import OutputError
from vidcaption.output.write import check_place


class Parts:
    """Those of the file ``target``. Raises OutputError where they cannot be read or written."""

    def __init__(self, target: Path) -> None:
        self._path = target.with_name(f".{target.name}.parts")
        self._rows: dict[str, tuple[str, int]] = {}  # fingerprint, and where the row starts
        self._read_to = 0

    def check(self) -> None:
        """Raise OutputError if there is no place to keep them in."""
        check_place(self._path)

    def fingerprint(self, name: str) -> str | None:
        """What the part of this name was made from, or None if there is none."""
        try:
            self._refresh()
        except FileNotFoundError:
            self._rows, self._read_to = {}, 0
        except OSError as error:
            raise self._failed("read", error) from error
        return self._rows[name][0] if name in self._rows else None

    def add(self, name: str, fingerprint: str, text: str) -> None:
        """Keep a part; on disk when this returns."""
        try:
            with open(open_rows(self._path), "rb") as file:
                add_row(file.fileno(), {"part": name, "fingerprint": fingerprint, "text": text})
        except OSError as error:
            raise self._failed("written", error) from error

    def text(self, name: str) -> str:
        """Of a part whose fingerprint was asked for."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._rows[name][1])
                row = next(parsed(file.readline()), {})
        except OSError as error:
            raise self._failed("read", error) from error
        if row.get("part") != name:
            raise OutputError(f"{self._path} was changed by something else; run this again")
        text: str = row["text"]
        return text

    def _refresh(self) -> None:
        """Read the rows that were added since the last time."""
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self._read_to:  # another file than before
                self._rows, self._read_to = {}, 0
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):  # not whole, or not yet
                    break
                for row in parsed(line):
                    self._take(row)
                self._read_to += len(line)

    def _take(self, row: dict[str, Any]) -> None:
        values = row.get("part"), row.get("fingerprint"), row.get("text")
        if all(isinstance(value, str) for value in values):
            self._rows[row["part"]] = row["fingerprint"], self._read_to

    def _failed(self, what: str, error: OSError) -> OutputError:
        return OutputError(f"{self._path} cannot be {what}: {error.strerror}; choose another place")
