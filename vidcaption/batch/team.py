"""Several captioners of one model, each on a device of its own, share the work."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

from vidcaption.batch.plan import Job
from vidcaption.batch.work import Watcher, Work
from vidcaption.errors import VidcaptionError
from vidcaption.types import Segment

if TYPE_CHECKING:
    from vidcaption.pipeline import Captioner, Captioning


class Team:
    """Captions in threads: the next work goes to the next captioner that is free.

    What a watcher is told of it is told in the thread that waits for it, and in one piece.
    """

    def __init__(self, captioners: "Sequence[Captioner]", retries: int) -> None:
        self._retries = retries
        self._free: SimpleQueue[Captioner] = SimpleQueue()
        for captioner in captioners:
            self._free.put(captioner)
        self._threads = ThreadPoolExecutor(len(captioners))
        self._futures: dict[Work, Future[_Notes]] = {}

    def begin(self, work: Work) -> None:
        self._futures[work] = self._threads.submit(self._caption, work)

    def wait(self, work: Work, watcher: Watcher) -> None:
        """Until it is captioned."""
        for note in self._futures.pop(work).result().taken:
            note(watcher)

    def end(self) -> None:
        """Wait for what is at work. Its reader should have been closed."""
        self._threads.shutdown(cancel_futures=True)

    def _caption(self, work: Work) -> "_Notes":
        captioner, notes = self._free.get(), _Notes()
        try:
            work.caption(captioner, notes, self._retries)
        finally:
            self._free.put(captioner)
        return notes


class _Notes:
    """A watcher that remembers what it was told, for another one."""

    def __init__(self) -> None:
        self.taken: list[Callable[[Watcher], None]] = []

    def opened(self, job: Job, captioning: "Captioning") -> None:
        self.taken.append(lambda watcher: watcher.opened(job, captioning))

    def captioned(self, segment: Segment) -> None:
        self.taken.append(lambda watcher: watcher.captioned(segment))

    def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None:
        self.taken.append(lambda watcher: watcher.retrying(job, error, wait_s))

    def waiting(self, jobs: Sequence[Job]) -> None:
        self.taken.append(lambda watcher: watcher.waiting(jobs))
