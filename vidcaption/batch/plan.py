"""What is to be done for each input, according to the existing outputs and their origin.

What is ready before a file can be written is kept in ``.NAME.parts``, a hidden file of rows beside
it. For a file of several inputs there is a row for each one that is captioned: the name of the
part, the fingerprint of what it was made from, and its text. For an input that takes long there is
one for the windows that were finished since the row before: their segments, and the number of
windows before them. Rows are added as those of the ledger are, so several runs may add to one file,
and a run that is killed loses only what it was working on. The last row of a part counts. The rows
stay on disk until they are needed.
"""

import hashlib
import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidcaption.batch.ledger import Ledger, add_row, digest_of, open_rows, parsed
from vidcaption.errors import OutputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.write import check_place, encoded, sweep, write_atomic
from vidcaption.types import Progress, Segment, Word

PARTS = "parts"  # in place of a fingerprint, for files that are assembled from parts


@dataclass(frozen=True, slots=True)
class Job:
    """One input and its outputs.

    ``path``: its name. ``root``: the folder that it is found under. ``targets``: the file to write
    in each format; none if its captions go elsewhere. ``source``: the file that is read, if not
    ``path``. ``part``: the name of its captions if they are a part of a target.
    """

    path: Path
    root: Path
    targets: Mapping[str, Path]
    source: Path | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a job.

    ``needed``: whether it is to be captioned. ``todo``: the files to write then, by format.
    ``replaced``: those of them that exist. ``kept``: existing files that are not ours, or were
    edited. ``fingerprint``: of the origin of the captions.
    """

    needed: bool
    todo: Mapping[str, Path]
    replaced: tuple[Path, ...]
    kept: tuple[Path, ...]
    fingerprint: str


class Parts:
    """The parts of the file ``target``. Raises OutputError if they cannot be read or written."""

    def __init__(self, target: Path) -> None:
        self._path = target.with_name(f".{target.name}.parts")
        self._rows: dict[str, tuple[str, int]] = {}  # fingerprint, and where the row starts
        self._unfinished: dict[tuple[str, str], list[int]] = {}  # by part and fingerprint
        self._read_to = 0

    def check(self) -> None:
        """Raise OutputError if they cannot be stored."""
        check_place(self._path)

    def fingerprint(self, name: str) -> str | None:
        """The fingerprint of the part of this name, or None."""
        self._refresh()
        return self._rows[name][0] if name in self._rows else None

    def add(self, name: str, fingerprint: str, text: str) -> None:
        """Store a part; on disk when this returns."""
        self._add({"part": name, "fingerprint": fingerprint, "text": text})

    def text(self, name: str) -> str:
        """The text of a part whose fingerprint was requested."""
        (row,) = self._read([self._rows[name][1]])
        if row.get("part") != name:
            raise OutputError(f"{self._path} was changed by something else; run this again")
        text: str = row["text"]
        return text

    def add_progress(self, name: str, fingerprint: str, first: int, progress: Progress) -> None:
        """Store windows of an unfinished part after the ``first`` ones; on disk afterwards."""
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
        """The stored windows of an unfinished part with the same fingerprint."""
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
            except (TypeError, LookupError, ValueError, zlib.error):  # edited
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
        """The rows at these positions."""
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
        """Read the rows added since the last time."""
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
            if file.seek(0, 2) < self._read_to:  # the file was replaced
                self._forget()
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):  # incomplete, or not yet complete
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


class Books:
    """What was written so far, in all output folders, and the recipe to compare with.

    ``model_sha256`` and ``options`` determine the text, besides the input itself. With ``force``
    nothing counts as done, and nothing is kept.
    """

    def __init__(self, model_sha256: str, options: CaptionOptions, *, force: bool = False) -> None:
        self.model_sha256, self.options = model_sha256, options
        self._recipe = {"model": model_sha256, "options": asdict(options)}
        self._force = force
        self._ledgers: dict[str, Ledger] = {}
        self._parts: dict[Path, Parts] = {}
        self._swept: set[Path] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Reopened in another process, which has its own leases."""
        return vars(self) | {"_ledgers": {}, "_parts": {}, "_swept": set()}

    def plan(self, job: Job) -> Plan:
        """Check the existing outputs. Raises OutputError if a folder's ledger cannot be read.

        An output is done if its content is what we wrote, with the same model, options, size and
        time of the input. It is replaced if it is ours with another origin, or empty. Anything else
        was edited, or made by others, and is kept. A part is done if it was stored, see ``parts``,
        whatever happened to its file.
        """
        unnamed = [format for format, path in job.targets.items() if path.suffix != f".{format}"]
        fingerprint = self.fingerprint(job.source or job.path, () if job.part else unnamed)
        if not job.targets:
            return Plan(True, {}, (), (), fingerprint)
        todo: dict[str, Path] = {}
        replaced, kept = [], []
        for format, target in job.targets.items():
            made_from = None if self._force else self._made_from(target, job.part)
            if made_from == fingerprint:
                continue
            if job.part is not None:
                todo[format] = target
                continue
            if made_from is None and not self._force and _has_content(target):
                kept.append(target)
                continue
            todo[format] = target
            if os.path.exists(target):
                replaced.append(target)
        return Plan(bool(todo), todo, tuple(replaced), tuple(kept), fingerprint)

    def fingerprint(self, path: Path, formats: Sequence[str] = ()) -> str:
        """The fingerprint of captions of this file, if they were made now.

        ``formats``: those that are not evident from the name of an output.
        """
        text = json.dumps([self._recipe, [_state(path)], *formats], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self, target: Path) -> None:
        """Raise OutputError if a file of parts has to be kept, see ``plan``, or if its parts cannot
        be stored."""
        self.parts(target).check()
        if not self._force and _has_content(target) and self._made_from(target) is None:
            raise OutputError(f"{in_the_way(target)}; --force replaces it")

    @contextmanager
    def lease(self, targets: Iterable[Path], part: str | None = None) -> Iterator[bool]:
        """Whether these outputs of one input are leased to this process inside the context.

        With ``part``, only that part of them.

        Raises OutputError if their folder cannot be written to.
        """
        target = next(iter(targets), None)
        if target is None:
            yield True
            return
        # all formats share it
        key = target.stem if part is None else f"{target.name}/{part}"
        with self._ledger(target).lease(key) as held:
            if target.parent not in self._swept:
                self._swept.add(target.parent)
                sweep(target.parent)
            yield held

    def write(self, job: Job, target: Path, text: str, fingerprint: str) -> None:
        """Write an output of a job, or store its part of it, under a lease, and record it.

        Raises OutputError.
        """
        if job.part is not None:
            self.parts(target).add(job.part, fingerprint, text)
            return
        source = job.path if job.source is None else None
        self._ledger(target).add(target.name, _digest([encoded(text)]), fingerprint, source)
        write_atomic(target, text)

    def keep(self, job: Job, fingerprint: str, first: int, progress: Progress) -> None:
        """Store windows of a job after the ``first`` ones. Raises OutputError."""
        parts, name = self._unfinished(job)
        parts.add_progress(name, fingerprint, first, progress)

    def progress(self, job: Job, fingerprint: str) -> Progress:
        """The stored windows of a job, if its fingerprint is the same."""
        if self._force:
            return Progress()
        parts, name = self._unfinished(job)
        try:
            return parts.progress(name, fingerprint)
        except OutputError:  # then they cannot be used
            return Progress()

    def forget(self, job: Job) -> None:
        """Remove the stored windows of a job, once all its outputs are written."""
        if job.targets and job.part is None:
            with suppress(OutputError):  # it does no harm
                self._unfinished(job)[0].remove()

    def parts(self, target: Path) -> Parts:
        """The parts stored for the file ``target`` until it is written."""
        folder = os.path.realpath(target.parent)
        return self._parts.setdefault(target, Parts(Path(folder, target.name)))

    def holds(self, target: Path, pieces: Callable[[], Iterable[str]]) -> bool:
        """Whether a file consists of these. Raises OutputError."""
        return _has_content(target) and digest_of(target) == _digest(map(encoded, pieces()))

    def put_together(self, target: Path, pieces: Callable[[], Iterable[str]]) -> None:
        """Write a file of parts under a lease, and record it. Raises OutputError.

        ``pieces`` yields the same ones each time, which are not held in memory.
        """
        self._ledger(target).add(target.name, _digest(map(encoded, pieces())), PARTS)
        write_atomic(target, map(encoded, pieces()))

    def _unfinished(self, job: Job) -> tuple[Parts, str]:
        """Where windows of a job are stored, and the name of the job there."""
        target = next(iter(job.targets.values()))
        return self.parts(target), job.part or target.name

    def _ledger(self, target: Path) -> Ledger:
        folder = os.path.realpath(target.parent)
        return self._ledgers.setdefault(folder, Ledger(Path(folder)))

    def _made_from(self, target: Path, part: str | None = None) -> str | None:
        """The fingerprint of an unchanged output that is ours, or of its part, or None."""
        if part is not None:
            return self.parts(target).fingerprint(part)
        ledger = self._ledger(target)
        ledger.refresh()
        if not ledger.knows(target.name) or not os.path.isfile(target):
            return None
        return ledger.fingerprint(target.name, digest_of(target))


def in_the_way(target: Path) -> str:
    """Why a file is kept."""
    return f"{target} is kept: it was edited, or vidcaption did not write it"


def _has_content(path: Path) -> bool:
    """Whether a file with content exists."""
    return os.path.isfile(path) and os.path.getsize(path) > 0


def _state(path: Path) -> list[int] | None:
    """Size and modification time of an input; None if it cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _digest(data: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for each in data:
        digest.update(each)
    return digest.hexdigest()


def _segment(row: dict[str, Any]) -> Segment:
    """A segment from its ``asdict`` in JSON. Raises TypeError, LookupError."""
    words = {key: tuple(Word(**word) for word in row[key]) for key in ("words", "concepts")}
    return Segment(**row | words)
