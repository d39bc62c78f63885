"""Keeps an index up to date: finds new files and captions them."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vidcaption.batch import Books, Executor, Job, Outcome, Runner, Watcher, discover
from vidcaption.batch.ledger import Ledger
from vidcaption.batch.runner import POLL_S, may_pass
from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.find.index import Entry, Index, Recipe, State, Video

if TYPE_CHECKING:
    from vidcaption.pipeline import Captioner

logger = logging.getLogger(__name__)

_SAMPLES, _SAMPLE_BYTES = 9, 65_536  # of a file, by which its content is identified


@dataclass(frozen=True)
class Survey:
    """What has changed since files were indexed, and what is to be done.

    ``todo``: files to caption. ``outdated``: captioned by another model or with other options, and
    kept. ``broken``: could not be captioned before, and have not changed. ``known``: already
    captioned under another name.
    """

    todo: list[Path] = field(default_factory=list)
    outdated: list[Path] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    known: list[Path] = field(default_factory=list)


def find_files(folders: Iterable[Path]) -> list[Path]:
    """Videos and images below folders, which may be missing or empty."""
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            logger.info(f"{folder} is missing; its entries are kept")
            continue
        try:
            files += discover([folder], recursive=True)
        except UsageError as error:  # the mount point of a drive that is not mounted is empty
            logger.info(f"{error}; its entries are kept")
    return files


def survey(index: Index, files: Iterable[Path], recipe: int, *, redo: bool = False) -> Survey:
    """Compare files with the index, and record those that were moved or copied.

    ``redo``: also caption files that another recipe captioned, or that failed before.
    """
    known = index.videos()
    by_digest = {video.state.digest: video for video in known.values()}
    sizes = {video.state.size for video in known.values()}  # other sizes, other digests
    found = Survey()
    for path in dict.fromkeys(Path(os.path.realpath(file)) for file in files):
        video = known.get(path)
        if video is None or not _unchanged(video):
            video = None
            with suppress(OSError):  # captioning will report it
                if path.stat().st_size in sizes:
                    state = state_of(path)
                    video = by_digest.get(state.digest)
            if video is None:
                found.todo.append(path)
                continue
            video = by_digest[state.digest] = _take_over(index, video, path, state)
            found.known.append(path)
        if video.recipe != recipe or video.error:
            kind = found.broken if video.error else found.outdated
            (found.todo if redo else kind).append(path)
    return found


def update(
    index: Index,
    files: Sequence[Path],
    recipe: Recipe,
    load: Callable[[], Sequence["Captioner"]],
    watcher: Watcher,
    execute: Executor = Runner.run,
) -> Iterator[Outcome]:
    """Caption files and store their windows, each as soon as it is done.

    ``execute`` captions, wherever it does so; only this process claims files and writes the index.
    Two processes that update one index share the work. A file that cannot be captioned is recorded,
    unless the reason may be temporary, and not tried again until it changes. Raises OutputError.
    """
    number = index.recipe_id(recipe)
    runner = Runner(load, Books(recipe.sha256, recipe.options))
    left = [Job(path, path.parent, {}, part=str(path)) for path in files]
    with _Claims(index, number) as claims:
        while left:
            for outcome in execute(runner, claims.take(left), watcher):
                state = claims.states[_file(outcome.job)]
                if state is not None and _lasts(outcome):
                    _keep(index, outcome, number, state)
                claims.give_back(outcome.job)
                yield outcome
            for outcome in claims.idle:
                watcher.ended(outcome)
                yield outcome
            if len(claims.busy) == len(left):
                watcher.waiting(left)
                time.sleep(POLL_S)
            left = claims.busy


def add(index: Index, outcome: Outcome, recipe: int) -> None:
    """Store captions that were made for another purpose, if of a file. Raises OutputError."""
    if outcome.captions is not None and outcome.job.source is None:
        with suppress(OSError):  # it is gone
            _keep(index, outcome, recipe, state_of(_file(outcome.job)))


def state_of(path: Path) -> State:
    """The current state of a file, with a digest of its size and samples. Raises OSError."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256(str(status.st_size).encode())
        for piece in range(_SAMPLES):
            file.seek(piece * max(0, status.st_size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return State(status.st_size, status.st_mtime_ns, digest.hexdigest())


def missing(videos: Mapping[Path, Video], below: Sequence[Path]) -> list[Video]:
    """Videos whose file is missing, below these folders or, if none are given, anywhere."""
    return [
        video
        for path, video in videos.items()
        if not path.exists() and (not below or any(map(path.is_relative_to, below)))
    ]


class _Claims:
    """The files that this process captions, as no other one does. Use it in a ``with`` block.

    Leases are kept beside the index, in a hidden file that exists during updates. ``states``: of
    each file before it is read; None if it cannot be. ``busy``: jobs of the latest ``take`` that
    another process is doing; ``idle``: outcomes of those for which there is nothing to do.
    """

    def __init__(self, index: Index, number: int) -> None:
        self.states: dict[Path, State | None] = {}
        self.busy: list[Job] = []
        self.idle: list[Outcome] = []
        self._index, self._number = index, number
        self._seen = index.videos()
        self._locks = Ledger(Path(os.path.realpath(index.path.parent)))
        self._leases: dict[Path, ExitStack] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lease in self._leases.values():
            lease.close()

    def take(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs that are to be done, each claimed when it is asked for."""
        self.busy, self.idle = [], []
        for job in jobs:
            try:
                with ExitStack() as lease:
                    if not lease.enter_context(self._locks.lease(str(job.path))):
                        self.busy.append(job)
                        continue
                    if self._is_done(_file(job)):
                        self.idle.append(Outcome(job, "done"))
                        continue
                    self._leases[_file(job)] = lease.pop_all()
            except OutputError as error:
                self.idle.append(Outcome(job, "failed", error=error))
                continue
            self.states[_file(job)] = None
            with suppress(OSError):  # captioning will report it
                self.states[_file(job)] = state_of(_file(job))
            yield job

    def give_back(self, job: Job) -> None:
        """End the claim, once the outcome is stored."""
        del self.states[_file(job)]
        self._leases.pop(_file(job)).close()

    def _is_done(self, path: Path) -> bool:
        """Whether another process has captioned it since this one looked first."""
        video = self._index.video(path)
        return video is not None and video != self._seen.get(path) and video.recipe == self._number


def _file(job: Job) -> Path:
    assert isinstance(job.path, Path), "an index has files of this machine"
    return job.path


def _keep(index: Index, outcome: Outcome, recipe: int, state: State) -> None:
    """Store the outcome of a file."""
    captions = outcome.captions
    index.put(
        Path(os.path.realpath(_file(outcome.job))),
        state,
        recipe,
        map(Entry.of, captions.shown) if captions else (),
        duration_s=captions.video.duration_s if captions else None,
        error=None if captions else outcome.reason,
    )


def _lasts(outcome: Outcome) -> bool:
    """Whether another try would have the same result."""
    failed_for_good = isinstance(outcome.error, InputError) and not may_pass(outcome.error)
    return outcome.status == "captioned" or failed_for_good


def _unchanged(video: Video) -> bool:
    try:
        status = video.path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (video.state.size, video.state.mtime_ns)


def _take_over(index: Index, video: Video, path: Path, state: State) -> Video:
    """Use the entry of a file with the same content, which may be gone, for another one."""
    if path == video.path or not video.path.exists():
        index.move(video, path, state)
        return replace(video, name=os.fsencode(path), state=state)
    index.copy(video, path, state)
    return video
