"""What is to be done for each input: decided by what is there, and by what it was made from."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from vidcaption.batch.ledger import Ledger
from vidcaption.errors import OutputError
from vidcaption.options import CaptionOptions
from vidcaption.output.write import encoded, sweep, write_atomic


@dataclass(frozen=True, slots=True)
class Job:
    """One input and what is wanted of it.

    ``path``: what it is called. ``root``: the folder that it is found under. ``targets``: the file
    to write in each format; none where its captions go elsewhere. ``source``: the file that is
    read, where that is not ``path``.
    """

    path: Path
    root: Path
    targets: Mapping[str, Path]
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a job.

    ``needed``: whether it is to be captioned. ``todo``: the files to write then, by format.
    ``replaced``: those of them that exist. ``kept``: files in the way that are not ours, or were
    edited. ``fingerprint``: of what the captions will be made from.
    """

    needed: bool
    todo: Mapping[str, Path]
    replaced: tuple[Path, ...]
    kept: tuple[Path, ...]
    fingerprint: str


class Books:
    """What was written so far, in all output folders, and by what recipe it is compared.

    ``model_sha256`` and ``options`` are what decides the text, beside the input itself. With
    ``force`` nothing counts as done, and nothing is kept.
    """

    def __init__(self, model_sha256: str, options: CaptionOptions, *, force: bool = False) -> None:
        self.model_sha256 = model_sha256
        self._recipe = {"model": model_sha256, "options": asdict(options)}
        self._force = force
        self._ledgers: dict[str, Ledger] = {}
        self._swept: set[Path] = set()

    def plan(self, job: Job) -> Plan:
        """Look at what is there now. Raises OutputError if a folder's ledger cannot be read.

        An output is done if its content is what we wrote, made from the same model, options, size
        and time of the input. It is replaced if it is ours and made from something else, and if it
        is empty. Anything else was edited, or made by others, and is kept.
        """
        fingerprint = self.fingerprint([job.source or job.path])
        if not job.targets:
            return Plan(True, {}, (), (), fingerprint)
        todo: dict[str, Path] = {}
        replaced, kept = [], []
        for format, target in job.targets.items():
            made_from = None if self._force else self._made_from(target)
            if made_from == fingerprint:
                continue
            if made_from is None and not self._force and _has_content(target):
                kept.append(target)
                continue
            todo[format] = target
            if os.path.exists(target):
                replaced.append(target)
        return Plan(bool(todo), todo, tuple(replaced), tuple(kept), fingerprint)

    def fingerprint(self, inputs: Sequence[Path]) -> str:
        """Of captions of these files, in this order, were they made now."""
        text = json.dumps([self._recipe, [_state(path) for path in inputs]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def done(self, target: Path, inputs: Sequence[Path]) -> bool:
        """Whether a file that several inputs share is what they would give now.

        Raises OutputError if it is in the way, as ``plan`` says of those that are kept.
        """
        if self._force or not _has_content(target):
            return False
        made_from = self._made_from(target)
        if made_from is None:
            raise OutputError(f"{in_the_way(target)}; --force replaces it")
        return made_from == self.fingerprint(inputs)

    @contextmanager
    def lease(self, targets: Iterable[Path]) -> Iterator[bool]:
        """Whether these files, outputs of one input, are ours alone to write inside the context.

        Raises OutputError if their folder cannot be written to.
        """
        target = next(iter(targets), None)
        if target is None:
            yield True
            return
        with self._ledger(target).lease(target.stem) as held:  # all formats share it
            if target.parent not in self._swept:
                self._swept.add(target.parent)
                sweep(target.parent)
            yield held

    def write(self, target: Path, text: str, fingerprint: str) -> None:
        """Write an output under a lease, and remember it. Raises OutputError."""
        self._ledger(target).add(target.name, _digest(encoded(text)), fingerprint)
        write_atomic(target, text)

    def _ledger(self, target: Path) -> Ledger:
        folder = os.path.realpath(target.parent)
        return self._ledgers.setdefault(folder, Ledger(Path(folder)))

    def _made_from(self, target: Path) -> str | None:
        """The fingerprint of an output that is ours as it stands, or None."""
        ledger = self._ledger(target)
        ledger.refresh()
        if not ledger.knows(target.name) or not os.path.isfile(target):
            return None
        try:
            return ledger.fingerprint(target.name, _digest(target.read_bytes()))
        except OSError as error:
            raise OutputError(f"{target} cannot be read: {error.strerror}") from error


def in_the_way(target: Path) -> str:
    """What is the matter with a file that is kept."""
    return f"{target} is kept: it was edited, or vidcaption did not write it"


def _has_content(path: Path) -> bool:
    """Whether there is something to lose."""
    return os.path.isfile(path) and os.path.getsize(path) > 0


def _state(path: Path) -> list[int] | None:
    """Size and time of last change of an input; None if it is not there to be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
