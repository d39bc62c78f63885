"""Windows read by tasks of Ray, on any machine of the cluster."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from vidcaption.errors import InputError
from vidcaption.scale.remote import remote
from vidcaption.types import VideoInfo
from vidcaption.video.protocol import Failure, Part, Request, messages
from vidcaption.video.workers import RemoteReader, Workers

AHEAD = 2  # messages that a task may be ahead of its receiver
RETRIES = 2  # of tasks whose process or machine has died


class RayPool:
    """Like ``Workers``, but each input is read by a task: a pool of ``number`` at once.

    ``cpus``: that Ray reserves for each. ``file_timeout_s``: how long one may make no progress
    before its video fails; how long it waits for a CPU does not count.
    """

    timeout_s = math.inf  # the tasks notice

    def __init__(self, number: int, cpus: float, file_timeout_s: float) -> None:
        self.number = number
        self._cpus, self._file_timeout_s = cpus, file_timeout_s

    def take(self) -> "Reading":
        return Reading(self._cpus, self._file_timeout_s)

    def put_back(self, worker: "Reading", *, fit: bool) -> None:
        if not fit:
            worker.stop()


class Reading:
    """One task, and the pipe to it."""

    heard_of = False

    def __init__(self, cpus: float, file_timeout_s: float) -> None:
        self._cpus, self._file_timeout_s = cpus, file_timeout_s
        self._messages: Any = None  # ray.ObjectRefGenerator, which is not generic everywhere
        self._fate = ""

    @property
    def pipe(self) -> "Reading":
        return self

    def send(self, request: Request, /) -> None:
        """Start the task."""
        path = request.path
        if isinstance(path, Path):
            path = Path(os.path.abspath(path))
        elsewhere = request._replace(path=path, name=request.called)
        self._messages = (
            _task().options(num_cpus=self._cpus).remote(elsewhere, self._file_timeout_s)
        )

    def poll(self, timeout: float | None, /) -> bool:
        return True

    def recv(self) -> VideoInfo | Part | Failure:
        """The next message. Raises EOFError if there is none, as the task has died for good."""
        try:
            message: VideoInfo | Part | Failure = ray.get(next(self._messages))
        except (RayError, StopIteration) as error:
            self._fate = type(error).__name__
            raise EOFError from error
        return message

    def stop(self) -> None:
        with suppress(RayError, TypeError):  # it has ended
            ray.cancel(self._messages)

    def fate(self) -> str:
        return f"{self._fate} of Ray"


@cache
def _task() -> Any:
    return remote(
        _read,
        max_retries=RETRIES,
        num_returns="streaming",
        _generator_backpressure_num_objects=AHEAD,
    )


def _read(request: Request, file_timeout_s: float) -> Iterator[VideoInfo | Part | Failure]:
    """Read a video in a process with the same limits as on one machine."""
    try:
        with RemoteReader(_workers(file_timeout_s), request) as reader:
            yield from messages(reader)
    except InputError as error:
        yield Failure.of(error)


@cache
def _workers(file_timeout_s: float) -> Workers:
    """Of this process of Ray, which reads one video after the other."""
    return Workers(1, file_timeout_s)
