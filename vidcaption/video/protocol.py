"""The interfaces of readers of windows, and of the processes in which they run."""

from typing import Any, Protocol, Self

from vidcaption.types import VideoInfo, Window


class Reader(Protocol):
    """Yields the windows of a video, as ``WindowReader`` does."""

    @property
    def info(self) -> VideoInfo: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def end_s(self) -> float: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def read(self) -> list[Window]: ...


class Pipe(Protocol):
    """The end of a connection to a process, as of ``multiprocessing.connection.Connection``."""

    def send(self, obj: Any, /) -> None: ...

    def poll(self, timeout: float | None, /) -> bool: ...

    def recv(self) -> Any: ...


class PoolWorker(Protocol):
    """A process that reads one video at a time; see ``video.workers.Worker``."""

    heard_of: bool

    @property
    def pipe(self) -> Pipe: ...

    def stop(self) -> None: ...

    def fate(self) -> str: ...


class Pool(Protocol):
    """Where ``RemoteReader`` finds a process; see ``video.workers.Workers``."""

    @property
    def number(self) -> int: ...

    @property
    def timeout_s(self) -> float: ...

    def take(self) -> PoolWorker: ...

    def put_back(self, worker: Any, *, fit: bool) -> None: ...
