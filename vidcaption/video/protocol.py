"""The interfaces of readers of windows and of the processes in which they run, and what is sent
between these processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

from vidcaption.addresses import Location
from vidcaption.errors import InputError
from vidcaption.options.captioning import CaptionOptions, VideoDecoder
from vidcaption.types import Flow, VideoInfo, Window


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


class Request(NamedTuple):
    """WindowReader's arguments."""

    path: Location
    size: tuple[int, int]
    options: CaptionOptions
    batch_size: int
    decoder: VideoDecoder = "cpu"
    done: tuple[float, float] | None = None
    name: str | None = None
    flow: Flow | None = None

    @property
    def called(self) -> str:
        """The video in messages."""
        return self.name or str(self.path)


@dataclass(frozen=True, slots=True)
class Part:
    """The next windows of a batch, and how far the reader got; no windows mean the end."""

    windows: list[Window]
    corrupt: int
    end_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a video cannot be read further. A worker that is ``lost`` ends with it."""

    message: str
    errno: int | None = None
    lost: bool = False

    @classmethod
    def of(cls, error: InputError) -> Self:
        """``errno``: of the system error that caused it."""
        cause = error.__cause__
        return cls(str(error), cause.errno if isinstance(cause, OSError) else None)


def messages(reader: Reader) -> Iterator[VideoInfo | Part]:
    """What a process that reads a video sends, from an entered reader. Raises InputError."""
    yield reader.info
    windows: list[Window] | None = None
    while windows != []:
        windows = reader.read()
        yield Part(windows, reader.corrupt, reader.end_s)
