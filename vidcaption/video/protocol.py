"""The interface of readers of windows, in this process or another."""

from types import TracebackType
from typing import Protocol

from vidcaption.types import VideoInfo, Window


class Reader(Protocol):
    """Yields the windows of a video, as ``WindowReader`` does."""

    @property
    def info(self) -> VideoInfo: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def end_s(self) -> float: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def read(self) -> list[Window]: ...
