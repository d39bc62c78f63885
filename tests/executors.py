"""An executor whose runner works in a process of its own, as one on another machine would."""

import time
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection

from vidcaption.batch import Job, Outcome, Runner, Watcher
from vidcaption.captioning import Captioning


class Hanging(Watcher):
    """Waits for ever when the input of that name is opened."""

    def __init__(self, name: str) -> None:
        self._name = name

    def opened(self, job: Job, captioning: Captioning) -> None:
        if job.path.name == self._name:
            time.sleep(3600)


def spawned(runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
    """The outcomes as they come. The process is killed when no more are asked for."""
    context = get_context("spawn")
    outcomes, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(runner, list(jobs), watcher, theirs))
    process.start()
    theirs.close()
    try:
        while True:
            yield outcomes.recv()
    except EOFError:
        process.join(120)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()


def _work(runner: Runner, jobs: list[Job], watcher: Watcher, outcomes: Connection) -> None:
    for outcome in runner.run(jobs, watcher):
        outcomes.send(outcome)
    outcomes.close()
