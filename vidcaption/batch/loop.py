"""The loop over many inputs: who is next, what became of it, and on to the next one."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.batch.work import Outcome, Turn, Watcher, Work
from vidcaption.errors import OutputError
from vidcaption.options import CaptionOptions
from vidcaption.output.write import check_place

if TYPE_CHECKING:
    from vidcaption.batcher import Batcher
    from vidcaption.pipeline import Captioner

POLL_S = 0.5  # between two looks whether another run has finished


def caption_all(
    load: Callable[[], Sequence["Captioner"]],
    jobs: Iterable[Job],
    options: CaptionOptions,
    books: Books,
    watcher: Watcher,
    *,
    retries: int = 0,
) -> Generator[Outcome]:
    """Do ``jobs`` in their order: caption what is not done, and write it to its targets.

    ``load`` is called when something is to be captioned; it returns a model on one device or more,
    always the same. While one input is captioned, the first one's workers read the next ones, and
    the windows of short inputs go through the network together. An input that cannot be captioned
    or written yields an Outcome with that error, after ``retries`` more tries where it may pass,
    and the next one follows. Other errors are raised: they would meet every input.
    """
    with _Ahead(load, options, books, watcher, retries) as ahead:
        for turn in turns(jobs, books):
            if isinstance(turn, list):
                yield from ahead.finish()  # the other run may be waiting for what we are at
                watcher.waiting(turn)
                time.sleep(POLL_S)
            else:
                yield from ahead.add(turn)
        yield from ahead.finish()


class _Ahead:
    """Inputs that are begun, in order, with the outcomes of those that need no work."""

    def __init__(
        self,
        load: Callable[[], Sequence["Captioner"]],
        options: CaptionOptions,
        books: Books,
        watcher: Watcher,
        retries: int,
    ) -> None:
        self._load, self._options, self._books = load, options, books
        self._watcher, self._retries = watcher, retries
        self._queue: deque[Work | Outcome] = deque()
        self._batcher: Batcher | None = None
        self._workers = self._enough = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for work in self._works():
            work.abandon()
        if self._batcher is not None:
            self._batcher.close()

    def add(self, turn: Turn | Outcome) -> Iterator[Outcome]:
        """Begin an input. Yields the outcomes of others until there is a worker for the next."""
        self._queue.append(self._begin(turn) if isinstance(turn, Turn) else turn)
        while sum(work.reading for work in self._works()) >= self._workers:
            yield from self._step()
        while self._queue and isinstance(self._queue[0], Outcome):
            yield from self._step()

    def finish(self) -> Iterator[Outcome]:
        """The outcomes of all that are left."""
        while self._queue:
            yield from self._step()

    def _begin(self, turn: Turn) -> Work:
        captioner, *others = self._load()
        if self._batcher is None:
            self._batcher = captioner.batcher(self._options, others)
            # one batch in the network of each device, and one that is being filled
            self._enough = self._batcher.size * (len(others) + 2)
            self._workers = captioner.workers.number if captioner.workers else 1
        return Work(turn, captioner, self._batcher, self._options, self._books)

    def _step(self) -> Iterator[Outcome]:
        """Gather the windows of the next input or, where there are enough, end the first one."""
        works = list(self._works())
        following = next((work for work in works if not work.gathered), None)
        if following is not None and sum(work.queued for work in works) < self._enough:
            following.gather()
            return
        first = self._queue[0]
        if isinstance(first, Work):
            first = first.finish(self._watcher, self._retries)
        self._queue.popleft()
        yield first

    def _works(self) -> Iterator[Work]:
        return (each for each in self._queue if isinstance(each, Work))


def turns(jobs: Iterable[Job], books: Books) -> Iterator[Turn | Outcome | list[Job]]:
    """Each job when it can be done, or what became of it where there is nothing to do.

    What another run is at work on comes last, when that run is through with it or has died; a list
    of such jobs means that there is nothing else at the time.
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
            yield busy
        left = busy


def _claim(job: Job, books: Books) -> Turn | Outcome | None:
    """None if another run is at work on the job."""
    try:
        plan = books.plan(job)
        if not plan.needed:
            return _idle(job, plan)
        for target in plan.todo.values():
            check_place(target)  # not only when the captions are there
        with ExitStack() as lease:
            if not lease.enter_context(books.lease(plan.todo.values(), job.part)):
                return None
            plan = books.plan(job)  # another run may have done it since
            return Turn(job, plan, lease.pop_all()) if plan.needed else _idle(job, plan)
    except OutputError as error:
        return Outcome(job, "failed", error=error)


def _idle(job: Job, plan: Plan) -> Outcome:
    return Outcome(job, "kept" if plan.kept else "done", kept=plan.kept)
