"""The process that captions, on any machine of the cluster, and what it reports."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

import ray

from vidcaption.addresses import Location
from vidcaption.batch import Captioners, Job, Opened, Outcome, Runner, Watcher
from vidcaption.captioning import Captioning
from vidcaption.errors import VidcaptionError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.scale.layout import Layout
from vidcaption.scale.reading import RayPool
from vidcaption.types import VideoInfo

TICK_S = 1.0  # between two reports of progress
ASKED_AHEAD = 2  # jobs, to hide the time that an answer takes


@dataclass(slots=True)
class Seen:
    """An input that is captioned elsewhere, as of the latest report."""

    info: VideoInfo
    options: CaptionOptions
    progress_s: float
    resumed_s: float
    kept_s: float

    @classmethod
    def of(cls, captioning: Opened) -> "Seen":
        return cls(
            captioning.info,
            captioning.options,
            captioning.progress_s,
            captioning.resumed_s,
            captioning.kept_s,
        )


@dataclass(frozen=True, slots=True)
class Hello:
    """The process has started, on the machine with this identity."""

    node: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """One more job is wanted."""


@dataclass(frozen=True, slots=True)
class At:
    """The work on a job has begun, or has come this far."""

    job: Job
    seen: Seen


@dataclass(frozen=True, slots=True)
class Retrying:
    job: Job
    error: VidcaptionError
    wait_s: float


@dataclass(frozen=True, slots=True)
class Waiting:
    jobs: Sequence[Job]


@dataclass(frozen=True, slots=True)
class _Over:
    """The runner has done all its jobs, or was stopped by an error."""

    error: BaseException | None


Report = Hello | Wanted | At | Retrying | Waiting | Outcome | logging.LogRecord


class Network:
    """An actor of Ray: runs a Runner over the jobs that it is given while it runs.

    ``run``, ``give`` and ``stop`` are called in different threads. ``folder``: to which relative
    paths of jobs refer. ``level``: of the log records to report.
    """

    def __init__(
        self, runner: Runner, layout: Layout, file_timeout_s: float, folder: str, level: int
    ) -> None:
        with suppress(FileNotFoundError):  # then paths may be absolute, or each input fails
            os.chdir(folder)
        if isinstance(runner.load, Captioners):
            pool = RayPool(layout.readers, layout.reader_cpus, file_timeout_s)
            runner.load.share(pool, layout.threads)
        self._runner = runner
        self._given: SimpleQueue[Job | None] = SimpleQueue()
        self._reports: SimpleQueue[Report | _Over] = SimpleQueue()
        self._watcher = _Reporting(self._reports)
        log = logging.getLogger("vidcaption")
        log.setLevel(level)
        log.addHandler(_Forwarding(self._reports))
        log.propagate = False

    def load(self) -> None:
        """Load the model now. Raises ModelError, DeviceError, SetupError."""
        self._runner.load()

    def run(self) -> Iterator[list[Report]]:
        """What happens, until ``give`` ends it. Raises what would stop every input."""
        self._given = SimpleQueue()
        Thread(target=self._work, daemon=True).start()
        yield [Hello(ray.get_runtime_context().get_node_id())]
        yield [Wanted()] * ASKED_AHEAD
        while True:
            reports = self._latest()
            over = next((each for each in reports if isinstance(each, _Over)), None)
            yield [each for each in reports if not isinstance(each, _Over)]
            if over is not None:
                if over.error is not None:
                    raise over.error
                return

    def give(self, *jobs: Job | None) -> None:
        """Add jobs; None ends the run after them."""
        for job in jobs:
            self._given.put(job)

    def stop(self) -> None:
        """End the run soon; the finished windows of each input are saved."""
        self._watcher.stop()
        self._given.put(None)

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            for outcome in self._runner.run(self._jobs(), self._watcher):
                self._reports.put(outcome)
        except KeyboardInterrupt:  # by stop
            pass
        except BaseException as failure:
            error = failure
        self._reports.put(_Over(error))

    def _jobs(self) -> Iterator[Job]:
        while (job := self._given.get()) is not None:
            self._reports.put(Wanted())
            yield job

    def _latest(self) -> "list[Report | _Over]":
        """All reports since the last ones, or the progress if there are none for a while."""
        reports: list[Report | _Over] = []
        with suppress(Empty):
            reports.append(self._reports.get(timeout=TICK_S))
            while True:
                reports.append(self._reports.get_nowait())
        return reports or list(self._watcher.progress())


class _Reporting(Watcher):
    """Reports what it is notified of. Segments come with the outcome."""

    def __init__(self, reports: "SimpleQueue[Report | _Over]") -> None:
        self._reports = reports
        self._open: dict[Location, tuple[Job, Opened]] = {}
        self._stopped = False

    def opened(self, job: Job, captioning: Opened) -> None:
        self._open[job.path] = job, captioning
        self._reports.put(At(job, Seen.of(captioning)))
        if self._stopped:
            self.stop()

    def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None:
        self._reports.put(Retrying(job, error, wait_s))

    def waiting(self, jobs: Sequence[Job]) -> None:
        if self._stopped:
            raise KeyboardInterrupt
        self._reports.put(Waiting(jobs))

    def ended(self, outcome: Outcome) -> None:
        self._open.pop(outcome.job.path, None)

    def progress(self) -> Iterator[At]:
        for job, captioning in list(self._open.values()):
            yield At(job, Seen.of(captioning))

    def stop(self) -> None:
        self._stopped = True
        for _, captioning in list(self._open.values()):
            if isinstance(captioning, Captioning):
                captioning.stop()


class _Forwarding(logging.Handler):
    """Reports log records, as text alone."""

    def __init__(self, reports: "SimpleQueue[Report | _Over]") -> None:
        super().__init__()
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._reports.put(record)
