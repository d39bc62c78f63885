"""The videos in the folders that a server was given: clients name them by a number of ours."""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from vidcaption.batch import discover
from vidcaption.errors import UsageError
from vidcaption.output.text import printable

FRESH_S = 10.0  # in which folders are not read again


@dataclass(frozen=True, slots=True)
class File:
    """A video or an image. ``name``: the folder's name, and the path below it; ``path``: where it
    is, links followed."""

    id: str
    name: str
    path: Path


class Library:
    """What is in folders now. A text from a client is never made a path."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [Path(os.path.realpath(folder)) for folder in folders]
        self._files: dict[str, File] = {}
        self._read_at = -FRESH_S
        self._lock = Lock()

    def files(self) -> dict[str, File]:
        """All files by id, in natural order."""
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_S:
                self._files = {file.id: file for file in self._read()}
                self._read_at = time.monotonic()
            return self._files

    def named(self, path: Path) -> File | None:
        """The file at a path, if it is one of ours."""
        return self.files().get(_id_of(path))

    def _read(self) -> list[File]:
        found = []
        for folder in self.folders:
            try:
                paths = discover([folder], recursive=True)
            except UsageError:  # it is empty, or away
                continue
            for path in paths:
                name = Path(folder.name, path.relative_to(folder)).as_posix()
                place = Path(os.path.realpath(path))
                found.append(File(_id_of(place), printable(name), place))
        return found


def _id_of(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:20]
