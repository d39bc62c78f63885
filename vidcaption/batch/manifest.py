"""The outcome of each input of a run, as rows in a file: for scripts, and for retries."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from vidcaption.addresses import Location, location_of
from vidcaption.batch.ledger import add_row, open_rows, parsed
from vidcaption.batch.runner import Outcome, Status
from vidcaption.errors import OutputError, UsageError

_BEGINNING = b'{"path": "'  # of each row


@dataclass(frozen=True, slots=True)
class Row:
    """The last row of an input in a manifest.

    ``root``: the folder that it was found under. ``outputs``: by format. ``error``: a sentence, and
    ``error_class`` the name of its class, if it failed. ``model``: the SHA-256 of the weights.
    """

    path: Location
    root: Location
    status: Status
    outputs: Mapping[str, str]
    seconds: float
    error_class: str | None
    error: str | None
    model: str


class Manifest:
    """A file to which rows are appended, by any number of processes.

    Raises OutputError if it cannot be written, and UsageError if it is another kind of file.
    """

    def __init__(self, path: Path, model_sha256: str) -> None:
        self._path = path
        self._model = model_sha256
        try:
            there = path.exists() and not path.is_dir()
            # such as a video, by a mistyped `*`, or a device, which cannot be read again
            if there and not (path.is_file() and _rows(path.read_bytes()) is not None):
                raise UsageError(
                    f"--manifest is {path}, which exists and is not a manifest; give the name of a "
                    "new file"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(open_rows(path))
        except OSError as error:
            raise self._failed(error) from error

    def add(self, outcome: Outcome) -> None:
        """Append the row of a finished input. Raises OutputError."""
        error = outcome.error
        row = {
            "path": str(outcome.job.path),
            "root": str(outcome.job.root),
            "status": outcome.status,
            "outputs": {format: str(path) for format, path in outcome.job.targets.items()},
            "seconds": round(outcome.elapsed_s, 3),
            "error": {"class": type(error).__name__, "text": outcome.reason} if error else None,
            "model": self._model,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            descriptor = open_rows(self._path)
            try:
                add_row(descriptor, row)
            finally:
                os.close(descriptor)
        except OSError as failure:
            raise self._failed(failure) from failure

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"--manifest {self._path} cannot be written: {error.strerror}; choose another place"
        )


def read_manifest(path: Path) -> list[Row]:
    """The last row of each input, in the order in which they were first finished.

    Rows torn by a crash are skipped. Raises UsageError if the file cannot be read, or is not a
    manifest.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    rows = _rows(data)
    if rows is None:
        raise UsageError(f"{path} is not a manifest; give a file that run --manifest wrote")
    return list(rows.values())


def _rows(data: bytes) -> dict[Location, Row] | None:
    """The last row of each input; None if this is not a manifest.

    A file whose only row was torn, as by a full disk, is a manifest without rows.
    """
    raws = list(parsed(data))
    rows = {row.path: row for row in map(_row, raws) if row is not None}
    torn = not raws and _BEGINNING.startswith(data.lstrip()[: len(_BEGINNING)])
    return rows if rows or torn else None


def _row(raw: Mapping[str, Any]) -> Row | None:
    """A valid row, or None."""
    try:
        error = raw["error"] or {"class": None, "text": None}
        row = Row(
            location_of(raw["path"]),
            location_of(raw["root"]),
            raw["status"],
            {str(format): str(path) for format, path in raw["outputs"].items()},
            float(raw["seconds"]),
            error["class"],
            error["text"],
            str(raw["model"]),
        )
        os.fsencode(str(row.path))
        os.fsencode(str(row.root))
    # JSON may contain anything anywhere
    except (LookupError, TypeError, ArithmeticError, ValueError, AttributeError):
        return None
    if "\0" in f"{row.path}{row.root}":
        return None
    fits = row.status in get_args(Status) and all(
        value is None or isinstance(value, str) for value in (row.error_class, row.error)
    )
    return row if fits else None
