"""The loop over many inputs: who is next, what became of it, and on to the next one."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.batch.team import Team
from vidcaption.batch.work import Outcome, Turn, Watcher, Work
from vidcaption.errors import OutputError
from vidcaption.options import CaptionOptions
from vidcaption.output.write import check_place
from vidcaption.video.workers import Workers

if TYPE_CHECKING:
    from vidcaption.pipeline import Captioner

POLL_S = 0.5  # between two looks whether another run has finished


def caption_all(
    load: Callable[[], Sequence["Captioner"]],
    jobs: Iterable[Job],
    options: CaptionOptions,
    books: Books,
    watcher: Watcher,
    workers: Workers,
    *,
    retries: int = 0,
) -> Generator[Outcome]:
    """Do ``jobs`` in their order: caption what is not done, and write it to its targets.

    ``load`` is called when something is to be captioned; it returns a model on one device or more,
    always the same. While one input is captioned ``workers`` read the next ones. An input that
    cannot be captioned or written yields an Outcome with that error, after ``retries`` more tries
    where it may pass, and the next one follows. Other errors are raised: they would meet every
    input.
    """
    ahead: deque[Work | Outcome] = deque()
    team: Team | None = None

    def finish(at_most: int) -> Iterator[Outcome]:
        """The outcomes of those at the front, until only so many are at work."""
        while ahead and (isinstance(ahead[0], Outcome) or _at_work(ahead) > at_most):
            outcome = ahead[0]
            if isinstance(outcome, Work):
                if team is None:
                    outcome.caption(load()[0], watcher, retries)
                else:
                    team.wait(outcome, watcher)
                outcome = outcome.write(books, watcher, retries)
            ahead.popleft()
            yield outcome

    try:
        for turn in turns(jobs, books):
            if isinstance(turn, Turn):
                ahead.append(work := Work(turn, load()[0], options, workers))
                if len(load()) > 1:
                    team = team or Team(load(), retries)
                    team.begin(work)
            elif isinstance(turn, Outcome):
                ahead.append(turn)
            else:
                yield from finish(0)  # the other run may be waiting for what we are at
                watcher.waiting(turn)
                time.sleep(POLL_S)
            yield from finish(workers.number - 1)
        yield from finish(0)
    finally:
        for each in ahead:
            if isinstance(each, Work):
                each.abandon()
        if team is not None:
            team.end()


def _at_work(ahead: Iterable[Work | Outcome]) -> int:
    return sum(isinstance(each, Work) for each in ahead)


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
