"""What is to be done for each input, according to the existing outputs and their origin."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vidcaption.addresses import Address, Location
from vidcaption.batch.ledger import Record
from vidcaption.batch.objects import folder_of, record_of
from vidcaption.batch.parts import Parts
from vidcaption.errors import OutputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.lance import is_dataset
from vidcaption.output.lance import write as write_dataset
from vidcaption.output.write import encoded, sweep, write_atomic
from vidcaption.remote import state
from vidcaption.types import Progress

PARTS = "parts"  # in place of a fingerprint, for files that are assembled from parts


@dataclass(frozen=True, slots=True)
class Job:
    """One input and its outputs.

    ``path``: its name. ``root``: the folder that it is found under. ``targets``: the file to write
    in each format; none if its captions go elsewhere. ``source``: the file that is read, if not
    ``path``. ``part``: the name of its captions if they are a part of a target, or of an index.
    """

    path: Location
    root: Location
    targets: Mapping[str, Location]
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
    todo: Mapping[str, Location]
    replaced: tuple[Location, ...]
    kept: tuple[Location, ...]
    fingerprint: str


class Books:
    """What was written so far, in all output folders, and the recipe to compare with.

    ``model_sha256`` and ``options`` determine the text, besides the input itself. With ``force``
    nothing counts as done, and nothing is kept.
    """

    def __init__(self, model_sha256: str, options: CaptionOptions, *, force: bool = False) -> None:
        self.model_sha256, self.options = model_sha256, options
        self._recipe = {"model": model_sha256, "options": options.recipe}
        self._force = force
        self._ledgers: dict[Location, Record] = {}
        self._parts: dict[Location, Parts] = {}
        self._swept: set[Location] = set()

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
        todo: dict[str, Location] = {}
        replaced, kept = [], []
        for format, target in job.targets.items():
            made_from = None if self._force else self._made_from(target, job.part)
            if made_from == fingerprint:
                continue
            if job.part is not None:
                todo[format] = target
                continue
            if made_from is None and not self._force and self._size(target):
                kept.append(target)
                continue
            todo[format] = target
            if self._size(target) is not None:
                replaced.append(target)
        return Plan(bool(todo), todo, tuple(replaced), tuple(kept), fingerprint)

    def fingerprint(self, path: Location, formats: Sequence[str] = ()) -> str:
        """The fingerprint of captions of this file, if they were made now.

        ``formats``: those that are not evident from the name of an output.
        """
        text = json.dumps([self._recipe, [_state(path)], *formats], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self, target: Location) -> None:
        """Raise OutputError if a file of parts has to be kept, see ``plan``, or if its parts cannot
        be stored."""
        self.parts(target).check()
        ledger = self._ledger(target)
        there = self._size(target) or (is_dataset(target) and ledger.digest(target.name))
        if not self._force and there and self._made_from(target) is None:
            raise OutputError(f"{in_the_way(target)}; --force replaces it")

    @contextmanager
    def lease(self, targets: Iterable[Location], part: str | None = None) -> Iterator[bool]:
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
                if isinstance(target, Path):
                    sweep(target.parent)
            yield held

    def write(self, job: Job, target: Location, text: str, fingerprint: str) -> None:
        """Write an output of a job, or store its part of it, under a lease, and record it.

        Raises OutputError.
        """
        if job.part is not None:
            self.parts(target).add(job.part, fingerprint, text)
            return
        source = job.path if job.source is None else None
        ledger = self._ledger(target)
        ledger.add(target.name, ledger.digest_in([encoded(text)]), fingerprint, source)
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

    def parts(self, target: Location) -> Parts:
        """The parts stored for the file ``target`` until it is written."""
        if target not in self._parts:
            self._parts[target] = Parts(folder_of(target) / target.name)
        return self._parts[target]

    def holds(self, target: Location, pieces: Callable[[], Iterable[str | bytes]]) -> bool:
        """Whether a file consists of these, or a dataset was made from them. Raises OutputError."""
        ledger = self._ledger(target)
        digest = ledger.digest_in(map(encoded, pieces()))
        if is_dataset(target):
            return self._made_from(target) == digest
        return bool(ledger.size(target.name)) and ledger.digest(target.name) == digest

    def put_together(self, target: Location, pieces: Callable[[], Iterable[str | bytes]]) -> None:
        """Write a file of parts under a lease, and record it. Raises OutputError.

        ``pieces`` yields the same ones each time, which are not held in memory.
        """
        ledger = self._ledger(target)
        digest = ledger.digest_in(map(encoded, pieces()))
        if isinstance(target, Path) and is_dataset(target):
            lines = cast(Iterable[str], pieces())
            write_dataset(target, lines, lambda own: ledger.add(target.name, own, digest))
            return
        ledger.add(target.name, digest, PARTS)
        write_atomic(target, map(encoded, pieces()))

    def _unfinished(self, job: Job) -> tuple[Parts, str]:
        """Where windows of a job are stored, and the name of the job there."""
        target = next(iter(job.targets.values()))
        return self.parts(target), job.part or target.name

    def _ledger(self, target: Location) -> Record:
        folder = folder_of(target)
        if folder not in self._ledgers:
            self._ledgers[folder] = record_of(folder)
        return self._ledgers[folder]

    def _size(self, target: Location) -> int | None:
        """Bytes of an existing file."""
        return self._ledger(target).size(target.name)

    def _made_from(self, target: Location, part: str | None = None) -> str | None:
        """The fingerprint of an unchanged output that is ours, or of its part, or None."""
        if part is not None:
            return self.parts(target).fingerprint(part)
        ledger = self._ledger(target)
        ledger.refresh()
        if not ledger.knows(target.name):
            return None
        digest = ledger.digest(target.name)
        return None if digest is None else ledger.fingerprint(target.name, digest)


def in_the_way(target: Location) -> str:
    """Why a file is kept."""
    return f"{target} is kept: it was edited, or vidcaption did not write it"


def _state(path: Location) -> list[int] | list[int | str] | None:
    """Size and modification time, or tag, of an input; None if it cannot be read."""
    if isinstance(path, Address):
        return state(path)
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
