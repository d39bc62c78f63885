"""Gives the jobs of a run to the networks of a cluster, and collects what becomes of them."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
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

MOST_DEATHS = 3  # of networks, with the same job, or as they start
MOST_HELD = 1000  # outcomes that wait for an earlier one
END_S = 5.0  # for networks to save what is finished


class _Network:
    """An actor of Ray that runs a network, and the jobs that it was given.

    ``alone``: it has one job, during which others died.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.reports: Any = None  # ray.ObjectRefGenerator of its run; None between two runs
        self.jobs: dict[Location, Job] = {}
        self.node = ""
        self.alone = False
        self.start()

    def start(self) -> None:
        self.reports, self.wanted, self.alone = self.actor.run.remote(), 0, False

    def give(self, *jobs: Job | None) -> None:
        self.actor.give.remote(*jobs)
        self.jobs |= {job.path: job for job in jobs if job is not None}
        self.wanted = 0 if None in jobs else self.wanted - len(jobs)


class Dispatch:
    """The outcomes of jobs, which networks do as they can; iterate over it once.

    Jobs are taken when a network wants one. Outcomes come as they are ready, or in the order of the
    jobs if their captions go nowhere else: those have neither targets nor a part.
    The ``watcher`` is notified as by ``Runner.run``, but segments come all at once, with the
    outcome. If a network dies, another one replaces it. Its jobs are done again, each job
    alone, so that one that ends every network fails, and no other.
    """

    def __init__(
        self, start: Callable[[], Any], number: int, jobs: Iterable[Job], watcher: Watcher
    ) -> None:
        self._start, self._watcher = start, watcher
        self._jobs = iter(jobs)
        self._left = deque(islice(self._jobs, number))  # taken, and not given yet
        self._suspects: deque[Job] = deque()
        self._deaths: Counter[Location] = Counter()
        self._failed_starts = 0
        self._seen: dict[Location, Seen] = {}
        self._places: dict[Location, int] = {}  # of jobs that were given
        self._in_order = any(not job.targets and job.part is None for job in self._left)
        self._held: dict[int, Outcome] = {}
        self._next = 0
        self._networks = [_Network(start()) for _ in self._left]

    def wait_for_a_model(self) -> None:
        """Return when one has loaded its model. Raises ModelError, DeviceError, SetupError."""
        loading = {network.actor.load.remote(): network for network in self._networks}
        try:
            while loading:
                (ready, *_), _ = ray.wait(list(loading))
                network = loading.pop(ready)
                try:
                    ray.get(ready)
                except RayTaskError as error:
                    raise error.cause from None
                except RayError as error:
                    deque(self._replace(network, error))
                    loading[self._networks[-1].actor.load.remote()] = self._networks[-1]
                else:
                    return
        except BaseException:
            self._end()
            raise

    def __iter__(self) -> Iterator[Outcome]:
        try:
            while busy := self._busy():
                reports = [network.reports for network in busy]
                ray.wait(reports, num_returns=1, fetch_local=False)
                ready, _ = ray.wait(reports, num_returns=len(reports), timeout=0, fetch_local=False)
                for network in busy:
                    if network.reports in ready:
                        for outcome in self._receive(network):
                            yield from self._in_turn(outcome)
        finally:
            self._end()

    def _busy(self) -> list[_Network]:
        """Those at work, after all that want jobs were given some."""
        for network in self._networks:
            if network.reports is None and (self._suspects or self._more()):
                network.start()
            self._assign(network)
        return [network for network in self._networks if network.reports is not None]

    def _assign(self, network: _Network) -> None:
        while network.wanted > 0 and len(self._held) < MOST_HELD:
            if self._suspects and not network.jobs:
                network.alone = True
                network.give(self._suspects.popleft(), None)
            elif self._more():
                job = self._left.popleft()
                self._places[job.path] = len(self._places)
                network.give(job)
            else:
                network.give(None)

    def _more(self) -> bool:
        """Whether there is a job to give that was not given before."""
        if not self._left:
            self._left.extend(islice(self._jobs, 1))
        return bool(self._left)

    def _receive(self, network: _Network) -> Iterator[Outcome]:
        """What a network reports next. Raises what would stop every input."""
        try:
            reports: Sequence[Report] = ray.get(next(network.reports))
        except StopIteration:
            network.reports = None
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            yield from self._replace(network, error)
        else:
            for report in reports:
                self._failed_starts = 0
                if isinstance(report, Outcome):
                    network.jobs.pop(report.job.path, None)
                    yield report
                else:
                    self._note(network, report)

    def _note(self, network: _Network, report: Report) -> None:
        match report:
            case Hello():
                network.node = report.node
            case Wanted():
                network.wanted += not network.alone
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

    def _replace(self, network: _Network, error: RayError) -> Iterator[Outcome]:
        """Start another network for one that died. Yields failures of jobs that end them."""
        logger.debug(f"a network has died: {error}", extra=event("died", node=network.node))
        if not network.node:
            self._failed_starts += 1
            if self._failed_starts == MOST_DEATHS:
                raise SetupError(
                    f"the processes that run the network on Ray ended {MOST_DEATHS} times as they "
                    "started; make sure that each machine has vidcaption[ray], and memory for it"
                ) from error
        _kill(network)
        # a machine that is gone, as spot machines go, is no fault of the job
        blamed = network.node in machines()
        for job in network.jobs.values():
            self._deaths[job.path] += blamed
            if self._deaths[job.path] < MOST_DEATHS:
                self._suspects.append(job)
                continue
            reason = f"{job.path} ended the process that captioned it, {MOST_DEATHS} times"
            yield Outcome(
                job,
                "failed",
                error=InputError(f"{reason}; it may need more memory than there is"),
            )
        self._networks.remove(network)
        self._networks.append(_Network(self._start()))

    def _end(self) -> None:
        """Stop the networks, after they have saved what is finished."""
        working = [network for network in self._networks if network.reports is not None]
        for network in working:
            network.actor.stop.remote()
        until = time.monotonic() + END_S
        while working and time.monotonic() < until:
            ray.wait([network.reports for network in working], num_returns=1, timeout=0.1)
            working = [network for network in working if not _over(network)]
        for network in self._networks:
            _kill(network)


def _over(network: _Network) -> bool:
    """Whether its run has ended; reports up to there are dropped."""
    try:
        while ray.wait([network.reports], timeout=0)[0]:
            next(network.reports)
    except (StopIteration, RayError):
        return True
    return False


def _kill(network: _Network) -> None:
    with suppress(RayError):
        ray.kill(network.actor)
