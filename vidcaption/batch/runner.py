"""Many inputs: each is leased, captioned and written, or fails without affecting others."""

import errno
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeVar

from vidcaption.addresses import Location
from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.errors import InputError, OutputError, VidcaptionError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.write import check_place
from vidcaption.types import Progress, Segment, VideoInfo

if TYPE_CHECKING:
    from vidcaption.batcher import Batcher
    from vidcaption.captioning import Captioning, Statistics
    from vidcaption.pipeline import Captioner

logger = logging.getLogger(__name__)

T = TypeVar("T")
Status = Literal["captioned", "done", "kept", "failed"]

LONGEST_WAIT_S = 30.0  # between two tries
POLL_S = 0.5  # between two checks whether another run has finished
_MAY_PASS = {
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNRESET", "EDQUOT", "EHOSTDOWN", "EHOSTUNREACH",
        "EINTR", "EIO", "EMFILE", "ENETDOWN", "ENETUNREACH", "ENFILE", "ENOLCK", "ENOMEM", "ENOSPC",
        "ENOTCONN", "EREMOTEIO", "ESTALE", "ETIMEDOUT",
    )
    if hasattr(errno, name)
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one input.

    ``status``: it was ``captioned`` now; all its outputs were ``done`` before; some of them were
    ``kept``, as they are edited or not ours, and none was left to write; or it ``failed`` with
    ``error``: it cannot be captioned, or its captions cannot be written. ``written`` and ``kept``:
    files. ``elapsed_s``: seconds of work, shared by inputs that are captioned together, including
    the time of the receiver of the segments. ``statistics``: of the captioning.
    """

    job: Job
    status: Status
    elapsed_s: float = 0.0
    captions: Captions | None = None
    error: InputError | OutputError | None = None
    written: tuple[Location, ...] = ()
    kept: tuple[Location, ...] = ()
    statistics: "Statistics | None" = None

    @property
    def reason(self) -> str:
        """Why it failed, in a sentence that names the input; empty if it did not."""
        if isinstance(self.error, OutputError):  # which names only the output
            return f"{self.job.path}: {self.error}"
        return str(self.error or "")


@dataclass(frozen=True, slots=True)
class Turn:
    """A job to be done now. Its outputs are leased until the receiver closes ``lease``."""

    job: Job
    plan: Plan
    lease: ExitStack


class Opened(Protocol):
    """An input while it is captioned: a ``Captioning``, or what is known of one elsewhere.

    ``progress_s``: the end of the captioned part, ``resumed_s``: its start, and ``kept_s``: the end
    of the saved part, in seconds.
    """

    @property
    def info(self) -> VideoInfo: ...

    @property
    def options(self) -> CaptionOptions: ...

    @property
    def progress_s(self) -> float: ...

    @property
    def resumed_s(self) -> float: ...

    @property
    def kept_s(self) -> float: ...


class Watcher:
    """Notified of each step while inputs are captioned; this one does nothing."""

    def opened(self, job: Job, captioning: Opened) -> None:
        """The work on ``job`` begins; ``captioning``: its video and progress."""

    def captioned(self, segment: Segment) -> None:
        """The next segment of the input that was opened last is ready."""

    def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None:
        """``error`` may be temporary: the job is tried again after this many seconds."""

    def waiting(self, jobs: Sequence[Job]) -> None:
        """Only these are left, and other runs are captioning them."""

    def ended(self, outcome: Outcome) -> None:
        """An input is done, or has failed."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Claims jobs, captions them and writes their outputs. It can be pickled if its fields can.

    ``load`` is called when something is to be captioned; it returns a model on one device or more,
    always the same. ``retries``: how often reading and writing are tried again after errors that
    may be temporary.
    """

    load: Callable[[], Sequence["Captioner"]]
    books: Books
    retries: int = 0

    def run(self, jobs: Iterable[Job], watcher: Watcher) -> Generator[Outcome]:
        """Do ``jobs`` in order: caption those that are not done, and write their targets.

        Each is taken when there is a worker for it, so ``jobs`` may wait for what follows.
        While one input is captioned, the first model's workers read the next ones, and the windows
        of short inputs go through the network together. An input that cannot be captioned or
        written yields an Outcome with that error, and the next one follows. What another run is
        working on comes last, when that run is done with it or has died. Other errors are raised,
        as they would stop every input.
        """
        with _Ahead(self, watcher) as ahead:
            busy = yield from self._add(jobs, ahead)
            while busy:
                left = yield from self._add(busy, ahead)
                if len(left) == len(busy):
                    yield from ahead.finish()  # the other run may be waiting for ours
                    watcher.waiting(left)
                    time.sleep(POLL_S)
                busy = left
            yield from ahead.finish()

    def _add(self, jobs: Iterable[Job], ahead: "_Ahead") -> Generator[Outcome, None, list[Job]]:
        """Start jobs; returns those that another run is doing."""
        busy = []
        for job in jobs:
            claimed = self.claim(job)
            if claimed is None:
                busy.append(job)
            else:
                yield from ahead.add(claimed)
        return busy

    def claim(self, job: Job) -> Turn | Outcome | None:
        """The work, or the outcome if there is none; None if another run is doing the job."""
        try:
            plan = self.books.plan(job)
            if not plan.needed:
                return _idle(job, plan)
            for target in plan.todo.values():
                check_place(target)  # before captioning
            with ExitStack() as lease:
                if not lease.enter_context(self.books.lease(plan.todo.values(), job.part)):
                    return None
                plan = self.books.plan(job)  # another run may have done it
                return Turn(job, plan, lease.pop_all()) if plan.needed else _idle(job, plan)
        except OutputError as error:
            return Outcome(job, "failed", error=error)

    def write(self, turn: Turn, captions: Captions, written: list[Location]) -> None:
        """Write the outputs that are not in ``written``, and add them to it. Raises OutputError."""
        for format, target in turn.plan.todo.items():
            if target not in written:
                render = captions.render if turn.job.part is None else captions.piece
                self.books.write(turn.job, target, render(format), turn.plan.fingerprint)
                written.append(target)
        self.books.forget(turn.job)


# Maps a runner over jobs, in any processes, and notifies the watcher of each.
Executor = Callable[[Runner, Iterable[Job], Watcher], Iterator[Outcome]]


def in_process(runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
    """An Executor: runs in this process, with a model that it loads at once."""
    runner.load()
    return runner.run(jobs, watcher)


class _Work:
    """A turn, whose input is now read by a worker, if there are workers.

    ``gathered``: whether its first windows were read.
    """

    gathered = False
    _tried = False

    def __init__(
        self,
        turn: Turn,
        runner: Runner,
        watcher: Watcher,
        captioner: "Captioner",
        batcher: "Batcher",
    ) -> None:
        self._turn, self._runner, self._watcher = turn, runner, watcher
        self._captioner, self._batcher = captioner, batcher
        self._captioning = self._begin()
        self._elapsed_s = 0.0

    @property
    def reading(self) -> bool:
        """Whether there may be more to read."""
        return self._captioning.reading

    @property
    def queued(self) -> int:
        """Windows that were read and not requested yet."""
        return self._captioning.queued

    def gather(self) -> None:
        """Read the first windows: all of a short input, to be captioned with those of others."""
        began_s = time.monotonic()
        self._captioning.prefetch()
        self._elapsed_s += time.monotonic() - began_s
        self.gathered = True

    def finish(self) -> Outcome:
        """Caption it and write the captions. Returns the outcome, and ends the lease."""
        turn, began_s = self._turn, time.monotonic()
        captions: Captions | None = None
        error: InputError | OutputError | None = None
        statistics: Statistics | None = None
        written: list[Location] = []
        shifted_s = 0.0
        with turn.lease:
            try:
                captions = self._patiently(self._caption, InputError)
                statistics = self._captioning.statistics
                shifted_s = self._captioning.costs.shifted_s
            except InputError as failure:
                error = failure
            else:
                write = partial(self._runner.write, turn, captions, written)
                try:
                    self._patiently(write, OutputError)
                except OutputError as failure:
                    error = failure
        return Outcome(
            turn.job,
            "failed" if error else "captioned",
            self._elapsed_s + time.monotonic() - began_s + shifted_s,
            captions,
            error,
            tuple(written),
            turn.plan.kept,
            statistics,
        )

    def abandon(self) -> None:
        """End reading, and the lease."""
        self._captioning.close()
        self._turn.lease.close()

    def _begin(self) -> "Captioning":
        """Does not raise: errors of the input are raised when it is captioned."""
        job, fingerprint, books = self._turn.job, self._turn.plan.fingerprint, self._runner.books

        def keep(first: int, progress: Progress) -> bool:
            try:
                books.keep(job, fingerprint, first, progress)
            except OutputError:  # writing the captions may still work
                return False
            return True

        # A copy made for this run is another input in the next run.
        resumable = bool(job.targets) and job.source is None
        captioning = self._captioner.open(
            job.source or job.path,
            books.options,
            name=str(job.path),
            batcher=self._batcher,
            before=books.progress(job, fingerprint) if resumable else None,
            keep=keep if resumable else None,
        )
        captioning.begin()
        return captioning

    def _caption(self) -> Captions:
        """Raises InputError."""
        job = self._turn.job
        if self._tried:  # and windows that were read cannot be read again
            self._captioning = self._begin()
        self._tried = True
        with self._captioning as captioning:
            self._watcher.opened(job, captioning)
            for segment in _segments(captioning, job.path):
                self._watcher.captioned(segment)
            return captioning.captions()

    def _patiently(self, work: Callable[[], T], kind: type[VidcaptionError]) -> T:
        """The result of ``work``, retried after temporary errors of ``kind``."""
        for attempt in range(self._runner.retries):
            try:
                return work()
            except kind as error:
                if not may_pass(error):
                    raise
                wait_s = min(LONGEST_WAIT_S, 0.5 * 2**attempt)
                self._watcher.retrying(self._turn.job, error, wait_s)
                time.sleep(wait_s)
        return work()


class _Ahead:
    """Started inputs, in order, with the outcomes of those that need no work."""

    def __init__(self, runner: Runner, watcher: Watcher) -> None:
        self._runner, self._watcher = runner, watcher
        self._queue: deque[_Work | Outcome] = deque()
        self._batcher: Batcher | None = None
        self._workers = self._enough = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for work in self._works():
            work.abandon()
        if self._batcher is not None:
            self._batcher.close()

    def add(self, claimed: Turn | Outcome) -> Iterator[Outcome]:
        """Start an input. Yields the outcomes of others until there is a worker for the next."""
        self._queue.append(self._begin(claimed) if isinstance(claimed, Turn) else claimed)
        while sum(work.reading for work in self._works()) >= self._workers:
            yield from self._step()
        while self._queue and isinstance(self._queue[0], Outcome):
            yield from self._step()

    def finish(self) -> Iterator[Outcome]:
        """The outcomes of the remaining ones."""
        while self._queue:
            yield from self._step()

    def _begin(self, turn: Turn) -> _Work:
        captioner, *others = self._runner.load()
        if self._batcher is None:
            self._batcher = captioner.batcher(self._runner.books.options, others)
            # one batch in the network of each device, and one being filled
            self._enough = self._batcher.size * (len(others) + 2)
            self._workers = captioner.workers.number if captioner.workers else 1
        return _Work(turn, self._runner, self._watcher, captioner, self._batcher)

    def _step(self) -> Iterator[Outcome]:
        """Gather the windows of the next input or, if there are enough, finish the first one."""
        works = list(self._works())
        following = next((work for work in works if not work.gathered), None)
        if following is not None and sum(work.queued for work in works) < self._enough:
            following.gather()
            return
        first = self._queue[0]
        if isinstance(first, _Work):
            first = first.finish()
        self._queue.popleft()
        self._watcher.ended(first)
        yield first

    def _works(self) -> Iterator[_Work]:
        return (each for each in self._queue if isinstance(each, _Work))


def may_pass(error: BaseException | None) -> bool:
    """Whether it comes from the machine (disk, network) and not from the content of a file."""
    while error is not None:
        if getattr(error, "errno", None) in _MAY_PASS:
            return True
        error = error.__cause__
    return False


def _segments(captioning: "Captioning", path: Location) -> Iterator[Segment]:
    """Unexpected errors of one input, such as too little memory for it, must not end the run."""
    try:
        yield from captioning
    except VidcaptionError:
        raise
    except Exception as error:
        if os.environ.get("VIDCAPTION_DEBUG"):
            raise
        raise InputError(
            f"{path} cannot be captioned: unexpected {type(error).__name__}: {error}"
        ) from error


def _idle(job: Job, plan: Plan) -> Outcome:
    return Outcome(job, "kept" if plan.kept else "done", kept=plan.kept)
