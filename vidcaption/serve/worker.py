"""Captions one job after the other, with one model, in a thread of its own."""

import logging
import os
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Self

from vidcaption.batch.parts import Parts
from vidcaption.batch.plan import Books
from vidcaption.captioning import Captioning
from vidcaption.errors import OutputError, VidcaptionError
from vidcaption.events import event
from vidcaption.find.index import Entry, Index, Recipe
from vidcaption.find.update import state_of
from vidcaption.output.captions import Captions
from vidcaption.output.text import counted
from vidcaption.output.write import write_atomic
from vidcaption.pipeline import Captioner
from vidcaption.serve.feed import Feed
from vidcaption.serve.jobs import Job, Jobs
from vidcaption.serve.place import Place
from vidcaption.types import Progress, Segment

logger = logging.getLogger(__name__)

LOOK_S = 60.0  # between two looks for jobs that have been kept long enough
_PART = "captions"
_WITHOUT = ("failed", "cancelled")  # captions; their files are of no use


@dataclass(eq=False)
class Running:
    """The job that is being captioned, and what was said so far. ``opened``: the video is."""

    job: Job
    captioning: Captioning | None = None
    opened: bool = False
    segments: list[Segment] = field(default_factory=list)
    stopped: bool = False

    @property
    def progress(self) -> float | None:
        """The share of the video that is captioned; None where its length is not known."""
        if self.captioning is None or not self.opened:
            return 0.0
        options, duration_s = self.captioning.options, self.captioning.info.duration_s
        ends = [end_s for end_s in (options.end_s, duration_s) if end_s is not None]
        if not ends or min(ends) <= options.start_s:
            return None
        share = (self.captioning.progress_s - options.start_s) / (min(ends) - options.start_s)
        return min(1.0, max(0.0, share))

    def stop(self) -> None:
        self.stopped = True
        if self.captioning is not None:
            self.captioning.stop()


class Worker:
    """A context manager, which ends the thread: a job that is not through then waits again.

    Each window is on disk before clients see it. ``recipe``: that of the index for the
    model. ``keep_s``: how long jobs are kept after their end.
    """

    def __init__(
        self,
        captioner: Captioner,
        recipe: Recipe,
        jobs: Jobs,
        place: Place,
        feed: Feed,
        keep_s: float,
    ) -> None:
        self.captioner, self._recipe = captioner, recipe
        self._jobs, self._place, self._feed, self._keep_s = jobs, place, feed, keep_s
        self.running: Running | None = None
        self._lock, self._wake, self._closing = Lock(), Event(), False
        self._thread = Thread(target=self._run, name="captions")

    def __enter__(self) -> Self:
        statuses = self._jobs.statuses()
        self._place.sweep(statuses)
        for id, status in statuses.items():  # what was to be cleaned when the last one ended
            if status == "gone" or (status in _WITHOUT and self._place.folder(id).exists()):
                self._clean(id)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closing = True
            if self.running is not None:
                self.running.stop()
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """There is a new job."""
        self._feed.tell()
        self._wake.set()

    def cancel(self, id: str) -> bool:
        """End a job that waits or runs, and remove its upload. False if there is none such."""
        with self._lock:
            ended = self._jobs.cancel(id) is not None
            busy = self._stop(id)
        if ended and not busy:
            self._clean(id)
        self._feed.tell()
        return ended

    def delete(self, id: str) -> bool:
        """Delete a job with its files. False if there is none of that name."""
        with self._lock:
            deleted = self._jobs.delete(id) is not None
            busy = self._stop(id)
        if deleted and not busy:
            self._clean(id)
        self._feed.tell()
        return deleted

    def _stop(self, id: str) -> bool:
        """Whether the job is being captioned: the thread then cleans up after it."""
        if self.running is None or self.running.job.id != id:
            return False
        self.running.stop()
        return True

    def _clean(self, id: str) -> None:
        """Remove the files of a job that ended without captions, or was deleted."""
        job = self._jobs.get(id, gone=True)
        try:
            if job is not None and job.status in ("gone", *_WITHOUT):
                self._place.discard(job)
                if job.status == "gone":
                    self._jobs.erase(id)
                elif job.bytes:
                    self._jobs.release(id)
        except VidcaptionError as error:  # the next server that starts here tries again
            logger.warning(str(error))

    def _run(self) -> None:
        looked_s = -LOOK_S
        while not self._closing:
            try:
                busy = self._work()
                if time.monotonic() - looked_s >= LOOK_S:
                    looked_s = time.monotonic()
                    self._expire()
            except VidcaptionError as error:  # the jobs cannot be read: the disk may be full
                logger.error(str(error))
                busy = False
            if not busy:
                self._wake.wait(LOOK_S)
                self._wake.clear()

    def _expire(self) -> None:
        for job in self._jobs.ended_before(time.time() - self._keep_s):
            self.delete(job.id)

    def _work(self) -> bool:
        """Do the next job. Returns whether there was one."""
        with self._lock:
            job = None if self._closing else self._jobs.claim()
            if job is None:
                return False
            running = self.running = Running(job)
        self._feed.tell()
        try:
            captions = self._caption(running)
            length_s = captions.video.duration_s
            count = len(captions.shown)
            self._jobs.finish(job.id, "done", duration_s=length_s, captions=count)
            logger.info(f"{job.name}: {counted(count, 'caption')}", extra=event("done", job=job.id))
        except (Exception, KeyboardInterrupt) as error:
            if running.stopped:
                self._jobs.give_back(job.id)  # unless it was cancelled
            else:
                self._fail(job, error)
        finally:
            with self._lock:
                self.running = None
            self._clean(job.id)
            self._feed.tell()
        return True

    def _fail(self, job: Job, error: BaseException) -> None:
        if isinstance(error, VidcaptionError):
            reason = str(error)
        else:  # a defect that one video lays bare, or too little memory for it
            reason = f"{job.name} cannot be captioned: unexpected {type(error).__name__}: {error}"
        if self._jobs.finish(job.id, "failed", error=reason):
            logger.info(f"failed: {reason}", extra=event("failed", job=job.id))

    def _caption(self, running: Running) -> Captions:
        """Caption a video, from where an earlier server got to, and write the result."""
        job, target = running.job, self._place.result(running.job.id)
        target.parent.mkdir(exist_ok=True)
        parts = Parts(target)
        fingerprint = Books(self._recipe.sha256, job.options).fingerprint(job.path)

        def keep(first: int, progress: Progress) -> bool:
            try:
                parts.add_progress(_PART, fingerprint, first, progress)
            except OutputError:  # the captions may be written all the same
                return False
            return True

        before = parts.progress(_PART, fingerprint)
        captioning = self.captioner.open(
            job.path, job.options, name=job.name, before=before, keep=keep
        )
        captioning.keep_s = 0.0
        captioning.begin()
        with self._lock:
            running.captioning = captioning
            if running.stopped:
                captioning.stop()
        with closing(captioning), captioning:
            running.opened = True
            for segment in captioning:
                if not segment.below_min_confidence:
                    running.segments.append(segment)
                    self._feed.tell()
            captions = captioning.captions()
        write_atomic(target, captions.render("json"))
        parts.remove()
        self._add_to_index(job, captions)
        return captions

    def _add_to_index(self, job: Job, captions: Captions) -> None:
        try:
            with Index(self._place.index, create=True) as index:
                recipe = index.recipe_id(replace(self._recipe, options=job.options))
                index.put(
                    Path(os.path.realpath(job.path)),
                    state_of(job.path),
                    recipe,
                    map(Entry.of, captions.shown),
                    duration_s=captions.video.duration_s,
                )
        except (OSError, VidcaptionError) as error:  # the captions are there
            logger.warning(f"{job.name} is not in the index: {error}")
