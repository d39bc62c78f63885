"""Gives the jobs of a run to the networks of a cluster, and collects what becomes of them."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from vidcaption.addresses import Location
from vidcaption.batch import Job, Outcome, Watcher
from vidcaption.errors import InputError, SetupError
from vidcaption.events import event
from vidcaption.scale.network import At, Hello, Report, Retrying, Seen, Waiting, Wanted
from vidcaption.scale.remote import machines

logger = logging.getLogger(__name__)

MOST_DEATHS = 3  # of networks, with the same job in hand, or as they start
MOST_HELD = 1000  # outcomes that wait for an earlier one
END_S = 5.0  # for networks to save what is finished


class _Post:
    """A network, and the jobs in its hands. ``alone``: it has one that may have ended others."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.reports: Any = None  # ray.ObjectRefGenerator of its run; None between two runs
        self.hands: dict[Location, Job] = {}
        self.node = ""
        self.alone = False
        self.start()

    def start(self) -> None:
        self.reports, self.wanted, self.alone = self.actor.run.remote(), 0, False

    def give(self, *jobs: Job | None) -> None:
        self.actor.give.remote(*jobs)
        self.hands |= {job.path: job for job in jobs if job is not None}
        self.wanted = 0 if None in jobs else self.wanted - len(jobs)


class Dispatch:
    """The outcomes of jobs, which networks do as they can; iterate over it once.

    Outcomes come as they are ready, or in the order of the jobs if some have no files to write.
    The ``watcher`` is notified as by ``Runner.run``, but segments come all at once, with the
    outcome. If a network dies, another one is hired. What it had in hand is done again, each job
    alone, so that one that ends every network fails, and no other.
    """

    def __init__(
        self, hire: Callable[[], Any], number: int, jobs: Iterable[Job], watcher: Watcher
    ) -> None:
        self._hire, self._watcher = hire, watcher
        self._left = deque(jobs)
        self._suspects: deque[Job] = deque()
        self._deaths: Counter[Location] = Counter()
        self._stillborn = 0
        self._seen: dict[Location, Seen] = {}
        self._places = {job.path: place for place, job in enumerate(self._left)}
        self._in_order = any(not job.targets for job in self._left)
        self._held: dict[int, Outcome] = {}
        self._next = 0
        self._posts = [_Post(hire()) for _ in range(min(number, len(self._left)))]

    def wait_for_a_model(self) -> None:
        """Return when one has loaded its model. Raises ModelError, DeviceError, SetupError."""
        loading = {post.actor.load.remote(): post for post in self._posts}
        try:
            while loading:
                (ready, *_), _ = ray.wait(list(loading))
                post = loading.pop(ready)
                try:
                    ray.get(ready)
                except RayTaskError as error:
                    raise error.cause from None
                except RayError as error:
                    deque(self._replace(post, error))
                    loading[self._posts[-1].actor.load.remote()] = self._posts[-1]
                else:
                    return
        except BaseException:
            self._end()
            raise

    def __iter__(self) -> Iterator[Outcome]:
        try:
            while busy := self._busy():
                reports = [post.reports for post in busy]
                ray.wait(reports, num_returns=1, fetch_local=False)
                ready, _ = ray.wait(reports, num_returns=len(reports), timeout=0, fetch_local=False)
                for post in busy:
                    if post.reports in ready:
                        for outcome in self._hear(post):
                            yield from self._in_turn(outcome)
        finally:
            self._end()

    def _busy(self) -> list[_Post]:
        """Those at work, after all that want jobs were given some."""
        for post in self._posts:
            if post.reports is None and (self._left or self._suspects):
                post.start()
            self._supply(post)
        return [post for post in self._posts if post.reports is not None]

    def _supply(self, post: _Post) -> None:
        while post.wanted > 0 and len(self._held) < MOST_HELD:
            if self._suspects and not post.hands:
                post.alone = True
                post.give(self._suspects.popleft(), None)
            elif self._left:
                post.give(self._left.popleft())
            else:
                post.give(None)

    def _hear(self, post: _Post) -> Iterator[Outcome]:
        """What a network reports next. Raises what would stop every input."""
        try:
            reports: Sequence[Report] = ray.get(next(post.reports))
        except StopIteration:
            post.reports = None
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            yield from self._replace(post, error)
        else:
            for report in reports:
                self._stillborn = 0
                if isinstance(report, Outcome):
                    post.hands.pop(report.job.path, None)
                    yield report
                else:
                    self._note(post, report)

    def _note(self, post: _Post, report: Report) -> None:
        match report:
            case Hello():
                post.node = report.node
            case Wanted():
                post.wanted += not post.alone
            case At():
                self._follow(report)
            case Retrying():
                self._watcher.retrying(report.job, report.error, report.wait_s)
            case Waiting():
                self._watcher.waiting(report.jobs)
            case logging.LogRecord():
                logging.getLogger(report.name).handle(report)

    def _follow(self, report: At) -> None:
        """Keep what was opened up to date, as the watcher may look at it at any time."""
        path, seen = report.job.path, self._seen.get(report.job.path)
        if seen is None or report.seen.progress_s < seen.progress_s:  # begun, or once more
            self._seen[path] = report.seen
            if not self._in_order:
                self._watcher.opened(report.job, report.seen)
        else:
            seen.progress_s, seen.kept_s = report.seen.progress_s, report.seen.kept_s

    def _in_turn(self, outcome: Outcome) -> Iterator[Outcome]:
        """The outcomes whose turn it is now, with this one."""
        if not self._in_order:
            self._seen.pop(outcome.job.path, None)
            self._watcher.ended(outcome)
            yield outcome
            return
        self._held[self._places[outcome.job.path]] = outcome
        while (first := self._held.pop(self._next, None)) is not None:
            self._next += 1
            if (seen := self._seen.pop(first.job.path, None)) is not None:
                self._watcher.opened(first.job, seen)
            for segment in first.captions or ():
                self._watcher.captioned(segment)
            self._watcher.ended(first)
            yield first

    def _replace(self, post: _Post, error: RayError) -> Iterator[Outcome]:
        """Hire another network for one that died. Yields the failure of a job that ends them."""
        logger.debug(f"a network has died: {error}", extra=event("died", node=post.node))
        if not post.node:
            self._stillborn += 1
            if self._stillborn == MOST_DEATHS:
                raise SetupError(
                    f"the processes that run the network on Ray ended {MOST_DEATHS} times as they "
                    "started; make sure that each machine has vidcaption[ray], and memory for it"
                ) from error
        _dismiss(post)
        # a machine that is gone, as spot machines go, is no fault of the job
        guilty = post.node in machines()
        for job in post.hands.values():
            self._deaths[job.path] += guilty
            if self._deaths[job.path] < MOST_DEATHS:
                self._suspects.append(job)
                continue
            reason = f"{job.path} ended the process that captioned it, {MOST_DEATHS} times"
            yield Outcome(
                job,
                "failed",
                error=InputError(f"{reason}; it may need more memory than there is"),
            )
        self._posts.remove(post)
        self._posts.append(_Post(self._hire()))

    def _end(self) -> None:
        """Stop the networks, after they have saved what is finished."""
        working = [post for post in self._posts if post.reports is not None]
        for post in working:
            post.actor.stop.remote()
        until = time.monotonic() + END_S
        while working and time.monotonic() < until:
            ray.wait([post.reports for post in working], num_returns=1, timeout=0.1)
            working = [post for post in working if not _over(post)]
        for post in self._posts:
            _dismiss(post)


def _over(post: _Post) -> bool:
    """Whether its run has ended; reports up to there are dropped."""
    try:
        while ray.wait([post.reports], timeout=0)[0]:
            next(post.reports)
    except (StopIteration, RayError):
        return True
    return False


def _dismiss(post: _Post) -> None:
    with suppress(RayError):
        ray.kill(post.actor)
