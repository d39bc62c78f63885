"""The loop over many inputs: who is next, what became of it, and on to the next one."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.errors import InputError, OutputError, VidcaptionError
from vidcaption.options import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.types import Segment

if TYPE_CHECKING:
    from vidcaption.pipeline import Captioner, Captioning

T = TypeVar("T")
Status = Literal["captioned", "done", "kept", "failed"]

POLL_S = 0.5  # between two looks whether another run has finished
LONGEST_WAIT_S = 30.0  # between two tries
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
    """What became of one input.

    ``status``: it was ``captioned`` now; all its outputs were ``done`` before; some of them were
    ``kept``, as they are edited or not ours, and none was left to write; or it ``failed``, for the
    reason in ``error``: it cannot be captioned, or its captions cannot be written. ``written`` and
    ``kept``: files. ``elapsed_s``: seconds of work, waiting for the receiver of the segments
    included.
    """

    job: Job
    status: Status
    elapsed_s: float = 0.0
    captions: Captions | None = None
    error: InputError | OutputError | None = None
    written: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """A job to be done now. Its outputs are ours until the receiver closes ``lease``."""

    job: Job
    plan: Plan
    lease: ExitStack


class Watcher(Protocol):
    """Is told of each step while inputs are captioned."""

    def opened(self, job: Job, captioning: "Captioning") -> None:
        """The work on ``job`` begins; ``captioning`` says what it is and how far it got."""

    def captioned(self, segment: Segment) -> None:
        """The next segment of the input that was opened last is ready."""

    def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None:
        """``error`` may pass: it is tried again after so many seconds."""

    def waiting(self, jobs: Sequence[Job]) -> None:
        """Only these are left, and other runs are at work on them."""


def caption_all(
    load: Callable[[], "Captioner"],
    jobs: Iterable[Job],
    options: CaptionOptions,
    books: Books,
    watcher: Watcher,
    *,
    retries: int = 0,
) -> Iterator[Outcome]:
    """Do ``jobs`` one after the other: caption what is not done, and write it to its targets.

    ``load`` is called when something is to be captioned. An input that cannot be captioned or
    written yields an Outcome with that error, after ``retries`` more tries where it may pass, and
    the next one follows. Other errors are raised: they would meet every input.
    """
    for turn in turns(jobs, books, watcher):
        if isinstance(turn, Outcome):
            yield turn
            continue
        with turn.lease:
            outcome = _work(load(), turn, options, books, watcher, retries)
        yield outcome


def turns(jobs: Iterable[Job], books: Books, watcher: Watcher) -> Iterator[Turn | Outcome]:
    """Each job when it can be done, or what became of it where there is nothing to do.

    What another run is at work on comes last, when that run is through with it or has died.
    """
    left = list(jobs)
    while left:
        busy = []
        for job in left:
            turn = _claim(job, books)
            if turn is None:
                busy.append(job)
            else:
                yield turn
        if busy and len(busy) == len(left):
            watcher.waiting(busy)
            time.sleep(POLL_S)
        left = busy


def _claim(job: Job, books: Books) -> Turn | Outcome | None:
    """None if another run is at work on the job."""
    try:
        plan = books.plan(job)
        if not plan.needed:
            return _idle(job, plan)
        with ExitStack() as lease:
            if not lease.enter_context(books.lease(plan.todo.values())):
                return None
            plan = books.plan(job)  # another run may have done it since
            return Turn(job, plan, lease.pop_all()) if plan.needed else _idle(job, plan)
    except OutputError as error:
        return Outcome(job, "failed", error=error)


def _idle(job: Job, plan: Plan) -> Outcome:
    return Outcome(job, "kept" if plan.kept else "done", kept=plan.kept)


def _work(
    captioner: "Captioner",
    turn: Turn,
    options: CaptionOptions,
    books: Books,
    watcher: Watcher,
    retries: int,
) -> Outcome:
    job, plan = turn.job, turn.plan
    began_s = time.monotonic()
    captions: Captions | None = None
    error: InputError | OutputError | None = None
    written: list[Path] = []

    def caption() -> Captions:
        return _caption(captioner, job, options, watcher)

    def write_all() -> None:
        assert captions is not None
        for format, target in plan.todo.items():
            if target not in written:
                books.write(target, captions.render(format), plan.fingerprint)
                written.append(target)

    try:
        captions = _patiently(caption, InputError, job, watcher, retries)
    except InputError as failure:
        error = failure
    else:
        try:
            _patiently(write_all, OutputError, job, watcher, retries)
        except OutputError as failure:
            error = failure
    status: Status = "failed" if error else "captioned"
    elapsed_s = time.monotonic() - began_s
    return Outcome(job, status, elapsed_s, captions, error, tuple(written), plan.kept)


def _caption(
    captioner: "Captioner", job: Job, options: CaptionOptions, watcher: Watcher
) -> Captions:
    """Raises InputError, under the name of the job where another file is read for it."""
    source = job.source or job.path
    try:
        with captioner.open(source, options) as captioning:
            watcher.opened(job, captioning)
            for segment in _segments(captioning, source):
                watcher.captioned(segment)
            captions = captioning.captions()
    except InputError as error:
        raise InputError(str(error).replace(str(source), str(job.path))) from error
    return replace(captions, video=replace(captions.video, path=str(job.path)))


def _segments(captioning: "Captioning", source: Path) -> Iterator[Segment]:
    """A defect that one input lays bare (or too little memory for it) is no reason to end all."""
    try:
        yield from captioning
    except VidcaptionError:
        raise
    except Exception as error:
        if os.environ.get("VIDCAPTION_DEBUG"):
            raise
        raise InputError(
            f"{source} cannot be captioned: unexpected {type(error).__name__}: {error}"
        ) from error


def _patiently(
    work: Callable[[], T],
    kind: type[VidcaptionError],
    job: Job,
    watcher: Watcher,
    retries: int,
) -> T:
    """What ``work`` returns, in the end: an error of ``kind`` that may pass is waited out."""
    for attempt in range(retries):
        try:
            return work()
        except kind as error:
            if not may_pass(error):
                raise
            wait_s = min(LONGEST_WAIT_S, 0.5 * 2**attempt)
            watcher.retrying(job, error, wait_s)
            time.sleep(wait_s)
    return work()


def may_pass(error: BaseException | None) -> bool:
    """Whether it comes from the machine's state (disk, network) and not from what a file holds."""
    while error is not None:
        if getattr(error, "errno", None) in _MAY_PASS:
            return True
        error = error.__cause__
    return False
